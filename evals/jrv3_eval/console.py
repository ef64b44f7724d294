"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from .cards import Suite
    from .record import TaskResult

NARROWEST = 100


def _console() -> Console:
    """Standard output; wide enough not to cut a table where it is no terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(console.width, 140))
    return console


def print_results(results: Sequence[TaskResult], folder: Path) -> None:
    """One table: task, queries, first stage, reranked, difference, ceiling, headroom."""
    metric = results[0].primary_metric
    table = Table(title=f"{results[0].suite}  ({metric})", title_justify="left")
    columns = ("task", "queries", "model", "first stage", "reranked", "difference [95 %]")
    for column in (*columns, "oracle", "headroom"):
        table.add_column(column, justify="left" if column in ("task", "model") else "right")
    for result in results:
        difference = result.difference[metric]
        queries = min(result.limit or result.dataset.queries, result.dataset.queries)
        table.add_row(
            result.task,
            str(queries),
            result.reranker.name,
            f"{result.candidates.metrics[metric]:.4f}",
            f"{result.metrics[metric]:.4f}",
            f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]",
            f"{result.candidates.oracle[metric]:.4f}",
            "-" if result.headroom is None else f"{result.headroom:.1%}",
        )
    console = _console()
    console.print(table)
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
        if candidates.empty:
            lines[f"{task}: {candidates.empty} queries have no candidate and score 0"] = None
        if result.dataset.missing_judged:
            lines[
                f"{task}: {result.dataset.missing_judged} judged documents are not in the corpus"
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
    table = Table()
    for column in ("suite", "task", "language", "metric", "depth", "documents", "queries"):
        right = column in ("depth", "documents", "queries")
        table.add_column(column, justify="right" if right else "left")
    for suite in suites:
        for card in suite.tasks:
            counts = card.counts
            table.add_row(
                suite.suite,
                card.name,
                card.language,
                suite.metric,
                str(suite.depth),
                "-" if counts.documents is None else f"{counts.documents:,}",
                "-" if counts.queries is None else f"{counts.queries:,}",
            )
    _console().print(table)


def print_models(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of reranker families."""
    table = Table()
    for column in ("family", "models", "listwise", "needs"):
        table.add_column(column)
    for row in rows:
        extra = f"jrv3-eval[{row['extra']}]" if row["extra"] else "-"
        # Brackets are markup to rich, hence the escape.
        table.add_row(
            row["family"],
            row["models"],
            "yes" if row["listwise"] else "no",
            extra.replace("[", r"\["),
        )
    _console().print(table)
