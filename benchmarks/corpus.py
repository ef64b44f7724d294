"""BM25 over millions of documents: peak memory and time, beside beir's loader and bm25s.

    python benchmarks/corpus.py --documents 1000000,5000000 --peer 1000000 --work DIR

Writes synthetic corpora in BEIR layout (words drawn by Zipf's law, 60 a document on average, a
vocabulary of 500,000), then measures each stage in a process of its own. `memory` is the peak of
what the process itself allocated (RssAnon); `resident` also counts pages of memory-mapped files,
which the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 20_000
SYLLABLES = [a + b for a in "bcdfghjklmnprstvwz" for b in "aeiou"]
SAMPLE_SECONDS = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--documents", default="1000000,5000000", help="sizes, in this order")
    parser.add_argument("--peer", default="1000000", help="sizes for beir and bm25s; may be empty")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--words", type=int, default=60, help="of a document, on average")
    parser.add_argument("--vocabulary", type=int, default=500_000)
    parser.add_argument("--work", type=Path, help="where corpora and cache are; emptied after")
    parser.add_argument("--stage", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        print(json.dumps(measured(options.stage[0], Path(options.stage[1]))))
        return
    sizes = [int(size) for size in options.documents.split(",")]
    peers = [int(size) for size in options.peer.split(",") if size]
    print(f"{options.queries} queries, {options.words} words a document, "
          f"{options.vocabulary:,} words in all, {os.cpu_count()} cores")  # fmt: skip
    print("| documents | stage | seconds | memory | resident | on disk |")
    print("| ---: | --- | ---: | ---: | ---: | ---: |")
    with work_folder(options.work) as work:
        for size in dict.fromkeys([*sizes, *peers]):
            folder = work / str(size)
            write_corpus(folder / "data", size, options.queries, options.words, options.vocabulary)
            stages = ["ingest", "index", "retrieve"] if size in sizes else []
            stages += ["beir + bm25s"] if size in peers else []
            for stage in stages:
                report(size, stage, run_stage(stage, folder))
            shutil.rmtree(folder)


@contextmanager
def work_folder(chosen: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=chosen) as folder:
        yield Path(folder)


def write_corpus(folder: Path, documents: int, queries: int, words: int, vocabulary: int) -> None:
    """A corpus in BEIR layout; a query is a few words of a document, which is its answer."""
    (folder / "qrels").mkdir(parents=True)
    rng = np.random.default_rng(documents)
    names = np.array([word(number) for number in range(vocabulary)], dtype=object)
    weights = 1 / np.arange(1, vocabulary + 1)
    cumulative = np.cumsum(weights) / weights.sum()
    asked = set(rng.choice(documents, min(queries, documents), replace=False).tolist())
    with (
        (folder / "corpus.jsonl").open("w") as corpus,
        (folder / "queries.jsonl").open("w") as query_file,
        (folder / "qrels/test.tsv").open("w") as qrels,
    ):
        qrels.write("query-id\tcorpus-id\tscore\n")
        for start in range(0, documents, BATCH):
            lengths = 1 + rng.poisson(words - 1, min(BATCH, documents - start))
            drawn = names[np.searchsorted(cumulative, rng.random(int(lengths.sum())))]
            end = 0
            for number, length in enumerate(lengths.tolist(), start):
                begin, end = end, end + length
                text = " ".join(drawn[begin:end])
                corpus.write(f'{{"_id": "d{number}", "title": "", "text": "{text}"}}\n')
                if number in asked:
                    few = " ".join(rng.choice(drawn[begin:end], min(6, length), replace=False))
                    query_file.write(f'{{"_id": "q{number}", "text": "{few}"}}\n')
                    qrels.write(f"q{number}\td{number}\t1\n")


def word(number: int) -> str:
    """A pronounceable word a number, short for small ones."""
    parts = []
    number += len(SYLLABLES)
    while number:
        number, rest = divmod(number, len(SYLLABLES))
        parts.append(SYLLABLES[rest])
    return "".join(parts)


def run_stage(stage: str, folder: Path) -> dict[str, Any] | None:
    """A stage in a fresh process; None where the system ended it (memory)."""
    command = [sys.executable, __file__, "--stage", stage, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr[-2000:])
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(size: int, stage: str, found: dict[str, Any] | None) -> None:
    if found is None:
        print(f"| {size:,} | {stage} | failed | - | - | - |", flush=True)
        return
    disk = "-" if found["disk"] is None else f"{found['disk'] / 2**30:.2f} GiB"
    print(
        f"| {size:,} | {stage} | {found['seconds']:.1f} | {found['memory'] / 2**30:.2f} GiB "
        f"| {found['resident'] / 2**30:.2f} GiB | {disk} |",
        flush=True,
    )


def measured(stage: str, folder: Path) -> dict[str, Any]:
    """Run a stage in this process, watched."""
    peak = {"RssAnon": 0, "VmRSS": 0}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            for line in Path("/proc/self/status").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name in peak:
                    peak[name] = max(peak[name], int(rest.split()[0]) * 1024)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    start = time.perf_counter()
    disk = STAGES[stage](folder)
    seconds = time.perf_counter() - start
    ended.set()
    watcher.join()
    return {
        "seconds": seconds,
        "memory": peak["RssAnon"],
        "resident": peak["VmRSS"],
        "disk": disk,
    }


def ingest_stage(folder: Path) -> int:
    """The BEIR folder into the cache."""
    return size_of(collection(folder).corpus.folder)


def index_stage(folder: Path) -> int:
    """The index, for one query's sake."""
    from jrv3_eval.first_stage import bm25
    from jrv3_eval.first_stage.analysis import analysis_for
    from jrv3_eval.first_stage.bm25_index import open_index

    analysis = analysis_for(task_card())
    found, terms = collection(folder), bm25._terms_identity(task_card())
    return size_of(open_index(found.corpus, analysis.terms, terms, k1=1.5, b=0.75).folder)


