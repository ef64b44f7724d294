"""The best k documents under the tie rule, exactly, also where ties cross the cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..metrics.order import ascending_bits


def sort_keys(scores: NDArray[np.float32], rank: NDArray[np.int32]) -> NDArray[np.uint64]:
    """One uint64 a document whose order is the tie rule's: score, then document id.

    scores: float32 [..., n], finite. rank: int32 [n], position of each id in byte order.
    """
    return (ascending_bits(scores).astype(np.uint64) << np.uint64(32)) | rank.astype(np.uint64)


def largest(keys: NDArray[np.uint64], k: int) -> NDArray[np.uint64]:
    """The k largest keys along the last axis (all of them if there are fewer), unsorted."""
    count = keys.shape[-1]
    return keys if count <= k else np.partition(keys, count - k, axis=-1)[..., count - k :]


def unpack(keys: NDArray[np.uint64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scores (float32) and id ranks (int64) of a list of keys, best first."""
    best_first = np.sort(keys)[::-1]
    ordered = (best_first >> np.uint64(32)).astype(np.uint32)
    bits = np.where(ordered >> 31, ordered & np.uint32(0x7FFFFFFF), ~ordered)
    rank = (best_first & np.uint64(0xFFFFFFFF)).astype(np.int64)
    return bits.astype(np.uint32).view(np.float32), rank
