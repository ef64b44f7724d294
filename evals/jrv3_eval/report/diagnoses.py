"""Tables and plots that say why a number is what it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..diagnosis import (
    OrderSpread,
    depth_curve,
    depth_runs,
    headroom_by_query,
    order_spreads,
    score_spread,
)
from ..stored import System
from .figures import ROWS, Plot, Series
from .model import Cell, Column, Table

# Reading runs costs a second a million lines; beyond this a report does without them.
MOST_CANDIDATES = 3_000_000
SHOWN = 4  # figures of one kind
Found = tuple[list[Table], list[Plot], list[str]]


def diagnose(systems: Sequence[System], cache: Path) -> Found:
    """Tables, plots and lines about these systems' results."""
    total = sum(s.result.candidates.documents for one in systems for s in one.tasks.values())
    with_runs = total <= MOST_CANDIDATES
    lines = []
    if not with_runs:
        lines.append(
            f"Depth curves, score distributions and rank agreement are left out: they read every "
            f"run, and these hold {total:,} lines."
        )
    tables = [_headroom(systems), _scoring(systems)]
    plots = [_headroom_plot(systems, lines), *_pareto(systems, lines)] if _results(systems) else []
    spread = order_spreads(systems, rankings=with_runs)
    if spread:
        tables.append(_orders_table(spread))
        plots.append(_orders_plot(spread))
    if with_runs:
        tables.extend(_scores(systems))
    plots.extend(_depth(systems, cache if with_runs else None, lines))
    return [t for t in tables if t.rows], plots, lines


def _results(systems: Sequence[System]) -> list[tuple[str, System, tuple[str, str]]]:
    """(row's name, system, task) of everything that a model reranked."""
    return [
        (f"{place[0]}/{place[1]}", system, place)
        for system in systems
        if not system.is_baseline
        for place in system.tasks
    ]


def _headroom(systems: Sequence[System]) -> Table:
    rows = []
    for name, system, place in _results(systems):
        stored = system.tasks[place]
        one, result = headroom_by_query(stored), stored.result
        metric = result.primary_metric
        shares = (one.no_headroom, one.at_ceiling, one.better, one.worse)
        rows.append(
            (
                Cell(name),
                Cell(system.name),
                _percent(result.candidates.metrics[metric]),
                _percent(result.metrics[metric]),
                _percent(result.candidates.oracle[metric]),
                _percent(result.headroom),
                *map(_percent, shares),
                _percent(one.median_captured),
            )
        )
    numbers = (
        "first stage",
        "reranked",
        "oracle",
        "headroom captured",
        "no headroom",
        "at ceiling",
        "better",
        "worse",
        "median captured",
    )
    return Table(
        name="headroom",
        title="Headroom",
        caption="Percent. Oracle: the best that any order of the candidates could score. The "
        "last five columns are over queries: shares of queries that no order could improve, that "
        "reached the oracle, that got better or worse, and the median share captured.",
        columns=(*_names("task", "model"), *map(Column, numbers)),
        rows=tuple(rows),
    )


def _scoring(systems: Sequence[System]) -> Table:
    rows = []
    for name, system, place in _results(systems):
        result = system.tasks[place].result
        cost, ties = result.cost, result.ties
        is_run = result.reranker.family == "run"  # nobody here saw what it cut
        rows.append(
            (
                Cell(name),
                Cell(system.name),
                _percent(ties.queries),
                _percent(ties.lowest),
                _percent(ties.highest),
                _percent(result.metrics.get("judged@10")),
                Cell("-") if is_run else _percent(result.truncated.documents),
                _number(cost.documents_per_s, ",.1f"),
                _number(cost.latency_ms.p50, ",.1f"),
                _number(cost.latency_ms.p95, ",.1f"),
            )
        )
    numbers = (
        "tied queries",
        "nDCG@10 lowest",
        "nDCG@10 highest",
        "judged@10",
        "documents cut",
        "documents/s",
        "ms p50",
        "ms p95",
    )
    return Table(
        name="scoring",
        title="Ties, judgements, cost",
        caption="Percent, but for the last three. Tied: queries with a tie across rank 10, and "
        "between which values any order of ties would lie. Latency is a query's share of its "
        "batch, as measured when it was scored.",
        columns=(*_names("task", "model"), *map(Column, numbers)),
        rows=tuple(rows),
    )


def _scores(systems: Sequence[System]) -> list[Table]:
    rows = []
    for name, system, place in _results(systems):
        spread = score_spread(system.tasks[place], system.name)
        if spread is not None:
            values = (spread.low, spread.median, spread.high)
            rows.append(
                (
                    Cell(name),
                    Cell(system.name),
                    *(Cell(f"{v:.4g}", v) for v in values),
                    _percent(spread.distinct),
                )
            )
    return [
        Table(
            name="scores",
            title="Scores",
            caption="Quantiles of all scores of a run, and the mean share of distinct scores in "
            "a list, percent: few distinct scores are a sign of saturation or low precision.",
            columns=(*_names("task", "model"), *map(Column, ("5 %", "50 %", "95 %", "distinct"))),
            rows=tuple(rows),
        )
    ]


