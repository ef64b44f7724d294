"""Scores of pairs by FlagEmbedding's rerankers, encoder-only or decoder-only, in float32.

Run in an environment that has FlagEmbedding; imports nothing of this project.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from FlagEmbedding.inference.reranker.decoder_only.base import BaseLLMReranker
from FlagEmbedding.inference.reranker.encoder_only.base import BaseReranker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--kind", choices=["encoder", "decoder"], required=True)
    parser.add_argument("--max-length", type=int, default=512)
    arguments = parser.parse_args()
    kind = BaseReranker if arguments.kind == "encoder" else BaseLLMReranker
    model = kind(
        arguments.checkpoint,
        use_fp16=False,
        devices="cpu",
        max_length=arguments.max_length,
        batch_size=16,
    )
    lists = json.loads(arguments.pairs.read_text(encoding="utf-8"))
    scores = [
        list(map(float, model.compute_score([[e["query"], d] for d in e["documents"]])))
        for e in lists
    ]
    arguments.to.write_text(json.dumps(scores))


if __name__ == "__main__":
    main()
