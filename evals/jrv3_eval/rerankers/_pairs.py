"""Query and document as one tokenised pair, cut to the length that a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ._pointwise import Cut, Inputs, Pairs, distinct_pairs, usage_of
from .protocol import RankingRequest

Truncation = Literal["longest_first", "only_second"]


def read_pairs(
    tokenizer: Any, requests: Sequence[RankingRequest], length: int, truncation: Truncation
) -> Pairs:
    """Tokenise every distinct document of each request with its query; at most `length` tokens."""
    found = distinct_pairs(requests)
    # As in FlagEmbedding, a query over its share is cut even where the pair would fit.
    uncut = length if truncation == "longest_first" else length * 3 // 4
    inputs: list[Inputs] = []
    cuts: list[Cut] = []
    if found.documents:
        encoded = tokenizer(
            found.queries, found.documents, padding=False, truncation=False, verbose=False
        )
        for i in range(len(found.documents)):
            pair = {name: list(encoded[name][i]) for name in encoded}
            cut = Cut()
            if len(pair["input_ids"]) > uncut:
                segments = encoded.sequence_ids(i)
                keep, cut = _kept(segments, length, truncation, tokenizer.truncation_side)
                pair = {name: [values[k] for k in keep] for name, values in pair.items()}
            inputs.append(pair)
            cuts.append(cut)
    tokens = [len(pair["input_ids"]) for pair in inputs]
    return Pairs(inputs, found.places, usage_of(found.places, tokens, cuts))


def padded(inputs: Sequence[Inputs], padding_id: int, device: Any) -> dict[str, Any]:
    """One batch as tensors, padded on the right to its longest. int64 [len(inputs), longest]."""
    import torch

    longest = max(len(p["input_ids"]) for p in inputs)
    padding = {"input_ids": padding_id}  # masks and token types pad with 0
    return {
        name: torch.tensor(
            [[*p[name], *[padding.get(name, 0)] * (longest - len(p[name]))] for p in inputs],
            device=device,
        )
        for name in inputs[0]
    }


def classify(model: Any, inputs: Sequence[Inputs], padding: int) -> NDArray[np.float32]:
    """Logits of a classifier with one label, padded to the longest pair. float32 [len(inputs)]."""
    import torch

    with torch.inference_mode():
        logits = model(**padded(inputs, padding, model.device)).logits
    column: NDArray[np.float32] = logits.float().reshape(-1).cpu().numpy()
    return column


def _kept(
    segments: Sequence[int | None], length: int, truncation: Truncation, side: str
) -> tuple[list[int], Cut]:
    """Token positions that stay, and whether query and document lost any.

    segments: 0 for a query token, 1 for a document token, None for a special token.
    """
    of_query = [i for i, s in enumerate(segments) if s == 0]
    of_document = [i for i, s in enumerate(segments) if s == 1]
    special = [i for i, s in enumerate(segments) if s is None]
    room = max(length - len(special), 0)
    if truncation == "longest_first":
        for_query, for_document = shares(len(of_query), len(of_document), room)
    else:  # as FlagEmbedding: the query may take three quarters, the document gets the rest
        for_query = min(len(of_query), length * 3 // 4, room)
        for_document = min(len(of_document), room - for_query)
    if side == "left":
        of_query.reverse()
        of_document.reverse()
    keep = sorted(special + of_query[:for_query] + of_document[:for_document])
    return keep, Cut(for_query < len(of_query), for_document < len(of_document))


def shares(first: int, second: int, room: int) -> tuple[int, int]:
    """Tokens left to two segments by the `longest_first` rule of the tokenizers library.

    The shorter one stays whole if it takes at most half of the room; else both get half, and
    the longer one the odd token (truncate_encodings in tokenizers/src/utils/truncation.rs).
    """
    short, long = sorted((first, second))
    if short + long > room:
        long = max(short, room - short)
        if short + long > room:
            short = room // 2
            long = room - short
    return (long, short) if first > second else (short, long)
