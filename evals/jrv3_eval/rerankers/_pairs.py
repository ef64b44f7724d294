"""Query and document as one tokenised pair, cut to the length that a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .protocol import RankingRequest, Usage

Truncation = Literal["longest_first", "only_second"]


@dataclass(frozen=True)
class Pairs:
    """The distinct pairs of some requests, and the way back.

    inputs: model inputs (input_ids, attention_mask, ...) a distinct pair, unpadded.
    places: int64 a request; the pair of each of its documents. usage: one a request.
    """

    inputs: list[dict[str, list[int]]]
    places: list[NDArray[np.int64]]
    usage: list[Usage]


def read_pairs(
    tokenizer: Any, requests: Sequence[RankingRequest], length: int, truncation: Truncation
) -> Pairs:
    """Tokenise every distinct document of each request with its query; at most `length` tokens.

    A document that a request repeats is one pair, so that its scores are equal to the last bit.
    """
    queries: list[str] = []
    documents: list[str] = []
    places = []
    for request in requests:
        first = len(documents)
        distinct = {d: first + i for i, d in enumerate(dict.fromkeys(request.documents))}
        queries += [request.query] * len(distinct)
        documents += distinct
        places.append(np.asarray([distinct[d] for d in request.documents], dtype=np.int64))
    inputs: list[dict[str, list[int]]] = []
    cuts: list[tuple[bool, bool]] = []
    if documents:
        # Lone surrogates cannot be tokenised.
        clean = [[t.encode("utf-8", "replace").decode() for t in x] for x in (queries, documents)]
        encoded = tokenizer(*clean, padding=False, truncation=False, verbose=False)
        for i in range(len(documents)):
            pair = {name: list(encoded[name][i]) for name in encoded}
            cut = (False, False)
            if len(pair["input_ids"]) > length:
                segments = encoded.sequence_ids(i)
                keep, cut = _kept(segments, length, truncation, tokenizer.truncation_side)
                pair = {name: [values[k] for k in keep] for name, values in pair.items()}
            inputs.append(pair)
            cuts.append(cut)
    return Pairs(inputs, places, [_usage(p, inputs, cuts) for p in places])


def _usage(
    places: NDArray[np.int64],
    inputs: Sequence[dict[str, list[int]]],
    cuts: Sequence[tuple[bool, bool]],
) -> Usage:
    distinct = np.unique(places).tolist()
    # A document that stands twice is read once, but two places of the list were cut.
    return Usage(
        tokens=sum(len(inputs[i]["input_ids"]) for i in distinct),
        truncated_documents=sum(cuts[i][1] for i in places.tolist()),
        truncated_query=any(cuts[i][0] for i in distinct),
    )


def _kept(
    segments: Sequence[int | None], length: int, truncation: Truncation, side: str
) -> tuple[list[int], tuple[bool, bool]]:
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
    return keep, (for_query < len(of_query), for_document < len(of_document))


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
