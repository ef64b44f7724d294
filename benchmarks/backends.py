"""Pairs per second of one cross-encoder under four harnesses: same weights, same lists, one run.

    python benchmarks/backends.py --data DIR [--rerankers-python INTERPRETER]

DIR holds beir-scifact and code-cosqa in BEIR layout. The model is of all-MiniLM-L6-v2's size (its
body under a random head); the lists are BM25's first 100 candidates of real queries. The others:
sentence-transformers' CrossEncoder called once a query, as its users do; mteb's evaluation of the
same CrossEncoder on the same candidates; and the package `rerankers`, which may live in an
environment of its own. All with their own default batch size.

Every contender scores in a process of its own, in turn, for some rounds; loading and a first list
are not counted. Reported are medians over the rounds, the ratio to the first contender, and how
many lists come out in the same order as there (documents whose scores differ by less than 1e-5
there count as tied).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
SETS = {"scifact": "beir-scifact", "cosqa": "code-cosqa"}
DEPTH = 100
TIE = 1e-5
Lists = list[dict[str, Any]]
Scores = list[list[float]]
SUITE = """suite: bench
title: lists to time
tasks:
  - {{name: scifact, sources: [{{kind: folder, path: "{data}/beir-scifact"}}]}}
  - {{name: cosqa, language: code, sources: [{{kind: folder, path: "{data}/code-cosqa"}}]}}
