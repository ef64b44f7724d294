"""Paired randomisation tests, and the bounds that they imply.

Under the null the sign of each query's difference is a coin toss. A shift by d is rejected
exactly where the mean of the differences in a random half of the queries lies beyond d, so the
bounds are quantiles of such means (Hartigan 1969, "Using Subsample Values as Typical Values"):
the test rejects at a level if and only if the bound at that level lies beyond zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .intervals import spread_and_freedom
from .resampling import Contrast, Floats, Resampling

_NEAR = 1e-12


def randomisation_p(resampling: Resampling, contrast: Contrast) -> float:
    """Two-sided p-value of no difference; 1 where the systems are equal on every query."""
    estimate = resampling.estimate(contrast)
    flipped = estimate - 2 * _moved(resampling, contrast)
    hits = int((np.abs(flipped) >= abs(estimate) - _NEAR).sum())
    return (1 + hits) / (len(flipped) + 1)


@dataclass(frozen=True, eq=False)
class OneSided:
    """One-sided tests of a contrast, and their bounds at any level.

    halves: sorted shifts at which each draw changes sides, float64 [resamples].
    """

    estimate: float
    halves: Floats

    @property
    def p_drop(self) -> float:
        """p-value against "no drop": how often chance alone makes a drop of this size."""
        hits = len(self.halves) - int(np.searchsorted(self.halves, -_NEAR, side="left"))
        return min(1.0, (1 + hits) / (len(self.halves) + 1))

    def upper(self, level: float) -> float:
        """Upper bound of the true value at 1 - level; below zero exactly if p_drop <= level."""
        rank = int(level * (len(self.halves) + 1) + 1e-9)
        return float(self.halves[-rank]) if rank >= 1 else float("inf")

    def lower(self, level: float) -> float:
        """Lower bound of the true value at 1 - level."""
        rank = int(level * (len(self.halves) + 1) + 1e-9)
        value = self.halves[rank - 1] if rank >= 1 else -np.inf
        # A draw without any query says nothing, and counts against the bound.
        empty = int(np.isinf(self.halves).sum())
        if empty and rank >= 1:
            value = self.halves[rank - 1 - empty] if rank > empty else -np.inf
        return float(value)


def one_sided(resampling: Resampling, contrast: Contrast) -> OneSided:
    """The one-sided tests of a contrast of differences."""
    moved = _moved(resampling, contrast)
    share = sum(
        (resampling.halves[name][1] * weight for name, weight in contrast.shift.items()),
        start=np.zeros(resampling.resamples),
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        halves = np.where(share > 0, moved / share, np.inf)
    return OneSided(resampling.estimate(contrast), np.sort(halves))


def standard_error(resampling: Resampling, contrast: Contrast) -> tuple[float, float]:
    """Standard error of a contrast, and its degrees of freedom; (0, 1) where nothing varies."""
    groups = resampling.units(contrast)
    square = sum(float((group**2).sum()) for group in groups)
    if square <= _NEAR**2:
        return 0.0, 1.0
    spread, freedom = spread_and_freedom(groups)
    return float(np.sqrt(square)) * spread, freedom


def _moved(resampling: Resampling, contrast: Contrast) -> Floats:
    """Half of what the contrast loses when the signs of a random half are flipped."""
    return sum(
        (resampling.halves[name][0] @ weights for name, weights in contrast.weights.items()),
        start=np.zeros(resampling.resamples),
    )
