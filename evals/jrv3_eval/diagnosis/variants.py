"""The same model under another order or depth: how much that changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..compare import agreement
from ..hashing import digest_json
from ..stored import Place, System


@dataclass(frozen=True)
class OrderSpread:
    """A model on a task under several candidate orders. values: order -> primary metric.

    kendall: mean rank agreement of the other orders with the first stage's.
    """

    place: Place
    model: str
    values: dict[str, float]
    kendall: float | None

    @property
    def spread(self) -> float:
        """Between the best and the worst order."""
        return max(self.values.values()) - min(self.values.values())


def order_spreads(systems: Sequence[System], *, rankings: bool = True) -> list[OrderSpread]:
    """Models that saw the same candidates in several orders. rankings: also their agreement."""
    found = []
    for group in _same_but(systems, "order"):
        for place in dict.fromkeys(p for system in group for p in system.tasks):
            holders = [s for s in group if place in s.tasks]
            hashes = {s.tasks[place].result.candidates.hash for s in holders}
            if len(holders) < 2 or len(hashes) > 1:
                continue
            reference = next(
                (s for s in holders if s.tasks[place].result.order == "first-stage"), None
            )
            others = [s for s in holders if s is not reference]
            kendall = None
            if rankings and reference is not None:
                taus = [agreement(reference, other, place).kendall for other in others]
                kendall = sum(taus) / len(taus)
            results = [s.tasks[place].result for s in holders]
            values = {r.order: r.metrics[r.primary_metric] for r in results}
            found.append(OrderSpread(place, results[0].reranker.name, values, kendall))
    return found


def depth_runs(systems: Sequence[System]) -> list[tuple[Place, str, dict[int, float]]]:
    """Models that were run at several depths over the same first stage: depth -> metric."""
    found = []
    for group in _same_but(systems, "depth"):
        for place in dict.fromkeys(p for system in group for p in system.tasks):
            results = [s.tasks[place].result for s in group if place in s.tasks]
            stages = {r.candidates.first_stage for r in results}
            values = {r.candidates.depth: r.metrics[r.primary_metric] for r in results}
            if len(values) > 1 and len(stages) == 1:
                found.append((place, results[0].reranker.name, dict(sorted(values.items()))))
    return found


def _same_but(systems: Sequence[System], free: str) -> list[list[System]]:
    """Groups of systems that differ in `order` or in `depth` only."""
    groups: dict[str, list[System]] = {}
    for system in systems:
        one = system.example
        if system.is_baseline:
            continue
        key = digest_json(
            [
                one.reranker.model_dump(mode="json"),
                one.limit,
                None if free == "order" else one.order,
                None if free == "depth" else one.candidates.depth,
            ]
        )
        groups.setdefault(key, []).append(system)
    return [group for group in groups.values() if len(group) > 1]
