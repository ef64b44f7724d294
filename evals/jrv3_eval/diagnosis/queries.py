"""Headroom by query, and how scores are distributed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..stored import Place, Stored

_SAME = 1e-9


@dataclass(frozen=True)
class HeadroomByQuery:
    """Shares of queries: no_headroom (no order could be better than the first stage's),
    at_ceiling (the best that the candidates allow was reached), better, worse, and the median
    share of the headroom captured where there is any (None where there is none)."""

    queries: int
    no_headroom: float
    at_ceiling: float
    better: float
    worse: float
    median_captured: float | None


def headroom_by_query(stored: Stored) -> HeadroomByQuery:
    """From the values per query of one result."""
    metric = stored.result.primary_metric
    values = stored.values.columns
    reranked, first = values[metric], values[f"first_stage_{metric}"]
    room = values[f"oracle_{metric}"] - first
    open_ = room > _SAME
    captured = (reranked - first)[open_] / room[open_]
    return HeadroomByQuery(
        queries=len(first),
        no_headroom=float((~open_).mean()),
        at_ceiling=float((open_ & (np.abs(values[f"oracle_{metric}"] - reranked) <= _SAME)).mean()),
        better=float((reranked - first > _SAME).mean()),
        worse=float((first - reranked > _SAME).mean()),
        median_captured=float(np.median(captured)) if len(captured) else None,
    )


@dataclass(frozen=True)
class ScoreSpread:
    """Quantiles of a run's scores, and the mean share of distinct scores in a list."""

    place: Place
    system: str
    low: float
    median: float
    high: float
    distinct: float


def score_spread(stored: Stored, system: str) -> ScoreSpread | None:
    """5 %, 50 % and 95 % of all scores of a run; None where it has none."""
    lists = [
        np.array([score for _, score in ranked], np.float32)
        for ranked in stored.lists(stored.values.qids).values()
        if ranked
    ]
    if not lists:
        return None
    low, median, high = np.quantile(np.concatenate(lists), [0.05, 0.5, 0.95])
    distinct = float(np.mean([len(np.unique(one)) / len(one) for one in lists]))
    place = (stored.result.suite, stored.result.task)
    return ScoreSpread(place, system, float(low), float(median), float(high), distinct)
