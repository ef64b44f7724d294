"""Means over tasks as their source defines them, and none over an incomplete list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .cards import Average, Suite
from .hashing import digest_json
from .record import TaskResult


@dataclass(frozen=True)
class SuiteAverage:
    """A mean over tasks for one model under one protocol; fractions.

    members: how many values its source averages. tasks: how many tasks it rests on. limited:
    whether one of them has not all of its queries. missing: tasks that its source counts and
    that have no result; where some are missing the values are None, unless a partial mean was
    asked for.
    first_stage, reranked, oracle: means of the primary metric.
    """

    name: str
    source: str
    model: str
    order: str
    metric: str
    members: int
    tasks: int
    limited: bool
    missing: tuple[str, ...]
    first_stage: float | None
    reranked: float | None
    oracle: float | None

    @property
    def complete(self) -> bool:
        """Whether every task that the source counts is in it."""
        return not self.missing


def suite_averages(
    suite: Suite, results: Sequence[TaskResult], *, partial: bool = False
) -> list[SuiteAverage]:
    """The suite's averages of each model, those that have a result in them.

    A mean of means, where an average counts another one as a member. partial: also the mean
    over what is there of an incomplete list; a member without any result is left out of it.
    """
    rows = []
    for group in _by_protocol(results).values():
        by_task = {result.task: result for result in group}
        for average in suite.averages:
            tasks = suite.tasks_of(average)
            present = [task for task in tasks if task in by_task]
            if not present:
                continue
            missing = tuple(task for task in tasks if task not in by_task)
            shown = partial or not missing
            values = [
                _mean(average, suite, {task: value(r) for task, r in by_task.items()})
                if shown
                else None
                for value in (_first_stage, _reranked, _oracle)
            ]
            rows.append(
                SuiteAverage(
                    name=average.name,
                    source=average.source,
                    model=group[0].reranker.name,
                    order=group[0].order,
                    metric=group[0].primary_metric,
                    members=len(average.members),
                    tasks=len(present),
                    limited=any(by_task[task].limit is not None for task in present),
                    missing=missing,
                    first_stage=values[0],
                    reranked=values[1],
                    oracle=values[2],
                )
            )
    return rows


def _first_stage(result: TaskResult) -> float:
    return result.candidates.metrics[result.primary_metric]


def _reranked(result: TaskResult) -> float:
    return result.metrics[result.primary_metric]


def _oracle(result: TaskResult) -> float:
    return result.candidates.oracle[result.primary_metric]


def _by_protocol(results: Sequence[TaskResult]) -> dict[str, list[TaskResult]]:
    """Results that may be averaged: one model and settings, depth, order and metric.

    The first stage may differ from task to task, as it does where the card names it.
    """
    groups: dict[str, list[TaskResult]] = {}
    for result in results:
        reranker = result.reranker.model_dump(mode="json")
        if result.reranker.family == "run":
            reranker["weights"] = None  # of a folder of runs, each task has its own file
        key = digest_json(
            [
                reranker,
                result.candidates.depth,
                result.order,
                result.primary_metric,
            ]
        )
        groups.setdefault(key, []).append(result)
    return groups


def _mean(average: Average, suite: Suite, values: Mapping[str, float]) -> float | None:
    """The plain mean of the members that have a value; None where none has."""
    inner = {one.name: one for one in suite.averages}
    found = [
        _mean(inner[member], suite, values) if member in inner else values.get(member)
        for member in average.members
    ]
    there = [value for value in found if value is not None]
    return sum(there) / len(there) if there else None
