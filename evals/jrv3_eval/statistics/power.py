"""What a sample could have shown, and how many queries it would take; Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

POWER = 0.8


def detectable_difference(error: float, freedom: float, *, alpha: float = 0.05) -> float:
    """The smallest true difference that a two-sided test at alpha finds with 80 % power.

    error, freedom: standard error of the difference and its degrees of freedom.
    """
    from scipy.stats import t

    return error * float(t.ppf(1 - alpha / 2, freedom) + t.ppf(POWER, freedom))


def detectable_drop(
    error: float, freedom: float, *, alpha: float, tests: int, margin: float
) -> float:
    """The smallest true drop that the gate fails with 80 % power.

    alpha is shared by `tests` hypotheses (Holm's first step), and a drop must also be too large
    to pass: its lower bound at alpha lies below minus the margin.
    """
    from scipy.stats import t

    needed = float(t.ppf(1 - alpha / tests, freedom)) * error
    unsafe = margin - float(t.ppf(1 - alpha, freedom)) * error
    return max(needed, unsafe) + float(t.ppf(POWER, freedom)) * error


def queries_needed(deviation: float, margin: float, *, alpha: float = 0.05) -> int:
    """Queries with which equal systems pass the gate with 80 % power.

    deviation: of the paired differences a query, in the units of the margin.
    """
    from scipy.stats import norm

    reach = float(norm.ppf(1 - alpha) + norm.ppf(POWER))
    return int(np.ceil((reach * deviation / margin) ** 2))


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """p-values corrected for their number by Holm's step-down method."""
    if not len(p_values):
        return np.empty(0)
    from statsmodels.stats.multitest import multipletests

    corrected: NDArray[np.float64] = multipletests(np.asarray(p_values), method="holm")[1]
    return corrected