def retrieve_stage(folder: Path) -> None:
    """The candidates of all queries from the index that is there, and their texts."""
    from jrv3_eval.first_stage.bm25 import BM25

    opened = collection(folder)
    found = BM25().retrieve(opened, task_card(), 100)
    texts = opened.texts(np.unique(opened.rows(found.docids)))
    assert len(found) == len(opened.queries)
    assert texts
    answers = sum(
        qid.replace("q", "d") in found.of(index)[0] for index, qid in enumerate(found.qids)
    )
    assert answers > len(found) / 2, answers


def peer_stage(folder: Path) -> None:
    """What people do today: beir's loader, everything in memory, bm25s in one piece."""
    import bm25s
    from beir.datasets.data_loader import GenericDataLoader

    from jrv3_eval.first_stage.analysis import analysis_for

    corpus, queries, _ = GenericDataLoader(str(folder / "data")).load(split="test")
    split = analysis_for(task_card()).terms
    texts = [f"{doc['title']} {doc['text']}".strip() for doc in corpus.values()]
    vocabulary: dict[str, int] = {}
    ids = [[vocabulary.setdefault(t, len(vocabulary)) for t in split(text)] for text in texts]
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    index.index(bm25s.tokenization.Tokenized(ids=ids, vocab=vocabulary), show_progress=False)
    index.retrieve([split(text) for text in queries.values()], k=100, show_progress=False)


STAGES: dict[str, Any] = {
    "ingest": ingest_stage,
    "index": index_stage,
    "retrieve": retrieve_stage,
    "beir + bm25s": peer_stage,
}


def task_card() -> Any:
    from jrv3_eval.cards import TaskCard

    return TaskCard(name="synthetic", language="sw")  # words as they stand


def collection(folder: Path) -> Any:
    from jrv3_eval.collection import ingest
    from jrv3_eval.sources.folder import open_folder

    raw = open_folder(folder / "data", "test")
    return ingest(raw, join="title text", split="test", cache=folder / "cache")


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    main()
