"""Published comparisons in words."""

from __future__ import annotations

from collections.abc import Sequence

from .matching import Beside
from .schema import PublishedTable
from .training import MEANING, SIGN, declares


def shown_verdict(row: Beside) -> str:
    """The verdict in words; without a published value, what the protocol alone says."""
    if row.published is None:
        return row.verdict or "no published value"
    return f"{row.verdict}{'*' if row.assuming and row.difference is not None else ''}"


def beside_remarks(rows: Sequence[Beside]) -> list[str]:
    """Why values are not comparable, what differences assume, and the marks; each once."""
    lines: dict[str, None] = {}
    for row in rows:
        if row.conflicts:
            lines[f"not comparable with {_source(row.table)}: {row.why()}"] = None
        elif row.published is None:
            lines[f"{_source(row.table)} has no line for {row.measured.model}"] = None
        elif row.assuming:
            lines[f"* {row.table.name}: {row.why()}"] = None
    if any(marked_name(row) != row.measured.name for row in rows):
        lines[f"{SIGN} {MEANING}"] = None
    return list(lines)


def _source(table: PublishedTable) -> str:
    version = f" ({table.source.version})" if table.source.version else ""
    return f"{table.name}: {table.source.table}{version}"


def marked_name(row: Beside) -> str:
    """The task's name, with a mark where the model was trained on it."""
    one = row.measured
    tasks = [(result.suite, result.task) for result in one.results]
    model = row.row.model if row.row and row.row.model else one.model
    trained = any(declares(model, suite, task) for suite, task in tasks)
    return f"{one.name} {SIGN}" if trained else one.name
