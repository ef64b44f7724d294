"""Scores of pairs by sentence-transformers' CrossEncoder, without its activation.

Run in an environment that has sentence-transformers; imports nothing of this project.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from sentence_transformers import CrossEncoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    model = CrossEncoder(arguments.checkpoint, device="cpu", local_files_only=True)
    lists = json.loads(arguments.pairs.read_text(encoding="utf-8"))
    scores = [
        model.predict(
            [(entry["query"], document) for document in entry["documents"]],
            activation_fn=torch.nn.Identity(),
            show_progress_bar=False,
        ).tolist()
        for entry in lists
    ]
    arguments.to.write_text(json.dumps(scores))


if __name__ == "__main__":
    main()
