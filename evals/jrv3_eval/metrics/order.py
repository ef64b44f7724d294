"""The tie rule: score as float32 descending, then document id descending.

It is trec_eval's rule (ids compared by code point, which is the order of their UTF-8
bytes), so a run scores the same here and there. Without a rule of its own a sort leaks
the first stage: saturated scores then keep the order in which the candidates came.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def rank_by_rule(docids: Sequence[str], scores: ArrayLike) -> NDArray[np.int64]:
    """The order of one list, best first: int64 positions into `docids`, shape (documents,)."""
    values = np.asarray(scores, dtype=np.float32)
    return rank_lists_by_rule(docids, values, np.array([0, len(values)]))


def rank_lists_by_rule(
    docids: Sequence[str] | NDArray[np.object_],
    scores: NDArray[np.float32],
    offsets: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The order of many lists at once.

    docids, scores (float32): flat, shape (rows,); list i owns rows offsets[i]:offsets[i + 1].
    Returns int64 row numbers, shape (rows,), each list in its own place and best first.
    """
    lists = np.repeat(np.arange(len(offsets) - 1, dtype=np.uint64), np.diff(offsets))
    keys = (lists << np.uint64(32)) | (~ascending_bits(scores)).astype(np.uint64)
    order = np.argsort(keys)
    begins, ends = _tied(keys[order])
    pairs = ends - begins == 2
    _order_pairs(order, begins[pairs], docids)
    for begin, end in zip(begins[~pairs].tolist(), ends[~pairs].tolist(), strict=True):
        group = order[begin:end].tolist()
        group.sort(key=docids.__getitem__, reverse=True)
        order[begin:end] = group
    return order


def tie_groups(scores: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each row, equal for rows of one list with equal scores, int64 (rows,).

    The rows must stand in ranked order; numbers grow along the rows, from 0.
    """
    new = np.ones(len(scores), dtype=bool)
    new[1:] = scores[1:] != scores[:-1]
    starts = offsets[:-1]
    new[starts[starts < len(scores)]] = True
    return np.cumsum(new) - 1


def ascending_bits(scores: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Unsigned integers (uint32, same shape) that sort as the finite float32 scores do."""
    # Adding zero turns -0.0 into 0.0: they are equal as scores, but not as bits.
    bits = (scores + np.float32(0)).view(np.uint32)
    negative = bits >> np.uint32(31) == 1
    return np.where(negative, ~bits, bits | np.uint32(1 << 31))


def _tied(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Begins and ends of the stretches of two or more equal keys, each int64 (stretches,)."""
    equal = np.zeros(len(keys) + 1, dtype=np.int8)
    equal[1:-1] = keys[1:] == keys[:-1]
    edges = np.flatnonzero(np.diff(equal))
    return edges[::2], edges[1::2] + 1


def _order_pairs(
    order: NDArray[np.int64],
    begins: NDArray[np.int64],
    docids: Sequence[str] | NDArray[np.object_],
) -> None:
    """Order tied pairs in place, all at once: in bf16 scores most ties are pairs."""
    first, second = order[begins], order[begins + 1]
    both = zip(first.tolist(), second.tolist(), strict=True)
    swap = np.array([docids[i] < docids[j] for i, j in both], dtype=bool)
    order[begins] = np.where(swap, second, first)
    order[begins + 1] = np.where(swap, first, second)
