"""Tables of a report: suites by model, a suite by task, pairs, published values, diagnosis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..compare import Mean, Pair, Panel, key
from ..published import TRAINING_MEANING, TRAINING_SIGN, Beside, declares, shown_verdict
from ..stored import Place
from .model import Cell, Column, Mark, Table

SIGNIFICANT, LIMITED = "*", "‡"
LEVEL = 0.05


@dataclass(frozen=True)
class Ranked:
    """A panel with the comparison of each of its systems to `baseline`.

    comparisons: how many the whole report makes; p-values are corrected for all of them.
    published_as: a system's name -> the published model that it is.
    """

    panel: Panel
    baseline: str
    pairs: Sequence[Pair]
    comparisons: int
    published_as: Mapping[str, str]

    def significant(self, system: str, suite: str, name: str, task: str | None) -> bool:
        """Whether the system differs from the baseline there, all comparisons corrected for."""
        return any(
            pair.corrected < LEVEL
            for pair in self.pairs
            if (pair.second_name, pair.suite, pair.task, pair.name) == (system, suite, task, name)
        )


def suites_table(panels: Sequence[Ranked]) -> Table | None:
    """Rows are models, columns the suites' means, as the paper's Table 2; None without means."""
    means = list(
        dict.fromkeys((mean.suite, mean.name) for one in panels for mean in one.panel.means)
    )
    if not means:
        return None
    titles = tuple(Column(f"{suite}: {name}") for suite, name in means)
    rows, groups = [], []
    for one in panels:
        found = {(mean.suite, mean.name): mean for mean in one.panel.means}
        group = _panel_rows(one, [(place, found.get(place)) for place in means])
        rows.extend(group)
        groups.append(len(group))
    return Table(
        name="suites",
        title="Suites",
        caption=f"Means over tasks of {_metrics(panels, means)}, percent. "
        f"{_protocol(panels, None)}",
        columns=(Column("model", numeric=False), *titles),
        rows=tuple(rows),
        legend=_legend(rows, panels),
        paper=True,
        groups=tuple(groups),
    )


def suite_table(suite: str, panels: Sequence[Ranked]) -> Table:
    """Rows are models, columns the suite's means and tasks, as the paper's Tables 3 and 4."""
    own = [one for one in panels if any(place[0] == suite for place in one.panel.places)]
    places = list(
        dict.fromkeys(place for one in own for place in one.panel.places if place[0] == suite)
    )
    means = list(
        dict.fromkeys(mean.name for one in own for mean in one.panel.means if mean.suite == suite)
    )
    rows, groups = [], []
    for one in own:
        found = {mean.name: mean for mean in one.panel.means if mean.suite == suite}
        columns: list[tuple[Place, Mean | None]] = [((suite, n), found.get(n)) for n in means]
        columns += [
            (place, Mean(suite, place[1], {key(place): 1.0}) if place in one.panel.places else None)
            for place in places
        ]
        group = _panel_rows(one, columns)
        rows.extend(group)
        groups.append(len(group))
    titles = [*means, *(task for _, task in places)]
    metrics = ", ".join(dict.fromkeys(_metric(one.panel, suite) for one in own))
    return Table(
        name=f"suite-{suite}",
        title=suite,
        caption=f"{metrics}, percent. {_protocol(own, suite)}",
        columns=(Column("model", numeric=False), *map(Column, titles)),
        rows=tuple(rows),
        legend=_legend(rows, own),
        paper=True,
        groups=tuple(groups),
    )


def _panel_rows(
    one: Ranked, columns: Sequence[tuple[Place, Mean | None]]
) -> list[tuple[Cell, ...]]:
    """The first stage's row, then one a system, with the best and second of each column marked."""
    panel = one.panel
    shown = [panel.first_stage, *(i for i, s in enumerate(panel.systems) if not _is_none(panel, i))]
    values = [[_value(panel, system, mean) for _, mean in columns] for system in shown]
    # The oracle and random orders are no contestants.
    ranked = [
        index
        for index, system in enumerate(shown)
        if system == panel.first_stage or not panel.systems[system].is_baseline
    ]
    marks = [_marks([row[c] for row in values], ranked) for c in range(len(columns))]
    rows = []
    for index, system in enumerate(shown):
        name = panel.name(system)
        cells = [Cell(name if system != panel.first_stage else _stage(panel))]
        for c, (place, mean) in enumerate(columns):
            value = values[index][c]
            if value is None or mean is None:
                cells.append(Cell("-"))
                continue
            signs = _signs(one, system, place, mean)
            cells.append(Cell(f"{100 * value:.2f}", 100 * value, marks[c].get(index, ""), signs))
        rows.append(tuple(cells))
    return rows


