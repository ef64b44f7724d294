"""From stored results to a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..compare import MovedQuery, Panel, compare_two, corrected, moved_by_reranking, panels
from ..errors import unknown
from ..published import Beside, PublishedTable, beside_remarks, systems_beside
from ..record import TaskResult
from ..statistics import RESAMPLES
from ..stored import Place, Stored, System
from .diagnoses import diagnose
from .figures import ROWS, Plot, Series, draw
from .model import Report, Section
from .tables import Ranked, pairs_table, published_table, suite_table, suites_table

TOP = 5  # documents shown of each order


@dataclass(frozen=True)
class ReportOptions:
    """What goes into a report.

    baseline: the system that others are compared with; None takes the first stage of each.
    drill: how many of the most moved queries a task are shown. names: a system's name -> the
    published model to compare it with.
    """

    title: str = "Reranker evaluation"
    baseline: str | None = None
    drill: int = 20
    names: Mapping[str, str] = field(default_factory=dict)


def build_report(
    systems: Sequence[System],
    tables: Sequence[PublishedTable],
    options: ReportOptions,
    cache: Path,
) -> tuple[Report, list[Plot]]:
    """The report and its plots. The same inputs give the same report.

    Raises UsageError where the baseline is none of the systems.
    """
    if options.baseline is not None:
        known = [name for s in systems for name in (s.name, s.example.reranker.name)]
        if options.baseline not in known:
            raise unknown("system", options.baseline, set(known))
    ranked = _ranked(panels(systems), options)
    measured = [
        (system.name, [stored.result for stored in system.tasks.values()])
        for system in systems
        if system.example.reranker.family != "baseline" or system.example.reranker.name == "none"
    ]
    beside = systems_beside(measured, tables, options.names)
    diagnosed, plots, lines = diagnose(systems, cache)
    plots = [*_published_plots(beside), _scores_plot(systems), *plots]
    sections = [
        _results_section(ranked, plots),
        _published_section(beside, plots),
        Section(
            "diagnosis",
            "Diagnosis",
            lines=tuple(lines),
            tables=tuple(diagnosed),
            figures=tuple(draw(plot) for plot in plots[len(_published_plots(beside)) + 1 :]),
        ),
    ]
    report = Report(
        title=options.title,
        lead=_lead(systems),
        sections=tuple(s for s in sections if s.tables or s.lines or s.figures),
        queries=tuple(_queries(systems, options.drill, cache)),
    )
    return report, plots


def _ranked(found: Sequence[Panel], options: ReportOptions) -> list[Ranked]:
    """Every system against the baseline where it stands on the same candidates."""
    against = [_baseline(panel, options.baseline) for panel in found]
    others = [
        [i for i, s in enumerate(panel.systems) if i != base and not s.is_baseline]
        if base is not None
        else []
        for panel, base in zip(found, against, strict=True)
    ]
    expected = sum(
        len(chosen) * (len(panel.places) + len(panel.means))
        for panel, chosen in zip(found, others, strict=True)
    )
    # A p-value is at least 1 / (draws + 1): enough draws that a corrected one can be small.
    found = [replace(panel, resamples=max(RESAMPLES, 40 * expected)) for panel in found]
    pairs = [
        [pair for other in chosen for pair in compare_two(panel, base or 0, other)]
        for panel, base, chosen in zip(found, against, others, strict=True)
    ]
    whole = iter(corrected([pair for group in pairs for pair in group]))
    count = sum(map(len, pairs))
    names = options.baseline or "the first stage"
    return [
        Ranked(panel, names, [next(whole) for _ in group], count, options.names)
        for panel, group in zip(found, pairs, strict=True)
    ]


def _baseline(panel: Panel, baseline: str | None) -> int | None:
    """The column that others are compared with; None where the panel has it not."""
    if baseline is None:
        return panel.first_stage
    for index, system in enumerate(panel.systems):
        if baseline in (system.name, system.example.reranker.name):
            return index
    return None


def _results_section(ranked: Sequence[Ranked], plots: Sequence[Plot]) -> Section:
    suites = list(dict.fromkeys(place[0] for one in ranked for place in one.panel.places))
    tables = [suites_table(ranked), *(suite_table(suite, ranked) for suite in suites)]
    tables.append(pairs_table(ranked))
    figures = [draw(plot) for plot in plots if plot.name == "scores"]
    return Section(
        "results",
        "Results",
        tables=tuple(table for table in tables if table is not None),
        figures=tuple(figures),
    )


def _published_section(beside: Sequence[Beside], plots: Sequence[Plot]) -> Section:
    table = published_table(beside)
    return Section(
        "published",
        "Published numbers",
        lines=tuple(beside_remarks(beside)),
        tables=(table,) if table else (),
        figures=tuple(draw(plot) for plot in plots if plot.name.startswith("published")),
    )


def _lead(systems: Sequence[System]) -> tuple[str, ...]:
    """What the numbers rest on: dataset versions, candidates, models and their settings."""
    lines: dict[str, None] = {}
    for system in systems:
        one = system.example.reranker
        if not system.is_baseline:
            weights = f", weights {one.weights[:12]}" if one.weights else ""
            kind = ", listwise" if one.listwise else ", pointwise"
            shown = "" if one.family == "run" else kind  # of a run nobody knows
            unpinned = "; unpinned: its model can change unseen" if one.unpinned else ""
            lines[f"{system.name}: {one.family}{shown}{weights}{unpinned}"] = None
    for system in systems:
        for (suite, task), stored in system.tasks.items():
            result = stored.result
            lines[
                f"{suite}/{task}: {result.dataset.queries} queries, "
                f"{result.dataset.documents} documents, dataset {result.dataset.fingerprint[:12]}; "
                f"{result.candidates.first_stage}, depth {result.candidates.depth}, "
                f"candidates {result.candidates.hash[:12]}"
            ] = None
    return tuple(lines)


def _scores_plot(systems: Sequence[System]) -> Plot:
    places = list(dict.fromkeys(place for system in systems for place in system.tasks))[:ROWS]
    series = []
    for system in systems:
        shown = [(row, place) for row, place in enumerate(places) if place in system.tasks]
        results = [system.tasks[place].result for _, place in shown]
        ends = [_interval(r) for r in results]
        is_none = system.example.reranker.name == "none"
        series.append(
            Series(
                system.name.replace("none", "first stage", 1) if is_none else system.name,
                [100 * r.metrics[r.primary_metric] for r in results],
                [float(row) for row, _ in shown],
                [100 * low for low, _ in ends],
                [100 * high for _, high in ends],
            )
        )
    return Plot(
        "scores",
        "Scores by task",
        "Each system's score on each task with its 95 % interval over queries. The tables above "
        "have the values.",
        "rows",
        series,
        "points",
        ticks=["/".join(place) for place in places],
    )


def _published_plots(beside: Sequence[Beside]) -> list[Plot]:
    """Measured against published by dataset, a plot a system; only comparable values."""
    plots = []
    rows = [b for b in beside if b.difference is not None and b.measured.task is not None]
    for index, model in enumerate(dict.fromkeys(row.measured.model for row in rows)):
        own = [row for row in rows if row.measured.model == model][:ROWS]
        ends = [_interval(row.measured.results[0]) for row in own]
        at = [float(row) for row in range(len(own))]
        series = [
            Series(
                "measured",
                [row.measured.value for row in own],
                at,
                [100 * low for low, _ in ends],
                [100 * high for _, high in ends],
            ),
            Series("published", [float(row.published or 0) for row in own], at),
        ]
        plots.append(
            Plot(
                f"published-{index + 1}",
                f"Measured against published: {model}",
                "Filled: measured, with its 95 % interval over queries. Hollow: published.",
                "rows",
                series,
                "points",
                ticks=[f"{row.measured.name} ({row.table.name})" for row in own],
            )
        )
    return plots


def _queries(systems: Sequence[System], count: int, cache: Path) -> list[MovedQuery]:
    """On each task the queries that its best model moved most from the first stage's order."""
    best: dict[Place, System] = {}
    for system in systems:
        for place in system.tasks:
            if not system.is_baseline and (
                place not in best or _score(system, place) > _score(best[place], place)
            ):
                best[place] = system
    if not count:
        return []
    return [
        query
        for place, system in sorted(best.items())
        for query in moved_by_reranking(
            place,
            system.tasks[place],
            system.name,
            count,
            TOP,
            cache,
            _unranked(systems, place, system),
        )
    ]


def _unranked(systems: Sequence[System], place: Place, system: System) -> Stored | None:
    """The first stage's own result over the same candidates, where the report has it."""
    candidates = system.tasks[place].result.candidates.hash
    return next(
        (
            other.tasks[place]
            for other in systems
            if place in other.tasks
            and other.example.reranker.name == "none"
            and other.tasks[place].result.candidates.hash == candidates
        ),
        None,
    )


def _score(system: System, place: Place) -> float:
    result = system.tasks[place].result
    return result.metrics[result.primary_metric]


def _interval(result: TaskResult) -> tuple[float, float]:
    value = result.metrics[result.primary_metric]
    return result.interval.get(result.primary_metric, (value, value))
