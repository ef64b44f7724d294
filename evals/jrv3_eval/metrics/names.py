"""Metric names: `family@depth`, as they stand in task cards, records and tables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from jrv3_eval.errors import unknown

DEFAULT_METRICS: tuple[str, ...] = (
    "ndcg@10",
    "recall@10",
    "recall@100",
    "mrr@10",
    "map@100",
    "judged@10",
)

# Our family name -> ranx's. `judged` has none: it is computed here.
RANX_FAMILIES = {
    "ndcg": "ndcg",
    "recall": "recall",
    "mrr": "mrr",
    "map": "map",
    "precision": "precision",
    "success": "hit_rate",
}
JUDGED = "judged"
_NAME = re.compile(r"([a-z]+)@([1-9][0-9]*)")


class Metric(NamedTuple):
    """A metric cut at a depth, such as nDCG at 10."""

    family: str
    depth: int

    @property
    def ranx_name(self) -> str:
        """The name by which ranx knows it."""
        return f"{RANX_FAMILIES[self.family]}@{self.depth}"


def parse_metric(name: str) -> Metric:
    """`"ndcg@10"` -> `Metric("ndcg", 10)`; a UsageError for any other form."""
    match = _NAME.fullmatch(name)
    if match is None or match[1] not in {*RANX_FAMILIES, JUDGED}:
        known = {*DEFAULT_METRICS, *(f"{family}@10" for family in RANX_FAMILIES)}
        raise unknown("metric", name, known)
    return Metric(match[1], int(match[2]))


def parse_metrics(names: Iterable[str]) -> dict[str, Metric]:
    """Names to metrics, in the order given; a repeated name counts once."""
    return {name: parse_metric(name) for name in names}
