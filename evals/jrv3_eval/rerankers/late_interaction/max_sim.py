"""MaxSim: each query token finds its most similar document token; the similarities are added.

Source: Khattab and Zaharia 2020 (ColBERT), section 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def max_sim(
    query: NDArray[np.float32],
    vectors: NDArray[np.float32],
    offsets: NDArray[np.int64],
    *,
    mean: bool = False,
) -> NDArray[np.float32]:
    """Score of every document. float32 [n].

    query: float32 [q, d]. vectors: float32 [t, d], the tokens of all documents, packed without
    padding. offsets: int64 [n + 1]; document i has the rows offsets[i] to offsets[i + 1]. All
    vectors have unit length. Computed in float64 and rounded once, so that a score does not
    depend on the documents beside it. A document without tokens scores 0: as PyLate, which
    gives it a zero vector. mean: divide by the query's tokens, MeanMaxSim in
    sentence-transformers 6.2 (util/similarity.py).
    """
    scores = np.zeros(len(offsets) - 1)
    filled = np.diff(offsets) > 0
    if len(query) and filled.any():
        products = vectors.astype(np.float64) @ query.astype(np.float64).T
        best = np.maximum.reduceat(products, offsets[:-1][filled], axis=0)
        scores[filled] = best.mean(axis=1) if mean else best.sum(axis=1)
    return scores.astype(np.float32)
