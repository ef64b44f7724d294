"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..remarks import remarks
from .table import open_console, print_table

if TYPE_CHECKING:
    from ..averages import SuiteAverage
    from ..cards import Suite
    from ..record import TaskResult

NO_HEADROOM = 1e-6


def print_results(
    results: Sequence[TaskResult], folder: Path, averages: Sequence[SuiteAverage] = ()
) -> None:
    """One table: task, queries, first stage, reranked, difference, ceiling, headroom; means."""
    metric = results[0].primary_metric
    columns = ("task", "queries", "model", "first stage", "reranked", "difference [95 %]")
    rows = []
    for result in results:
        difference = result.difference[metric]
        queries = min(result.limit or result.dataset.queries, result.dataset.queries)
        rows.append(
            (
                result.task,
                str(queries),
                result.reranker.name,
                f"{result.candidates.metrics[metric]:.4f}",
                f"{result.metrics[metric]:.4f}",
                f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]",
                f"{result.candidates.oracle[metric]:.4f}",
                "-" if result.headroom is None else f"{result.headroom:.1%}",
            )
        )
    console = open_console()
    published_as = results[0].protocol and results[0].protocol.published_as
    shown_metric = f"{metric}, published as {published_as}" if published_as else metric
    print_table(
        console,
        {name: name not in ("task", "model") for name in (*columns, "oracle", "headroom")},
        [*rows, *filter(None, map(_average_row, averages))],
        title=f"{results[0].suite}  ({shown_metric})",
    )
    for line in [*_average_remarks(averages), *remarks(results)]:
        console.print(line, soft_wrap=True)
    places = sorted({str(folder / result.folder()) for result in results})
    console.print("records: " + "\n         ".join(places), soft_wrap=True)


def _average_row(average: SuiteAverage) -> tuple[str, ...] | None:
    if average.reranked is None or average.first_stage is None or average.oracle is None:
        return None
    total = average.tasks + len(average.missing)
    count = f"{average.members}" if average.complete else f"{average.tasks} of {total} tasks"
    count += ", limited" if average.limited else ""
    gain, room = average.reranked - average.first_stage, average.oracle - average.first_stage
    return (
        f"mean of {count}: {average.name}",
        "-",
        average.model,
        f"{average.first_stage:.4f}",
        f"{average.reranked:.4f}",
        f"{gain:+.4f}",
        f"{average.oracle:.4f}",
        f"{gain / room:.1%}" if room >= NO_HEADROOM else "-",
    )


def _average_remarks(averages: Sequence[SuiteAverage]) -> list[str]:
    """What is missing in a mean, printed or not, once for all models that miss the same."""
    lines: dict[str, None] = {}
    for average in averages:
        missing = ", ".join(average.missing)
        if not average.complete and average.reranked is None:
            total = average.tasks + len(average.missing)
            lines[
                f"no average {average.name}: {len(average.missing)} of {total} tasks have no "
                "result (--partial-average prints it all the same, and names them)"
            ] = None
        elif not average.complete:
            lines[f"{average.name} is incomplete; missing: {missing}"] = None
    return list(lines)


def print_tasks(suites: Sequence[Suite]) -> None:
    """A table of tasks."""
    names = ("suite", "task", "language", "metric", "depth", "documents", "queries")
    rows = [
        (
            suite.suite,
            card.name,
            card.language,
            suite.metric,
            str(suite.depth),
            _shown_count(card.counts.documents),
            _shown_count(card.counts.queries),
        )
        for suite in suites
        for card in suite.tasks
    ]
    print_table(open_console(), {n: n in ("depth", "documents", "queries") for n in names}, rows)


def _shown_count(count: int | str | None) -> str:
    return f"{count:,}" if isinstance(count, int) else count or "-"
