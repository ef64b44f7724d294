"""Paired randomisation tests, and the bounds that they imply.

Under the null the sign of each query's difference is a coin toss. A shift by d is rejected
exactly where the mean of the differences in a random half of the queries lies beyond d, so the
bounds are quantiles of such means (Hartigan 1969, "Using Subsample Values as Typical Values"):
the test rejects at a level if and only if the bound at that level lies beyond zero.

Flipped signs assume differences that are symmetric without a loss. Where few queries move, and
most of these far to one side, a bound on the other side would err too often. There Johnson's
(1978) t, which knows the skew, must agree: a bound is the farther one, a p-value the larger. As
the few may just be missing, the skew is taken one standard error to the worse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .intervals import spread_and_freedom
from .power import NORMAL, Shape, skewed_quantile
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
    """One-sided tests of a contrast, and their bounds at any level below 0.5.

    halves: sorted shifts at which each draw changes sides, float64 [resamples].
    error, freedom, shape: of the estimate, for the bounds that know the skew.
    """

    estimate: float
    halves: Floats
    error: float = 0.0
    freedom: float = 1.0
    shape: Shape = NORMAL

    @property
    def p_drop(self) -> float:
        """p-value against "no drop": how often chance alone makes a drop of this size."""
        hits = len(self.halves) - int(np.searchsorted(self.halves, 0.0, side="left"))
        return max((1 + hits) / (len(self.halves) + 1), self._p_skewed())

    def upper(self, level: float) -> float:
        """Upper bound of the true value at 1 - level; below zero exactly if p_drop <= level."""
        rank = int(level * (len(self.halves) + 1) + 1e-9)
        if rank < 1:
            return float("inf")
        value = float(self.halves[-rank])
        return max(value, self.estimate + self._reach(level, self.shape.rightmost))

    def lower(self, level: float) -> float:
        """Lower bound of the true value at 1 - level."""
        # A draw without any query says nothing, and counts against the bound.
        empty = int(np.isinf(self.halves).sum())
        rank = int(level * (len(self.halves) + 1) + 1e-9) - empty
        if rank < 1:
            return float("-inf")
        value = float(self.halves[rank - 1])
        return min(value, self.estimate - self._reach(level, self.shape.leftmost))

    def _reach(self, level: float, skew: float) -> float:
        """How far the bound that knows the skew lies from the estimate."""
        return self.error * skewed_quantile(level, self.freedom, skew) if self.error > 0 else 0.0

    def _p_skewed(self) -> float:
        """The level at which `estimate + _reach` is 0."""
        from scipy.special import stdtr

        if self.error <= 0:
            return float(self.estimate >= 0)
        skew = self.shape.rightmost
        distance = skew / 6 + self.estimate / self.error
        root = 1 - 4 * skew / 3 * distance
        if root < 0:
            return 1.0
        return float(stdtr(self.freedom, 2 * distance / (1 + np.sqrt(root))))


def one_sided(resampling: Resampling, contrast: Contrast) -> OneSided:
    """The one-sided tests of a contrast of differences."""
    moved = _moved(resampling, contrast)
    share = sum(
        (resampling.halves[name][1] * weight for name, weight in contrast.shift.items()),
        start=np.zeros(resampling.resamples),
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        halves = np.where(share > 0, moved / share, np.inf)
    halves[np.abs(halves) <= _NEAR] = 0.0  # what only rounding left
    error, freedom = standard_error(resampling, contrast)
    found = shape(resampling, contrast)
    return OneSided(resampling.estimate(contrast), np.sort(halves), error, freedom, found)


def shape(resampling: Resampling, contrast: Contrast) -> Shape:
    """The shape of a contrast's estimate, from the influence of its questions."""
    influence = np.concatenate(resampling.units(contrast))
    count, square = len(influence), float((influence**2).sum())
    if square <= _NEAR**2:
        return Shape()
    standard = influence / np.sqrt(square / count)
    skew = float((standard**3).mean())
    kurtosis = float((standard**4).mean()) - 3
    # Each question's influence on the skew (delta method).
    moved = standard**3 - 3 * standard - skew - 1.5 * skew * (standard**2 - 1)
    return Shape(skew / np.sqrt(count), kurtosis / count, float(moved.std()) / count)


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
