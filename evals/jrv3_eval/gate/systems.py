"""Which two systems the gate compares, and what it refuses to compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..compare import Panel, one_panel
from ..errors import UsageError
from ..stored import System, read_systems


def gate_panel(baseline: Path, results: Path, model: str | None = None) -> Panel:
    """The baseline's system and the candidate's over the baseline's tasks.

    model: which system of the folders is meant, where they hold several. Raises UsageError
    where a task of the baseline has no result, where a result was limited to some queries, or
    where dataset, candidates or metric are others.
    """
    before = _the_system(read_systems([baseline]), baseline, model)
    after = _the_system(read_systems([results]), results, model)
    missing = sorted("/".join(place) for place in before.tasks.keys() - after.tasks.keys())
    if missing:
        raise UsageError(
            f"The results lack {len(missing)} of {len(before.tasks)} tasks of the baseline: "
            f"{', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}.",
            where=str(results),
            next_step="evaluate them too; a gate over fewer tasks would hide a regression",
        )
    for system in (before, after):
        if system.example.limit is not None:
            raise UsageError(
                f"{system.name} was evaluated on {system.example.limit} queries only.",
                where=str(system.tasks[next(iter(system.tasks))].record),
                next_step="evaluate without --limit",
            )
    orders = [s.example.order for s in (before, after) if not s.is_baseline]
    if len(set(orders)) > 1:
        raise UsageError(
            f"The models saw the candidates in other orders: {orders[0]} and {orders[1]}.",
            where=f"{baseline}\n         {results}",
            next_step="evaluate both with the same --order",
        )
    after = System(after.name, {place: after.tasks[place] for place in before.tasks})
    names = ("baseline", "candidate") if before.name == after.name else (before.name, after.name)
    return one_panel([System(names[0], before.tasks), System(names[1], after.tasks)])


def _the_system(systems: Sequence[System], folder: Path, model: str | None) -> System:
    """The one that is meant: the named one, the only one, or the only one that is no baseline."""
    if model is not None:
        named = [s for s in systems if s.name == model]
        named = named or [s for s in systems if s.example.reranker.name == model]
    else:
        named = [s for s in systems if not s.is_baseline] or list(systems)
    if len(named) == 1:
        return named[0]
    known = ", ".join(repr(system.name) for system in systems)
    what = f"holds no system {model!r}" if model and not named else "holds several systems"
    raise UsageError(
        f"The folder {what}: {known}.", where=str(folder), next_step="name one: --model NAME"
    )
