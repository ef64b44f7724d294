"""What a sample could have shown, and how many queries it would take; Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POWER = 0.8
AIMED = 0.83  # of a stated drop: what skew and few queries take away leaves at least 78 %
MOST = 10**12  # queries; nobody has more


@dataclass(frozen=True)
class Shape:
    """Skew and excess kurtosis of an estimate; of normal values both are 0.

    rightmost, leftmost: the skew, plus and minus its own standard error.
    """

    skew: float = 0.0
    kurtosis: float = 0.0
    error: float = 0.0

    @property
    def rightmost(self) -> float:
        """How far the estimate may lean to the right; 0 or more."""
        return max(0.0, self.skew + self.error)

    @property
    def leftmost(self) -> float:
        """How far it may lean to the left; 0 or more."""
        return max(0.0, self.error - self.skew)


NORMAL = Shape()


def detectable_difference(error: float, freedom: float, *, alpha: float = 0.05) -> float:
    """The smallest true difference that a two-sided test at alpha finds with 80 % power.

    error, freedom: standard error of the difference and its degrees of freedom.
    """
    from scipy.stats import t

    return error * float(t.ppf(1 - alpha / 2, freedom) + t.ppf(POWER, freedom))


def detectable_drop(
    error: float,
    freedom: float,
    *,
    alpha: float,
    tests: int,
    margin: float,
    shape: Shape = NORMAL,
) -> float:
    """The smallest true drop that the gate fails with 80 % power.

    alpha is shared by `tests` hypotheses (Holm's first step), and a drop must also be too large
    to pass: its lower bound at alpha lies below minus the margin. shape: of the estimate; the
    bounds vary with it, since their distance from the estimate is estimated too.
    """
    from scipy.special import stdtrit

    power = float(stdtrit(freedom, AIMED))

    def varying(reach: float, skew: float) -> float:
        # Variance of estimate + reach * error, by the delta method, over that of the estimate.
        spread = 1 + reach * skew + reach**2 * (shape.kurtosis + 2 / (freedom + 1)) / 4
        return power * math.sqrt(max(spread, 0.0))

    fail = skewed_quantile(alpha / tests, freedom, shape.rightmost)
    unsafe = skewed_quantile(alpha, freedom, shape.leftmost)
    return max(
        error * (fail + varying(fail, shape.skew)),
        margin + error * (varying(unsafe, -shape.skew) - unsafe),
    )


def skewed_quantile(level: float, freedom: float, skew: float) -> float:
    """By how many standard errors a bound at 1 - level lies from an estimate of this skew.

    Johnson (1978, "Modified t Tests and Confidence Intervals for Asymmetrical Populations").
    """
    from scipy.special import stdtrit

    quantile = float(stdtrit(freedom, 1 - level))
    return quantile + skew * (1 + 2 * quantile**2) / 6


def queries_needed(deviation: float, margin: float, *, alpha: float = 0.05) -> int:
    """Queries with which equal systems pass the gate with 80 % power.

    deviation: of the paired differences a query, in the units of the margin.
    """
    from scipy.stats import norm

    reach = float(norm.ppf(1 - alpha) + norm.ppf(POWER))
    least = int(np.ceil(-np.log2(alpha)))  # fewer have no bound at alpha at all
    needed = (np.float64(reach * deviation) / margin) ** 2  # infinite rather than an error
    return max(least, int(min(np.ceil(needed), MOST)))


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """p-values corrected for their number by Holm's step-down method."""
    if not len(p_values):
        return np.empty(0)
    from statsmodels.stats.multitest import multipletests

    corrected: NDArray[np.float64] = multipletests(np.asarray(p_values), method="holm")[1]
    return corrected