def _is_none(panel: Panel, system: int) -> bool:
    return panel.systems[system].example.reranker.name == "none"


def _stage(panel: Panel) -> str:
    results = [panel.result(place).candidates for place in panel.places]
    stages = ", ".join(dict.fromkeys(one.first_stage for one in results))
    depths = ", ".join(str(depth) for depth in sorted({one.depth for one in results}))
    return f"first stage: {stages}, top {depths}"


def _value(panel: Panel, system: int, mean: Mean | None) -> float | None:
    if mean is None or not all(
        panel.has(system, place) for place in panel.places if key(place) in mean.share
    ):
        return None
    return panel.resampling.estimate(panel.contrast(mean.share, system, None))


def _marks(values: Sequence[float | None], ranked: Sequence[int]) -> dict[int, Mark]:
    """Best and second best by the value as shown: equal ones share the mark."""
    shown = {i: round(100 * v, 2) for i in ranked if (v := values[i]) is not None}
    places = sorted(set(shown.values()), reverse=True)
    if len(shown) < 2:
        return {}
    order: tuple[Mark, Mark] = ("best", "second")
    names = dict(zip(places[:2], order, strict=False))
    return {index: names[value] for index, value in shown.items() if value in names}


def _signs(one: Ranked, system: int, place: Place, mean: Mean) -> tuple[str, ...]:
    panel = one.panel
    if system == panel.first_stage:
        return ()
    name = panel.name(system)
    tasks = [p for p in panel.places if key(p) in mean.share]
    results = [panel.systems[system].tasks[p].result for p in tasks if panel.has(system, p)]
    task = mean.name if len(tasks) == 1 and tasks[0] == place else None
    signs = []
    if one.significant(name, mean.suite, mean.name, task):
        signs.append(SIGNIFICANT)
    model = one.published_as.get(name, results[0].reranker.name)
    if any(declares(model, *p) for p in tasks):
        signs.append(TRAINING_SIGN)
    if any(result.limit is not None for result in results):
        signs.append(LIMITED)
    return tuple(signs)


def _legend(
    rows: Sequence[Sequence[Cell]], panels: Sequence[Ranked]
) -> tuple[tuple[str, str], ...]:
    used = {sign for row in rows for cell in row for sign in cell.signs}
    baselines = ", ".join(dict.fromkeys(one.baseline for one in panels))
    count = max((one.comparisons for one in panels), default=0)
    meanings = (
        (
            SIGNIFICANT,
            f"differs from {baselines} (paired randomisation test, p < {LEVEL} after Holm's "
            f"correction for {count} comparisons)",
        ),
        (TRAINING_SIGN, TRAINING_MEANING),
        (LIMITED, "limited to some of the queries; not a result to publish"),
    )
    return tuple((sign, meaning) for sign, meaning in meanings if sign in used)


def _metric(panel: Panel, suite: str) -> str:
    result = next(panel.result(p) for p in panel.places if p[0] == suite)
    as_published = result.protocol and result.protocol.published_as
    name = result.primary_metric
    return f"{name} (published as {as_published})" if as_published else name


