"""Whether a change may pass: paired differences against a margin, with an error rate that holds.

Pass: the lower bound lies above minus the margin. Fail: no pass, and the upper bound, corrected
by Holm for the number of tasks and means, lies below zero. Else inconclusive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..compare import Panel, key
from ..errors import UsageError
from ..statistics import OneSided, detectable_drop, one_sided, queries_needed

MARGIN, ALPHA = 0.005, 0.05
Verdict = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True)
class Hypothesis:
    """One task or mean: candidate minus baseline, fractions.

    lower: one-sided bound at 1 - alpha. upper: bound at 1 - level, `level` being Holm's share
    of alpha. needed: queries with which equal systems would pass four times in five.
    detectable: the smallest true drop that would fail four times in five; infinite where too
    few queries can never fail.
    """

    suite: str
    task: str | None
    name: str
    metric: str
    queries: int
    baseline: float
    candidate: float
    difference: float
    lower: float
    upper: float
    level: float
    p: float
    verdict: Verdict
    needed: int
    detectable: float


@dataclass(frozen=True)
class Gate:
    """The verdicts of one invocation. alpha is the false-alarm rate of all of it together."""

    baseline: str
    candidate: str
    margin: float
    alpha: float
    hypotheses: tuple[Hypothesis, ...]

    @property
    def verdict(self) -> Verdict:
        """Fail if one fails; else inconclusive if one is; else pass."""
        verdicts = {one.verdict for one in self.hypotheses}
        return (
            "fail"
            if "fail" in verdicts
            else "inconclusive"
            if "inconclusive" in verdicts
            else "pass"
        )

    def exit_code(self, strict: bool = False) -> int:
        """0, or 1 where a regression was found; with strict also where none was excluded."""
        return int(self.verdict == "fail" or (strict and self.verdict == "inconclusive"))


def decide(panel: Panel, *, margin: float = MARGIN, alpha: float = ALPHA) -> Gate:
    """The gate over a panel of two systems: the baseline, then the candidate.

    Raises UsageError on a margin or an alpha that makes no gate.
    """
    if not 0 < margin < 1:
        raise UsageError(
            f"The margin {margin} is not between 0 and 1.",
            next_step="give it as a fraction of the metric: --margin 0.005 is half a point",
        )
    if not 1e-9 < alpha < 0.5:
        raise UsageError(
            f"The alpha {alpha} is not between 0 and 0.5.", next_step="--alpha 0.05 is usual"
        )
    shares = _shares(panel)
    contrasts = [panel.contrast(share, 1, 0) for _, _, _, share in shares]
    tests = [one_sided(panel.resampling, contrast) for contrast in contrasts]
    levels = holm_levels([test.p_drop for test in tests], alpha)
    hypotheses = []
    for (suite, task, name, share), test, level in zip(shares, tests, levels, strict=True):
        sizes = [len(panel.resampling.samples[n].ids) for n in share]
        deviation = test.error * float(np.sqrt(sum(sizes)))
        hypotheses.append(
            Hypothesis(
                suite=suite,
                task=task,
                name=name,
                metric=panel.result(_place(panel, share)).primary_metric,
                queries=sum(sizes),
                baseline=panel.resampling.estimate(panel.contrast(share, 0, None)),
                candidate=panel.resampling.estimate(panel.contrast(share, 1, None)),
                difference=test.estimate,
                lower=test.lower(alpha),
                upper=test.upper(level),
                level=level,
                p=test.p_drop,
                verdict=judge(test, margin=margin, alpha=alpha, level=level),
                needed=queries_needed(deviation, margin, alpha=alpha),
                detectable=_detectable(test, margin, alpha, len(shares)),
            )
        )
    names = [system.name for system in panel.systems]
    return Gate(names[0], names[1], margin, alpha, tuple(hypotheses))


def _detectable(test: OneSided, margin: float, alpha: float, tests: int) -> float:
    if test.upper(alpha / tests) == np.inf:  # so few queries fail never
        return float("inf")
    return detectable_drop(
        test.error, test.freedom, alpha=alpha, tests=tests, margin=margin, shape=test.shape
    )


def judge(test: OneSided, *, margin: float, alpha: float, level: float) -> Verdict:
    """The verdict on one hypothesis. level: Holm's share of alpha."""
    if test.lower(alpha) > -margin:
        return "pass"
    return "fail" if test.upper(level) < 0 else "inconclusive"


def holm_levels(p_values: Sequence[float], alpha: float) -> list[float]:
    """The level at which Holm's procedure tests each hypothesis, those that it never reaches
    at the level where it stopped."""
    count = len(p_values)
    levels = [0.0] * count
    level, stopped = alpha / count, False
    for step, index in enumerate(np.argsort(p_values, kind="stable")):
        if not stopped:
            level = alpha / (count - step)
            stopped = p_values[index] > level
        levels[index] = level
    return levels


def _shares(panel: Panel) -> list[tuple[str, str | None, str, Mapping[str, float]]]:
    """(suite, task, name, weights) of every task, then of every mean."""
    rows: list[tuple[str, str | None, str, Mapping[str, float]]] = [
        (suite, task, task, {key((suite, task)): 1.0}) for suite, task in panel.places
    ]
    means = [(mean.suite, None, mean.name, mean.share) for mean in panel.means]
    for suite in dict.fromkeys(place[0] for place in panel.places):
        tasks = [key(place) for place in panel.places if place[0] == suite]
        # Over a list that no source defines, the mean of what is there still guards it.
        if len(tasks) > 1 and not any(mean[0] == suite for mean in means):
            share = dict.fromkeys(tasks, 1 / len(tasks))
            means.append((suite, None, f"mean of {len(tasks)} tasks", share))
    return [*rows, *means]


def _place(panel: Panel, share: Mapping[str, float]) -> tuple[str, str]:
    return next(place for place in panel.places if key(place) in share)
