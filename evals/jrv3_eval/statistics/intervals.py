"""Bootstrap intervals of contrasts: BCa (Efron 1987), and on no side narrower than Student's t.

BCa moves both ends where the values are skewed. But paired differences of few queries are mostly
zeros: then BCa's estimate of the skew is noise, and the bootstrap's percentiles are too near, while
the t interval holds. So each end is the farther one of the two; with many queries they agree.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .resampling import RESAMPLES, Contrast, Floats, Resampling, Sample

CONFIDENCE = 0.95


def bootstrap_interval(
    values: NDArray[np.float64],
    *,
    confidence: float = CONFIDENCE,
    ids: Sequence[str] | None = None,
    group: str = "",
) -> tuple[float, float]:
    """Interval of the mean of one value a query (float64 [n]); for paired differences pass them.

    The same values give the same interval: the draws depend on `ids` and `group` only. With
    fewer than two queries, or equal values, there is no interval, and both ends are the mean.
    """
    if not len(values):
        return 0.0, 0.0
    names = tuple(ids) if ids is not None else tuple(f"{i:09d}" for i in range(len(values)))
    resampling = Resampling({"": Sample(names, np.asarray(values, float)[:, None], group)})
    return interval(resampling, Contrast.of({"": 1.0}, 1, 0, None), confidence=confidence)


def interval(
    resampling: Resampling, contrast: Contrast, *, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Bootstrap interval of a contrast; both ends are the estimate where nothing varies."""
    from scipy.special import stdtrit

    estimate = resampling.estimate(contrast)
    groups = resampling.units(contrast)
    influence = np.concatenate(groups)
    square = float((influence**2).sum())
    if square <= (1e-12 * max(1.0, abs(estimate))) ** 2:
        return estimate, estimate
    drawn: Floats = sum(
        (resampling.drawn[name] @ weights for name, weights in contrast.weights.items()),
        start=np.zeros(resampling.draws),
    )
    low, high = _levels(drawn, estimate, influence, confidence)
    ordered = np.sort(drawn)
    spread, freedom = spread_and_freedom(groups)
    reach = float(stdtrit(freedom, 0.5 + confidence / 2)) * spread * float(np.sqrt(square))
    # As a draw's mean, t's ends stay within the values: nDCG's within 0 and 1.
    values = [resampling.samples[name].values @ w for name, w in contrast.weights.items()]
    lowest, highest = (float(sum(f(v) for v in values)) for f in (np.min, np.max))
    return (
        min(_quantile(ordered, low), max(estimate - reach, lowest)),
        max(_quantile(ordered, high), min(estimate + reach, highest)),
    )


def _levels(
    drawn: Floats, estimate: float, influence: Floats, confidence: float
) -> tuple[float, float]:
    """The two percentiles of the bootstrap distribution to take."""
    from scipy.special import ndtr, ndtri

    near = 1e-12 * max(1.0, abs(estimate))
    below = (drawn < estimate - near).mean() + 0.5 * (np.abs(drawn - estimate) <= near).mean()
    bias = float(ndtri(np.clip(below, 0.5 / len(drawn), 1 - 0.5 / len(drawn))))
    skew = float((influence**3).sum() / (6 * (influence**2).sum() ** 1.5))
    reach = float(ndtri(0.5 + confidence / 2))
    levels = []
    for z in (-reach, reach):
        shifted = bias + z
        divisor = max(1 - skew * shifted, 0.1)  # beyond it BCa turns back
        levels.append(float(ndtr(bias + shifted / divisor)))
    return levels[0], levels[1]


def spread_and_freedom(groups: Sequence[Floats]) -> tuple[float, float]:
    """By how much the bootstrap's spread is too small, and Welch's degrees of freedom."""
    squares = np.array([float((group**2).sum()) for group in groups])
    sizes = np.array([max(2, len(group)) for group in groups], float)
    fair = squares * sizes / (sizes - 1)
    freedom = fair.sum() ** 2 / float((fair**2 / (sizes - 1)).sum())
    return float(np.sqrt(fair.sum() / squares.sum())), float(freedom)


def _quantile(ordered: Floats, level: float) -> float:
    """The level's value among sorted draws, by the rank (B + 1) * level between neighbours."""
    rank = float(np.clip((len(ordered) + 1) * level - 1, 0, len(ordered) - 1))
    lower = int(rank)
    upper = min(lower + 1, len(ordered) - 1)
    return float(ordered[lower] + (rank - lower) * (ordered[upper] - ordered[lower]))


__all__ = ["CONFIDENCE", "RESAMPLES", "bootstrap_interval", "interval", "spread_and_freedom"]
