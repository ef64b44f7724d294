"""Systems on the same candidates, with their values per query, ready to be contrasted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..cards import Average, Suite, load_suite
from ..errors import DataError, UsageError
from ..record import TaskResult
from ..statistics import RESAMPLES, Contrast, Resampling, Sample
from ..stored import Place, System


@dataclass(frozen=True)
class Mean:
    """A mean over tasks. share: task's key -> its weight; the weights add up to 1."""

    suite: str
    name: str
    share: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Panel:
    """Systems that rerank the same candidates wherever they share a task.

    places: all tasks, in the order in which the systems have them.
    """

    systems: tuple[System, ...]
    resamples: int = RESAMPLES

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Every task of any of the systems."""
        return tuple(dict.fromkeys(place for s in self.systems for place in s.tasks))

    @cached_property
    def resampling(self) -> Resampling:
        """All systems' values of the primary metric, by task; 0 where a system lacks one.

        The last column is the first stage's, whose order is what all of them reranked.
        """
        samples = {key(place): self._sample(place) for place in self.places}
        return Resampling(samples, self.resamples)

    @property
    def first_stage(self) -> int:
        """The column of the first stage's own order."""
        return len(self.systems)

    def name(self, system: int) -> str:
        """The name of a column."""
        return "first stage" if system == self.first_stage else self.systems[system].name

    def has(self, system: int, place: Place) -> bool:
        """Whether the column has values on the task."""
        return system == self.first_stage or place in self.systems[system].tasks

    def result(self, place: Place) -> TaskResult:
        """A result on the task; dataset, candidates and metric are those of all systems."""
        return next(s.tasks[place].result for s in self.systems if place in s.tasks)

    def contrast(self, share: Mapping[str, float], plus: int, minus: int | None) -> Contrast:
        """System `plus`, less system `minus`, as a mean over tasks."""
        return Contrast.of(share, len(self.systems) + 1, plus, minus)

    @cached_property
    def means(self) -> tuple[Mean, ...]:
        """The means that the suites' sources define, over whole lists of tasks only."""
        found: list[Mean] = []
        for suite in dict.fromkeys(place[0] for place in self.places):
            found.extend(means_of(suite, [task for name, task in self.places if name == suite]))
        return tuple(found)

    def _sample(self, place: Place) -> Sample:
        holders = [s.tasks[place] for s in self.systems if place in s.tasks]
        first, metric = holders[0], holders[0].result.primary_metric
        values = np.zeros((len(first.values.qids), len(self.systems) + 1))
        values[:, -1] = first.values.columns[f"first_stage_{metric}"]
        for index, system in enumerate(self.systems):
            if place not in system.tasks:
                continue
            stored = system.tasks[place]
            if stored.values.qids != first.values.qids:
                raise DataError(
                    f"The results on {'/'.join(place)} hold other queries.",
                    where=f"{first.record}\n         {stored.record}",
                    next_step="evaluate both again on the same dataset",
                )
            values[:, index] = stored.values.of(metric)
        protocol = first.result.protocol
        group = protocol.query_group if protocol and protocol.query_group else key(place)
        return Sample(first.values.qids, values, group)


def key(place: Place) -> str:
    """The name of a task's sample."""
    return "/".join(place)


def conflict(one: TaskResult, other: TaskResult) -> str | None:
    """Why two results on one task must not be subtracted; None where they may."""
    pairs = (
        ("metric", one.primary_metric, other.primary_metric),
        ("dataset", one.dataset.fingerprint[:12], other.dataset.fingerprint[:12]),
        ("queries", _limit(one), _limit(other)),
        ("relevance", _relevance(one), _relevance(other)),
    )
    found = next((f"{name}: {a} and {b}" for name, a, b in pairs if a != b), None)
    if found is None and one.candidates.hash != other.candidates.hash:
        found = f"candidates: {_candidates(one)} and {_candidates(other)}"
    return found


def _relevance(result: TaskResult) -> str:
    return result.protocol.relevance if result.protocol else "judgements"


def _limit(result: TaskResult) -> str:
    return "all" if result.limit is None else f"limited to {result.limit}"


def _candidates(result: TaskResult) -> str:
    candidates = result.candidates
    return f"{candidates.first_stage}, depth {candidates.depth}, {candidates.hash[:12]}"


def one_panel(systems: Sequence[System]) -> Panel:
    """All systems as one panel. Raises UsageError where two have other candidates."""
    for index, system in enumerate(systems):
        for earlier in systems[:index]:
            for place in (p for p in earlier.tasks if p in system.tasks):
                one, other = earlier.tasks[place], system.tasks[place]
                reason = conflict(one.result, other.result)
                if reason:
                    raise UsageError(
                        f"{earlier.name} and {system.name} cannot be compared on "
                        f"{'/'.join(place)}: they have other {reason}.",
                        where=f"{one.record}\n         {other.record}",
                        next_step="rerank the same candidates with both: --first-stage "
                        "candidates:FOLDER shares them",
                    )
    return Panel(tuple(systems))


def panels(systems: Sequence[System]) -> list[Panel]:
    """The fewest panels, in order: a system joins the first whose candidates are its own."""
    groups: list[list[System]] = []
    for system in systems:
        for group in groups:
            if _fits(system, group):
                group.append(system)
                break
        else:
            groups.append([system])
    return [Panel(tuple(group)) for group in groups]


def _fits(system: System, group: Sequence[System]) -> bool:
    shared = [
        conflict(system.tasks[place].result, other.tasks[place].result)
        for other in group
        for place in system.tasks.keys() & other.tasks.keys()
    ]
    return bool(shared) and not any(shared)


def means_of(suite: str, tasks: Sequence[str]) -> list[Mean]:
    """A suite's averages whose tasks are all there; none of a suite that does not ship."""
    try:
        loaded = load_suite(suite, None)
    except UsageError:
        return []  # its own averages are on a card that only its user has
    return [
        Mean(suite, average.name, share)
        for average in loaded.averages
        if set(loaded.tasks_of(average)) <= set(tasks)
        for share in (_shares(loaded, average),)
        if len(share) > 1
    ]


def _shares(suite: Suite, average: Average) -> dict[str, float]:
    """Each task's weight in a mean, also of means."""
    inner = {one.name: one for one in suite.averages}
    found: dict[str, float] = {}
    for member in average.members:
        parts = (
            _shares(suite, inner[member]) if member in inner else {key((suite.suite, member)): 1}
        )
        for task, weight in parts.items():
            found[task] = found.get(task, 0.0) + weight / len(average.members)
    return found
