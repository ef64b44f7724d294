"""Scores of pairs by the package `rerankers`, family cross-encoder, in float32.

Run in an environment that has rerankers[transformers]; imports nothing of this project.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rerankers import Reranker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    model = Reranker(
        arguments.checkpoint, model_type="cross-encoder", device="cpu", dtype="float32", verbose=0
    )
    found = []
    for entry in json.loads(arguments.pairs.read_text(encoding="utf-8")):
        documents = entry["documents"]
        ranked = model.rank(entry["query"], documents, doc_ids=list(range(len(documents))))
        scores = [0.0] * len(documents)
        for result in ranked.results:
            scores[result.document.doc_id] = float(result.score)
        found.append(scores)
    arguments.to.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