def _metrics(panels: Sequence[Ranked], means: Sequence[tuple[str, str]]) -> str:
    """The metrics of these suites."""
    found = [
        _metric(one.panel, suite)
        for suite, _ in means
        for one in panels
        if any(place[0] == suite for place in one.panel.places)
    ]
    return ", ".join(dict.fromkeys(found))


def _protocol(panels: Sequence[Ranked], suite: str | None) -> str:
    """What a caption must say: candidates, depth, orders; best and second within a group."""
    results = [
        stored.result
        for one in panels
        for system in one.panel.systems
        for place, stored in system.tasks.items()
        if suite in (None, place[0])
    ]
    stages = ", ".join(dict.fromkeys(r.candidates.first_stage for r in results))
    depths = ", ".join(str(d) for d in sorted({r.candidates.depth for r in results}))
    orders = ", ".join(dict.fromkeys(r.order for r in results))
    told = f"Reranked: the top {depths} of {stages}; candidates seen in the order {orders}."
    return told + " Best in bold, second underlined, among models on the same candidates."


def pairs_table(panels: Sequence[Ranked]) -> Table | None:
    """Every comparison with the baseline, with interval, p and counts."""
    pairs = [(pair, one) for one in panels for pair in one.pairs]
    if not pairs:
        return None
    names = ("task", "baseline", "model")
    numbers = ("queries", "difference", "low", "high", "p", "p (Holm)", "wins", "ties", "losses")
    rows = tuple(
        (
            Cell(f"{pair.suite}/{pair.name}"),
            Cell(pair.first_name),
            Cell(pair.second_name),
            Cell(str(pair.queries), pair.queries),
            *(Cell(f"{100 * v:+.2f}", 100 * v) for v in (pair.difference, pair.low, pair.high)),
            Cell(f"{pair.p:.4f}", pair.p),
            Cell(f"{pair.corrected:.4f}", pair.corrected),
            *(Cell(str(v), v) for v in (pair.wins, pair.ties, pair.losses)),
            Cell(f"{100 * pair.detectable:.2f}", 100 * pair.detectable),
        )
        for pair, _ in pairs
    )
    return Table(
        name="pairs",
        title="Differences",
        caption="Points; 95 % intervals (BCa bootstrap over queries, tasks fixed); p of the paired "
        "randomisation test. Detectable: the smallest true difference that these queries would "
        "show four times in five.",
        columns=(
            *(Column(name, numeric=False) for name in names),
            *map(Column, (*numbers, "detectable")),
        ),
        rows=rows,
    )


def published_table(rows: Sequence[Beside]) -> Table | None:
    """Measured values beside published ones: the protocol first, then the value."""
    if not rows:
        return None
    cells = []
    for row in rows:
        one = row.measured
        model = row.row.model if row.row else one.model
        trained = any(declares(model, r.suite, r.task) for r in one.results)
        signs = (TRAINING_SIGN,) if trained else ()
        cells.append(
            (
                Cell(f"{one.suite}/{one.name}", signs=signs),
                Cell(one.model),
                Cell(f"{one.value:.2f}", one.value),
                _optional(row.published, ".2f"),
                _optional(row.difference, "+.2f"),
                Cell(shown_verdict(row)),
                Cell(row.why()),
                Cell(f"{row.table.name}{f': {row.row.label}' if row.row else ''}"),
            )
        )
    numeric = {"measured", "published", "difference"}
    names = ("task", "model", "measured", "published", "difference", "verdict", "why", "table")
    used = any(cell.signs for row in cells for cell in row)
    return Table(
        name="published",
        title="Measured against published",
        caption="Percent. Reproduced: at most 0.1 point apart under an equal protocol; close: at "
        "most 0.5. An asterisk marks a verdict that rests on assumptions. Where a part of the "
        "protocol conflicts there is no difference.",
        columns=tuple(Column(name, name in numeric) for name in names),
        rows=tuple(cells),
        legend=((TRAINING_SIGN, TRAINING_MEANING),) if used else (),
    )


def _optional(value: float | None, form: str) -> Cell:
    return Cell("-") if value is None else Cell(format(value, form), value)
