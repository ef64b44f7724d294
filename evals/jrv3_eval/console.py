"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from .cards import Suite
    from .record import TaskResult

FOLDED = 8  # the fewest characters a line that a folded name keeps
UNBOUNDED = 10_000


def _console() -> Console:
    """Standard output; wide enough not to cut a table where it is no terminal.

    Names and paths may hold brackets and colons, so nothing is read as markup.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, emoji=False, width=max(console.width, 140))
    return console


def _print_table(
    console: Console,
    columns: Mapping[str, bool],
    rows: Sequence[Sequence[str]],
    title: str | None = None,
) -> None:
    """A table, or one block a row where the terminal is too narrow for it.

    columns: name -> whether it holds numbers. Texts may fold; a number is never cut.
    """
    table = Table(title=title, title_justify="left")
    for column, numbers in columns.items():
        table.add_column(
            column, justify="right" if numbers else "left", no_wrap=numbers, overflow="fold"
        )
    for row in rows:
        table.add_row(*row)
    natural = console.measure(table, options=console.options.update(width=UNBOUNDED)).maximum
    widths = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]
    foldable = sum(
        max(0, width - FOLDED)
        for width, numbers in zip(widths, columns.values(), strict=True)
        if not numbers
    )
    if natural - foldable <= console.width:
        console.print(table)
        return
    if title:
        console.print(title, soft_wrap=True)
    for row in rows:
        cells = list(zip(columns.items(), row, strict=True))
        heading = ", ".join(cell for (_, numbers), cell in cells if not numbers)
        values = [f"  {name}: {cell}" for (name, numbers), cell in cells if numbers]
        console.print("\n".join([heading, *values]), soft_wrap=True)


def print_results(results: Sequence[TaskResult], folder: Path) -> None:
    """One table: task, queries, first stage, reranked, difference, ceiling, headroom."""
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
    console = _console()
    _print_table(
        console,
        {name: name not in ("task", "model") for name in (*columns, "oracle", "headroom")},
        rows,
        title=f"{results[0].suite}  ({metric})",
    )
    for line in _remarks(results):
        console.print(line, soft_wrap=True)
    places = sorted({str(folder / result.folder()) for result in results})
    console.print("records: " + "\n         ".join(places), soft_wrap=True)


def _remarks(results: Sequence[TaskResult]) -> list[str]:
    """What a reader must know about these numbers, once for each task."""
    lines: dict[str, None] = {}
    for result in results:
        candidates, task = result.candidates, result.task
        lines[
            f"{task}: {candidates.first_stage}, depth {candidates.depth}, "
            f"recall@{min(candidates.depth, 100)} {candidates.metrics['recall@100']:.4f}, "
            f"candidates {candidates.hash[:8]}, dataset {result.dataset.fingerprint[:8]}"
        ] = None
        if result.limit is not None:
            lines[f"{task}: limited to {result.limit} queries; not a result to publish"] = None
        if result.order != "first-stage":
            lines[f"{task}, {result.reranker.name}: the model saw the order {result.order}"] = None
        if result.blocks and result.blocks.several:
            lines[
                f"{task}, {result.reranker.name}: {result.blocks.several:.1%} of lists were read "
                f"in several blocks, at most {result.blocks.most}"
            ] = None
        if candidates.empty:
            lines[f"{task}: {candidates.empty} queries have no candidate and score 0"] = None
        if result.dataset.missing_judged:
            lines[
                f"{task}: {result.dataset.missing_judged} judged documents are not in the corpus"
            ] = None
        if result.dataset.duplicate_documents:
            lines[
                f"{task}: {result.dataset.duplicate_documents} documents repeat the text of another"
            ] = None
        if result.ties.queries:
            lines[
                f"{task}, {result.reranker.name}: {result.ties.queries:.1%} of queries have a tie "
                f"across rank 10; ties allow {result.ties.lowest:.4f} to {result.ties.highest:.4f}"
            ] = None
        cost = result.cost
        if cost.documents_per_s:
            fresh = f"{cost.model_calls} model calls, {cost.cached} queries from the score store"
            lines[
                f"{task}, {result.reranker.name}: {cost.seconds:.1f} s of scoring, "
                f"{cost.documents_per_s:,.0f} documents/s; {fresh}"
            ] = None
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
    _print_table(_console(), {n: n in ("depth", "documents", "queries") for n in names}, rows)


def _shown_count(count: int | str | None) -> str:
    return f"{count:,}" if isinstance(count, int) else count or "-"


def print_models(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of reranker families."""
    cells = [
        (
            row["family"],
            row["models"],
            "yes" if row["listwise"] else "no",
            f"jrv3-eval[{row['extra']}]" if row["extra"] else "-",
        )
        for row in rows
    ]
    columns = dict.fromkeys(("family", "models", "listwise", "needs"), False)
    _print_table(_console(), columns, cells)
