"""Whole systems beside published numbers: every task and every complete mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..averages import suite_averages
from ..cards import load_suite
from ..errors import UsageError, unknown
from ..record import TaskResult
from .matching import Beside, Measured, beside, measured_average, measured_task
from .schema import PublishedTable, plain_model


def systems_beside(
    systems: Sequence[tuple[str, Sequence[TaskResult]]],
    tables: Sequence[PublishedTable],
    names: Mapping[str, str] | None = None,
) -> list[Beside]:
    """Each system's means and tasks beside what is published of its model.

    names: a system's name -> the published model that it is to be compared with. Raises
    UsageError where no table has that model.
    """
    _refuse_unknown((names or {}).values(), tables)
    found = []
    for name, results in systems:
        named = (names or {}).get(name)
        for one in [*_averages(results), *(measured_task(result) for result in results)]:
            found.extend(beside(one, tables, named))
    return found


def _refuse_unknown(models: Iterable[str], tables: Sequence[PublishedTable]) -> None:
    known = {plain_model(row.model): row.model for table in tables for row in table.rows}
    if "" in known:
        return  # a file that names no model may be about any
    for model in models:
        if plain_model(model) not in known:
            raise unknown("published model", model, set(known.values()))


def _averages(results: Sequence[TaskResult]) -> list[Measured]:
    found = []
    for name in dict.fromkeys(result.suite for result in results):
        own = [result for result in results if result.suite == name]
        try:
            suite = load_suite(name, None)
        except UsageError:
            continue  # a user's own suite; nobody published its mean
        if not suite.averages:
            continue
        for row in suite_averages(suite, own):
            if row.complete and row.reranked is not None and row.first_stage is not None:
                average = next(a for a in suite.averages if a.name == row.name)
                tasks = set(suite.tasks_of(average))
                members = [result for result in own if result.task in tasks]
                found.append(measured_average(row.name, members, row.reranked, row.first_stage))
    return found
