"""Scores of pairs by the package `mxbai-rerank`, version 2 models, in float32.

Run in an environment that has mxbai-rerank; imports nothing of this project.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from mxbai_rerank import MxbaiRerankV2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--max-length", type=int, default=8192)
    arguments = parser.parse_args()
    model = MxbaiRerankV2(
        arguments.checkpoint,
        device="cpu",
        torch_dtype=torch.float32,
        max_length=arguments.max_length,
    )
    found = []
    for entry in json.loads(arguments.pairs.read_text(encoding="utf-8")):
        documents = entry["documents"]
        scores: list[float] = []
        for start in range(0, len(documents), 16):
            part = documents[start : start + 16]
            scores += model.predict([entry["query"]] * len(part), part).tolist()
        found.append(scores)
    arguments.to.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
