"""Two systems on the same candidates: differences with what can be said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..statistics import detectable_difference, holm, interval, randomisation_p, standard_error
from .panel import Panel, key

TIE = 1e-9


@dataclass(frozen=True)
class Pair:
    """A system against another one, on a task or in a mean (task None); fractions.

    difference: second - first, low and high its 95 % interval. p: of the paired randomisation
    test; corrected: by Holm over all pairs of the comparison. wins, ties, losses: queries on
    which the second is better, equal, worse. detectable: the smallest true difference that
    these queries would show in four of five samples.
    """

    suite: str
    task: str | None
    name: str
    metric: str
    queries: int
    first_name: str
    second_name: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    corrected: float
    wins: int
    ties: int
    losses: int
    detectable: float


def compare_panel(panel: Panel, baseline: int = 0) -> list[Pair]:
    """Every other system against the baseline, on each task and mean that both have whole."""
    pairs = [
        pair
        for other in range(len(panel.systems))
        if other != baseline
        for pair in compare_two(panel, baseline, other)
    ]
    return corrected(pairs)


def corrected(pairs: Sequence[Pair]) -> list[Pair]:
    """The same pairs with p-values corrected for their number."""
    values = holm([pair.p for pair in pairs])
    return [
        replace(pair, corrected=float(value)) for pair, value in zip(pairs, values, strict=True)
    ]


def compare_two(panel: Panel, first: int, second: int) -> list[Pair]:
    """Pairs of two systems, their p-values not corrected yet."""
    shared = [p for p in panel.places if panel.has(first, p) and panel.has(second, p)]
    pairs = [_pair(panel, p[0], p[1], p[1], {key(p): 1.0}, first, second) for p in shared]
    keys = {key(place) for place in shared}
    for mean in panel.means:
        if set(mean.share) <= keys:
            pairs.append(_pair(panel, mean.suite, None, mean.name, mean.share, first, second))
    return pairs


def _pair(
    panel: Panel,
    suite: str,
    task: str | None,
    name: str,
    share: Mapping[str, float],
    first: int,
    second: int,
) -> Pair:
    resampling = panel.resampling
    contrast = panel.contrast(share, second, first)
    low, high = interval(resampling, contrast)
    error, freedom = standard_error(resampling, contrast)
    moved = np.concatenate(
        [
            resampling.samples[n].values[:, second] - resampling.samples[n].values[:, first]
            for n in share
        ]
    )
    place = next(p for p in panel.places if key(p) in share)
    p = randomisation_p(resampling, contrast)
    return Pair(
        suite=suite,
        task=task,
        name=name,
        metric=panel.result(place).primary_metric,
        queries=len(moved),
        first_name=panel.name(first),
        second_name=panel.name(second),
        first=resampling.estimate(panel.contrast(share, first, None)),
        second=resampling.estimate(panel.contrast(share, second, None)),
        difference=resampling.estimate(contrast),
        low=low,
        high=high,
        p=p,
        corrected=p,
        wins=int((moved > TIE).sum()),
        ties=int((np.abs(moved) <= TIE).sum()),
        losses=int((moved < -TIE).sum()),
        detectable=detectable_difference(error, freedom),
    )
