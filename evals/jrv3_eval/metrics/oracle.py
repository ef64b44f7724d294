"""The oracle: the best order of given candidates, known only from the judgements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def oracle_scores(judgements: Mapping[str, int], docids: Sequence[str]) -> NDArray[np.float32]:
    """Scores that rank one list ideally: relevance descending, then the given order.

    Not judged counts as 0. Returns float32 (documents,), whole numbers without a tie.
    """
    relevance = np.fromiter((judgements.get(d, 0) for d in docids), np.int64, len(docids))
    scores = np.empty(len(docids), dtype=np.float32)
    scores[np.argsort(-relevance, kind="stable")] = np.arange(len(docids), 0, -1)
    return scores
