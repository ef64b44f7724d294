"""Long documents in overlapping pieces, as the released `rerank()` reads them.

Reference: modeling_xlm_roberta.py, reranker_tokenize_preproc (reranker-models.md, section 5.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._pointwise import Cut, Inputs, Pairs, distinct_pairs, usage_of
from ..protocol import RankingRequest


@dataclass(frozen=True)
class Limits:
    """Token limits: of a piece with its query, of a query, and of the overlap of two pieces."""

    piece: int
    query: int
    overlap: int


@dataclass(frozen=True)
class Pieces(Pairs):
    """Pieces of pairs. inputs: one a piece; places: the pieces of a request's documents in turn.

    starts: int64 a request; where in its places the pieces of each document begin.
    """

    starts: Sequence[NDArray[np.int64]]


def read_pieces(tokenizer: Any, requests: Sequence[RankingRequest], limits: Limits) -> Pieces:
    """Tokenise every distinct document of each request once, in pieces beside its query.

    A piece reads `<s> query </s> </s> piece </s>`. An empty document is one empty piece; the
    released code fails on it.
    """
    pairs = distinct_pairs(requests)
    texts = list(dict.fromkeys(pairs.queries))
    queries = dict(zip(texts, _queries(tokenizer, texts, limits.query), strict=True))
    inputs: list[Inputs] = []
    first = [0]  # of each pair, and the end
    tokens: list[int] = []
    for query, document in zip(pairs.queries, _documents(tokenizer, pairs.documents), strict=True):
        head, _ = queries[query]
        room = limits.piece - len(head) - 2
        for start, end in spans(len(document), room, limits.overlap):
            ids = [*head, tokenizer.sep_token_id, *document[start:end], tokenizer.sep_token_id]
            inputs.append({"input_ids": ids, "attention_mask": [1] * len(ids)})
        tokens.append(sum(len(piece["input_ids"]) for piece in inputs[first[-1] :]))
        first.append(len(inputs))
    cuts = [Cut(query=queries[q][1]) for q in pairs.queries]
    usage = usage_of(pairs.places, tokens, cuts)
    listed = [[range(first[p], first[p + 1]) for p in places] for places in pairs.places]
    return Pieces(
        inputs,
        [np.asarray([i for r in ranges for i in r], dtype=np.int64) for ranges in listed],
        usage,
        [np.cumsum([0, *map(len, ranges)], dtype=np.int64)[:-1] for ranges in listed],
    )


def spans(length: int, room: int, overlap: int) -> list[tuple[int, int]]:
    """First token and end of each piece of a document of `length` tokens.

    Pieces hold `room` tokens and share `overlap` or, if less, a quarter of the room; the last
    one ends with the document, whole, so it may share more.
    """
    if length <= room:
        return [(0, length)]
    step = room - min(overlap, room // 4)
    starts = range(0, length - room, step)
    return [*((s, s + room) for s in starts), (length - room, length)]


def best_pieces(scores: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """The highest score among the pieces of each document. float32 [documents]."""
    best: NDArray[np.float32] = np.maximum.reduceat(scores, starts) if len(starts) else scores
    return best


def _queries(tokenizer: Any, queries: Sequence[str], length: int) -> list[tuple[list[int], bool]]:
    """Token ids of each query with its special tokens, and whether it was cut."""
    if not queries:
        return []
    encoded = tokenizer(list(queries), truncation=True, max_length=length, verbose=False)
    cut = [bool(e.overflowing) for e in encoded.encodings]
    return list(zip(encoded["input_ids"], cut, strict=True))


def _documents(tokenizer: Any, documents: Sequence[str]) -> list[list[int]]:
    if not documents:
        return []
    encoded = tokenizer(list(documents), add_special_tokens=False, truncation=False, verbose=False)
    ids: list[list[int]] = encoded["input_ids"]
    return ids