def _orders_table(spreads: Sequence[OrderSpread]) -> Table:
    orders = list(dict.fromkeys(order for one in spreads for order in one.values))
    rows = tuple(
        (
            Cell("/".join(one.place)),
            Cell(one.model),
            *(_percent(one.values.get(order)) for order in orders),
            _percent(one.spread),
            _number(one.kendall, ".3f"),
        )
        for one in spreads
    )
    return Table(
        name="orders",
        title="Candidate order",
        caption="The same candidates, shown to the model in another order; percent. Kendall: mean "
        "rank agreement with the first stage's order.",
        columns=(*_names("task", "model"), *map(Column, (*orders, "spread", "Kendall"))),
        rows=rows,
    )


def _orders_plot(spreads: Sequence[OrderSpread]) -> Plot:
    orders = list(dict.fromkeys(order for one in spreads for order in one.values))
    ticks = [f"{'/'.join(one.place)} {one.model}" for one in spreads]
    series = [
        Series(
            order,
            [100 * one.values[order] for one in spreads if order in one.values],
            [float(row) for row, one in enumerate(spreads) if order in one.values],
        )
        for order in orders
    ]
    return Plot(
        "order",
        "Candidate order",
        "For each task and model, its score under each order of the candidates.",
        "rows",
        series,
        "points",
        ticks=ticks,
    )


def _headroom_plot(systems: Sequence[System], lines: list[str]) -> Plot:
    every = _results(systems)
    rows = every[:ROWS]
    if len(every) > ROWS:
        lines.append(
            f"The figure of the headroom shows the first {ROWS} of {len(every)} rows; the table "
            "has all."
        )
    parts: list[tuple[float, float, float, float]] = []
    for _, system, place in rows:
        result = system.tasks[place].result
        metric = result.primary_metric
        first = 100 * result.candidates.metrics[metric]
        reranked, oracle = 100 * result.metrics[metric], 100 * result.candidates.oracle[metric]
        kept, high = min(first, reranked), max(first, reranked)
        parts.append(
            (kept, max(0.0, first - reranked), max(0.0, reranked - first), max(0.0, oracle - high))
        )
    series = [
        Series(name, [part[i] for part in parts], [float(r) for r in range(len(rows))])
        for i, name in enumerate(("first stage", "lost", "captured", "left"))
    ]
    return Plot(
        "headroom",
        "Headroom captured",
        "For each task and model: the first stage's score, what the reranker lost or gained, "
        "and what the best order of the candidates would still gain.",
        "bars",
        series,
        "points",
        ticks=[f"{name}  {system.name}" for name, system, _ in rows],
    )


def _pareto(systems: Sequence[System], lines: list[str]) -> list[Plot]:
    """Quality against speed, by task; only where two models or more were timed."""
    plots = []
    for place in dict.fromkeys(place for _, _, place in _results(systems)):
        points = []
        for _, system, other in _results(systems):
            result = system.tasks[other].result
            if other == place and result.cost.documents_per_s:
                value = 100 * result.metrics[result.primary_metric]
                points.append((system.name, result.cost.documents_per_s, value))
        if len(points) > 1:
            plots.append((place, points))
    if len(plots) > SHOWN:
        lines.append(f"Quality against speed is drawn for {SHOWN} of {len(plots)} tasks.")
    return [
        Plot(
            f"pareto-{'-'.join(place)}",
            f"Quality against speed: {'/'.join(place)}",
            "Each model's score against documents scored a second; up and right is better. The "
            "line joins the models that no other one beats in both.",
            "points",
            [Series(name, [speed], [value]) for name, speed, value in points],
            "documents/s",
            "points",
            log_x=True,
        )
        for place, points in plots[:SHOWN]
    ]


def _depth(systems: Sequence[System], cache: Path | None, lines: list[str]) -> list[Plot]:
    curves: dict[tuple[str, str], list[Series]] = {}
    if cache is not None:
        for _, system, place in _results(systems):
            points = depth_curve(system, place, cache)
            if len(points) > 1:
                curves.setdefault(place, []).append(
                    Series(
                        system.name,
                        [float(p.depth) for p in points],
                        [100 * p.value for p in points],
                    )
                )
    for place, model, values in depth_runs(systems):
        series = Series(
            f"{model}, a run at each depth",
            [float(depth) for depth in values],
            [100 * value for value in values.values()],
        )
        curves.setdefault(place, []).append(series)
    if len(curves) > SHOWN:
        lines.append(f"Quality by depth is drawn for {SHOWN} of {len(curves)} tasks.")
    if not curves and cache is not None and _results(systems):
        lines.append(
            "There is no depth curve: for a listwise model it takes a run at each depth, for "
            "others the candidates in the cache."
        )
    return [
        Plot(
            f"depth-{'-'.join(place)}",
            f"Quality by depth: {'/'.join(place)}",
            "The score with fewer candidates. A pointwise model's follows exactly from its run.",
            "lines",
            series,
            "candidates a query",
            "points",
        )
        for place, series in list(curves.items())[:SHOWN]
    ]


def _names(*titles: str) -> tuple[Column, ...]:
    return tuple(Column(title, numeric=False) for title in titles)


def _percent(value: float | None) -> Cell:
    return Cell("-") if value is None else Cell(f"{100 * value:.2f}", 100 * value)


def _number(value: float | None, form: str) -> Cell:
    return Cell("-") if value is None else Cell(format(value, form), value)
