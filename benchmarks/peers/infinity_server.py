"""Our `http` family against a real infinity server, beside our own cross-encoder.

    python benchmarks/peers/infinity_server.py --infinity PATH/infinity_emb --data DIR

Runs in this project's environment, with the extra `http`; infinity-emb lives in one of its own
(pip install 'infinity-emb[torch,server]==0.0.78' 'transformers<5' 'click<8.2' 'typer==0.12.5'). A
random cross-encoder is served by infinity and loaded here; both score the first candidates of
BM25 on TREC DL 2019 (DIR/trec-dl19-passage-top100). Prints the largest difference between the
scores, and whether every list is ranked alike. Infinity strips texts, which a BERT tokenizer
does not see.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from jrv3_eval.rerankers import RankingRequest, open_reranker
from jrv3_eval.rerankers.registry import parse_settings
from jrv3_eval.rerankers.services.family import family

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))


def read_lists(data: Path, queries: int, depth: int) -> list[RankingRequest]:
    """The first candidates of BM25 for the first queries of TREC DL 2019."""
    folder = data / "trec-dl19-passage-top100"
    found: dict[str, list[str]] = {}
    with gzip.open(folder / "runs" / "BM25.trec.gz", "rt") as stream:
        for line in stream:
            qid, _, docid, *_ = line.split()
            found.setdefault(qid, []).append(docid)
    wanted = {qid: docids[:depth] for qid, docids in list(found.items())[:queries]}
    needed = {docid for docids in wanted.values() for docid in docids}
    texts = {}
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as stream:
        for entry in map(json.loads, stream):
            if entry["_id"] in needed:
                texts[entry["_id"]] = f"{entry['title']} {entry['text']}".strip()
    asked = {}
    with (folder / "queries.jsonl").open(encoding="utf-8") as stream:
        for entry in map(json.loads, stream):
            asked[entry["_id"]] = entry["text"]
    return [
        RankingRequest(qid, asked[qid], tuple(texts[docid] for docid in docids))
        for qid, docids in wanted.items()
    ]


def compare(url: str, folder: Path, requests: list[RankingRequest]) -> tuple[float, int, float]:
    """The largest difference between infinity's scores and ours; lists that are ranked alike;
    the standard deviation of ours."""
    given = parse_settings(family, {"endpoint": url})
    theirs = family.open("infinity/served", given).score(requests)
    ours = open_reranker(f"cross-encoder:{folder}", {"device": "cpu"}).score(requests)
    pairs = list(zip(theirs, ours, strict=True))
    largest = max(float(np.abs(left - right).max()) for left, right in pairs)
    alike = sum(
        np.array_equal(np.argsort(-left, kind="stable"), np.argsort(-right, kind="stable"))
        for left, right in pairs
    )
    return largest, alike, float(np.concatenate(ours).std())


def main() -> None:
    from services import infinity, write_served_cross_encoder

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--infinity", required=True, help="the executable infinity_emb")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=5)
    parser.add_argument("--depth", type=int, default=30)
    arguments = parser.parse_args()
    requests = read_lists(arguments.data, arguments.queries, arguments.depth)
    with tempfile.TemporaryDirectory() as root:
        folder = write_served_cross_encoder(Path(root) / "cross-encoder")
        with infinity(arguments.infinity, folder) as url:
            largest, alike, spread = compare(url, folder, requests)
            documents = sum(len(request.documents) for request in requests)
            print(f"{documents} pairs: largest difference {largest:.2e} ", end="")
            print(f"(standard deviation of the scores {spread:.2f}); ", end="")
            print(f"{alike} of {len(requests)} lists ranked alike")


if __name__ == "__main__":
    main()
