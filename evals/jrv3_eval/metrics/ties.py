"""What ties could have done to nDCG@10: a number without this may be an accident.

The tie rule makes a score repeatable, not meaningful. If many lists are tied across rank
10, or the two bounds lie far apart, the scores had too few distinct values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .align import Chunk
from .order import tie_groups

CUT = 10


@dataclass(frozen=True)
class TieReport:
    """queries: share with equal scores at ranks 10 and 11.

    lowest, highest: mean nDCG@10 if all ties fell in the worst or the best way.
    """

    queries: float
    lowest: float
    highest: float


def tied_across_cut(chunk: Chunk) -> NDArray[np.bool_]:
    """Whether ranks 10 and 11 have equal scores, bool (queries,)."""
    longer = chunk.lengths > CUT
    ninth = chunk.offsets[:-1][longer] + CUT - 1
    tied = np.zeros(len(chunk.lengths), dtype=bool)
    tied[longer] = chunk.scores[ninth] == chunk.scores[ninth + 1]
    return tied


def ndcg_bounds(
    chunk: Chunk, actual: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest nDCG@10 of each query over all orders of its ties.

    actual: float64 (queries,), nDCG@10 under the tie rule; a query without ties keeps it.
    """
    groups = tie_groups(chunk.scores, chunk.offsets)
    if not len(groups) or groups[-1] == len(groups) - 1:
        return actual, actual
    discounts = 1 / np.log2(np.arange(2, CUT + 2))
    ideal_gains = chunk.ranx_qrels[:, :CUT, 1]
    ideal = ideal_gains @ discounts[: ideal_gains.shape[1]]

    def ndcg(order: NDArray[np.int64]) -> NDArray[np.float64]:
        gained = chunk.top(chunk.gains[order], CUT, 0) @ discounts
        return np.divide(gained, ideal, out=np.zeros_like(gained), where=ideal > 0)

    worst = ndcg(np.lexsort((chunk.gains, groups)))
    best = ndcg(np.lexsort((-chunk.gains, groups)))
    # Rounding may put a bound a hair on the wrong side of the value that it bounds.
    return np.minimum(worst, actual), np.maximum(best, actual)