"""


def lists(data: Path, queries: int, folder: Path) -> Lists:
    """Real queries of both sets with their BM25 candidates."""
    from jrv3_eval.cards import load_suite
    from jrv3_eval.engine.work import work_list
    from jrv3_eval.first_stage import open_first_stage, take_candidates
    from jrv3_eval.sources import load_collection

    (folder / "bench.yaml").write_text(SUITE.format(data=data.resolve()))
    suite = load_suite("bench", folder)
    found = []
    for card in suite.tasks:
        cache = folder / "cache"
        collection = load_collection(suite, card, cache=cache, data_dir=None)
        stage = open_first_stage("bm25", cache=cache)
        candidates = take_candidates(stage, collection, suite, card, DEPTH, cache)
        full = [
            unit.request
            for unit in work_list(collection, candidates)
            if len(unit.request.documents) == DEPTH
        ]
        for request in full[:: max(1, len(full) // queries)][:queries]:
            found.append(
                {
                    "qid": f"{card.name}-{request.qid}",
                    "query": request.query,
                    "documents": list(request.documents),
                }
            )
    return found


Scorer = Callable[[Lists], Scores]


def ours(dtype: str) -> Callable[[str], Scorer]:
    def load(checkpoint: str) -> Scorer:
        from jrv3_eval.rerankers import RankingRequest, open_reranker

        reranker: Any = open_reranker(
            f"cross-encoder:{checkpoint}", {"dtype": dtype, "device": "cpu"}
        )
        reranker.load()
        size = reranker.info.settings["batch_documents"]

        def score(work: Lists) -> Scores:
            found: Scores = []
            step = max(1, size // DEPTH)  # whole lists in a call, as the engine cuts them
            for start in range(0, len(work), step):
                part = work[start : start + step]
                requests = [
                    RankingRequest(w["qid"], w["query"], tuple(w["documents"])) for w in part
                ]
                found += [scores.tolist() for scores in reranker.score(requests)]
            return found

        return score

    return load


def sentence_transformers(checkpoint: str) -> Scorer:
    import torch
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(checkpoint, device="cpu", local_files_only=True)
    identity = torch.nn.Identity()

    def score(work: Lists) -> Scores:
        return [
            model.predict(
                [(w["query"], d) for d in w["documents"]],
                activation_fn=identity,
                show_progress_bar=False,
            ).tolist()
            for w in work
        ]

    return score


def mteb_evaluation(checkpoint: str) -> Scorer:
    import mteb
    import torch
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata
    from sentence_transformers import CrossEncoder

    identity = torch.nn.Identity()
    model = CrossEncoder(checkpoint, device="cpu", local_files_only=True, activation_fn=identity)

    class Candidates(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="Candidates",
            description="Lists to time.",
            dataset={"path": "none/candidates", "revision": "1"},
            type="Reranking",
            category="t2t",
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )
        work: Lists

        def load_data(self, num_proc: int | None = None, **_: Any) -> None:
            ids = [[f"{w['qid']}-{i}" for i in range(len(w["documents"]))] for w in self.work]
            rows = [
                {"id": i, "title": "", "text": d}
                for w, listed in zip(self.work, ids, strict=True)
                for i, d in zip(listed, w["documents"], strict=True)
            ]
            queries = [{"id": w["qid"], "text": w["query"]} for w in self.work]
            split = {
                "corpus": Dataset.from_list(rows),
                "queries": Dataset.from_list(queries),
                "relevant_docs": {w["qid"]: {n[0]: 1} for w, n in zip(self.work, ids, strict=True)},
                "top_ranked": {w["qid"]: n for w, n in zip(self.work, ids, strict=True)},
            }
            self.dataset = {"default": {"test": split}}
            self.data_loaded = True

    def score(work: Lists) -> Scores:
        task = Candidates()
        task.work = work
        with tempfile.TemporaryDirectory() as folder:
            mteb.evaluate(
                model,
                task,
                cache=None,
                co2_tracker=False,
                show_progress_bar=False,
                prediction_folder=folder,
            )
            saved = json.loads((Path(folder) / "Candidates_predictions.json").read_text())
        found = saved["default"]["test"]
        return [
            [found[w["qid"]][f"{w['qid']}-{i}"] for i in range(len(w["documents"]))] for w in work
        ]

    return score


def rerankers(checkpoint: str) -> Scorer:
    from rerankers import Reranker

    model = Reranker(
        checkpoint, model_type="cross-encoder", device="cpu", dtype="float32", verbose=0
    )

    def score(work: Lists) -> Scores:
        found = []
        for w in work:
            ranked = model.rank(w["query"], w["documents"], doc_ids=list(range(DEPTH)))
            scores = [0.0] * len(w["documents"])
            for result in ranked.results:
                scores[result.document.doc_id] = float(result.score)
            found.append(scores)
        return found

    return score


CONTENDERS: dict[str, Callable[[str], Scorer]] = {
    "sentence-transformers, a query a call": sentence_transformers,
    "mteb, the same CrossEncoder": mteb_evaluation,
    "rerankers": rerankers,
    "jrv3-eval, float32": ours("float32"),
    "jrv3-eval, bfloat16": ours("bfloat16"),
}


def contend(name: str, checkpoint: str, pairs: Path, to: Path) -> None:
    """One process: load, score a first list, then time the work."""
    score = CONTENDERS[name](checkpoint)
    work: Lists = json.loads(pairs.read_text(encoding="utf-8"))
    score(work[:1])
    start = time.perf_counter()
    scores = score(work)
    to.write_text(json.dumps({"seconds": time.perf_counter() - start, "scores": scores}))


def timed(name: str, python: str, checkpoint: Path, pairs: Path) -> tuple[float, Scores]:
    to = pairs.with_name("result.json")
    command = [python, __file__, "--contender", name, "--checkpoint", str(checkpoint)]
    done = subprocess.run(
        [*command, "--pairs", str(pairs), "--to", str(to)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    result = json.loads(to.read_text())
    return float(result["seconds"]), result["scores"]


def same_order(reference: Sequence[float], scores: Sequence[float]) -> bool:
    """Whether no two documents that the reference tells apart change places."""
    order = np.argsort(-np.asarray(scores), kind="stable")
    return bool(np.all(np.diff(np.asarray(reference)[order]) <= TIE))


def compare(arguments: argparse.Namespace) -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from parity import minilm

    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        checkpoint, pairs = minilm(folder / "checkpoint"), folder / "pairs.json"
        work = lists(arguments.data, arguments.queries, folder)
        pairs.write_text(json.dumps(work), encoding="utf-8")
        names = [n for n in CONTENDERS if n != "rerankers" or arguments.rerankers_python]
        seconds: dict[str, list[float]] = {name: [] for name in names}
        scores: dict[str, Scores] = {}
        for _ in range(arguments.rounds):
            for name in names:
                own = name == "rerankers"
                python = arguments.rerankers_python if own else sys.executable
                took, scores[name] = timed(name, python, checkpoint, pairs)
                seconds[name].append(took)
    count = sum(len(w["documents"]) for w in work)
    print(f"{len(work)} lists, {count} pairs, median of {arguments.rounds} rounds")
    print("| harness | pairs/s | times the first | largest difference | same order |")
    print("| --- | --- | --- | --- | --- |")
    first = names[0]
    for name in names:
        ratio = statistics.median(a / b for a, b in zip(seconds[first], seconds[name], strict=True))
        both = list(zip(scores[first], scores[name], strict=True))
        largest = max(float(np.abs(np.subtract(a, b)).max()) for a, b in both)
        same = sum(same_order(a, b) for a, b in both)
        rate = count / statistics.median(seconds[name])
        print(f"| {name} | {rate:.1f} | {ratio:.2f} | {largest:.1e} | {same} of {len(work)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rerankers-python", help="an interpreter that has `rerankers`")
    parser.add_argument("--queries", type=int, default=10, help="lists of each set")
    parser.add_argument("--rounds", type=int, default=3)
    for hidden in ("--contender", "--checkpoint"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    for hidden in ("--pairs", "--to"):
        parser.add_argument(hidden, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        contend(arguments.contender, arguments.checkpoint, arguments.pairs, arguments.to)
    elif arguments.data:
        compare(arguments)
    else:
        parser.error("--data is needed")


if __name__ == "__main__":
    main()
