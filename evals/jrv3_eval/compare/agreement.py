"""How far two rankings of the same candidates agree: Kendall's tau-b and RBO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..stored import Place, System

PERSISTENCE = 0.9  # of RBO: the top 10 have 86 % of the weight
Ranked = Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Agreement:
    """Means over queries on one task. queries: those whose lists have two documents or more."""

    suite: str
    task: str
    first_name: str
    second_name: str
    queries: int
    kendall: float
    rbo: float


def agreement(first: System, second: System, place: Place) -> Agreement:
    """The agreement of two systems on a task that both have, over the same candidates."""
    qids = first.tasks[place].values.qids
    one, other = first.tasks[place].lists(qids), second.tasks[place].lists(qids)
    for qid in qids:
        if {docid for docid, _ in one[qid]} != {docid for docid, _ in other[qid]}:
            raise DataError(
                f"The runs rank other documents for query {qid!r}.",
                where=f"{first.tasks[place].record}\n         {second.tasks[place].record}",
                next_step="evaluate both again: a run is not the one that its record is of",
            )
    pairs = [(one[qid], other[qid]) for qid in qids if len(one[qid]) > 1]
    taus = [kendall(a, b) for a, b in pairs]
    overlaps = [rbo([d for d, _ in a], [d for d, _ in b]) for a, b in pairs]
    return Agreement(
        suite=place[0],
        task=place[1],
        first_name=first.name,
        second_name=second.name,
        queries=len(pairs),
        kendall=float(np.mean(taus)) if taus else 1.0,
        rbo=float(np.mean(overlaps)) if overlaps else 1.0,
    )


def kendall(one: Ranked, other: Ranked) -> float:
    """Tau-b of the scores of the same documents; 0 where one side ties all of them."""
    scores = dict(other)
    a = np.array([score for _, score in one])
    b = np.array([scores[docid] for docid, _ in one])
    signs_a, signs_b = np.sign(a[:, None] - a), np.sign(b[:, None] - b)
    untied = np.abs(signs_a).sum() * np.abs(signs_b).sum()
    return float((signs_a * signs_b).sum() / np.sqrt(untied)) if untied else 0.0


def rbo(one: Sequence[str], other: Sequence[str], p: float = PERSISTENCE) -> float:
    """Rank-biased overlap, extrapolated, of two lists of the same length.

    Webber, Moffat, Zobel 2010, "A Similarity Measure for Indefinite Rankings", equation 32 for
    lists of equal length: the agreement at each depth, weighted geometrically.
    """
    length = min(len(one), len(other))
    place = {docid: rank for rank, docid in enumerate(other[:length])}
    # Document at rank i enters the overlap at the deeper of its two ranks.
    depth = [max(i, place[d]) for i, d in enumerate(one[:length]) if d in place]
    overlap = np.cumsum(np.bincount(depth, minlength=length)[:length])
    ranks = np.arange(1, length + 1)
    shares = overlap / ranks
    weighted = (1 - p) / p * float((shares * p**ranks).sum())
    return weighted + float(shares[-1]) * p**length
