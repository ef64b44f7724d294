"""Uncertainty of means over queries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 9_999
SEED = 0
_CELLS = 20_000_000


def bootstrap_interval(
    values: NDArray[np.float64], *, confidence: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of one value a query (float64 [n]).

    The same values give the same interval: the seed is fixed. With fewer than two queries
    there is no interval, and both ends are the mean. For paired differences pass them.
    """
    if len(values) < 2 or np.ptp(values) == 0:
        mean = float(np.mean(values)) if len(values) else 0.0
        return mean, mean
    from scipy.stats import bootstrap

    result = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, _CELLS // len(values)),
        vectorized=True,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(SEED),
    )
    interval = result.confidence_interval
    return float(interval.low), float(interval.high)
