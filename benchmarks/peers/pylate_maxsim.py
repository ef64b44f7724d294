"""Scores of lists by PyLate, in float32; reads ColBERT's own checkpoints as well as PyLate's.

Each document is scored by itself: `pylate.rank.rerank` pads the documents of a list with zero
vectors and does not mask them, so that a negative maximum counts as 0 in a shorter document.
--rerank takes that function all the same.

Run in an environment that has pylate; imports nothing of this project.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pylate import models, rank, scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--rerank", action="store_true")
    arguments = parser.parse_args()
    model = models.ColBERT(arguments.checkpoint, device="cpu", local_files_only=True)
    found = []
    for entry in json.loads(arguments.pairs.read_text(encoding="utf-8")):
        query = model.encode([entry["query"]], is_query=True, show_progress_bar=False)
        documents = model.encode(entry["documents"], is_query=False, show_progress_bar=False)
        if arguments.rerank:
            places = list(range(len(documents)))
            (ranked,) = rank.rerank([places], [query[0]], [documents])
            ordered = sorted(ranked, key=lambda result: result["id"])
            found.append([float(result["score"]) for result in ordered])
        else:
            alone = [scores.colbert_scores([query[0]], [document]) for document in documents]
            found.append([float(score) for score in alone])
    arguments.to.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
