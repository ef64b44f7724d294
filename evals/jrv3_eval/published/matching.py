"""The protocol before the value: a measured number beside a published one, field by field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from ..cards import load_suite
from ..errors import UsageError
from ..metrics import parse_metric
from ..record import TaskResult
from .schema import PublishedTable, Row, plain_model

REPRODUCED, CLOSE = 0.1, 0.5  # points
_ROUNDING = 1e-9
Verdict = Literal["reproduced", "close", "differs", "not comparable"]
State = Literal["equal", "conflict", "unknown"]


@dataclass(frozen=True)
class Field:
    """One field of the protocol on both sides; published is None where it is not stated."""

    name: str
    measured: str
    published: str | None
    state: State


@dataclass(frozen=True)
class Measured:
    """A measured value. task: None for an average over `results`. value: percent.

    model: the name to look for, of the first stage where nothing was reranked.
    """

    suite: str
    task: str | None
    name: str
    model: str
    reranked: bool
    metric: str
    value: float
    first_stage: float
    results: tuple[TaskResult, ...]


@dataclass(frozen=True)
class Beside:
    """A measured value beside a published one. Values and differences are in points.

    difference: None where a field conflicts. assuming: fields that the published side does
    not state. row: None where the table has no line of this model; then only the protocol
    was looked at. published_first_stage: the table's own value before reranking.
    """

    measured: Measured
    table: PublishedTable
    row: Row | None
    published: float | None
    fields: tuple[Field, ...]
    difference: float | None
    verdict: Verdict | None
    published_first_stage: float | None

    @property
    def conflicts(self) -> tuple[Field, ...]:
        """Fields in which the two protocols are known to differ."""
        return tuple(field for field in self.fields if field.state == "conflict")

    @property
    def assuming(self) -> tuple[str, ...]:
        """Names of fields that the published side does not state."""
        return tuple(field.name for field in self.fields if field.state == "unknown")

    def why(self) -> str:
        """Conflicts in words, or what the difference assumes; empty where all is equal."""
        if self.conflicts:
            return "; ".join(
                f"{f.name}: {f.measured} here, {f.published} there" for f in self.conflicts
            )
        return f"assuming the same {', '.join(self.assuming)}" if self.assuming else ""


def verdict_for(difference: float) -> Verdict:
    """By the absolute difference in points; the sampling interval is no yardstick here."""
    size = abs(difference) - _ROUNDING
    return "reproduced" if size <= REPRODUCED else "close" if size <= CLOSE else "differs"


def measured_task(result: TaskResult) -> Measured:
    """A result as one side of a comparison."""
    return _measured((result,), result.task, result.task)


def measured_average(
    name: str, results: Sequence[TaskResult], value: float, first: float
) -> Measured:
    """An average as one side; value, first: fractions, reranked and first stage."""
    one = _measured(tuple(results), None, name)
    return Measured(**{**one.__dict__, "value": 100 * value, "first_stage": 100 * first})


def _measured(results: tuple[TaskResult, ...], task: str | None, name: str) -> Measured:
    first = results[0]
    reranked = first.reranker.family != "baseline"
    stage = first.candidates.first_stage
    model = first.reranker.name
    if first.reranker.name == "none":
        model = stage.removeprefix("dense-")
    return Measured(
        suite=first.suite,
        task=task,
        name=name,
        model=model,
        reranked=reranked,
        metric=first.primary_metric,
        value=100 * first.metrics[first.primary_metric],
        first_stage=100 * first.candidates.metrics[first.primary_metric],
        results=results,
    )


def beside(
    measured: Measured, tables: Iterable[PublishedTable], named: str | None = None
) -> list[Beside]:
    """The measured value beside every published value of the same model.

    named: the published model that this one is to be compared with, where its own name is
    another. Where no table has the model, the protocol beside the table that the task's card
    names, without a value.
    """
    wanted = plain_model(named or measured.model)
    found, named_tables = [], []
    for table in tables:
        key = _place(measured, table)
        metric = _metric_in(measured, table)
        if key is None or metric is None or table.unit != "percent":
            continue
        if _is_the_cards(measured, table):
            named_tables.append((table, key, metric))
        for row in table.rows:
            # A file that names no model is about the one that the user says it is.
            same = plain_model(row.model) == wanted if row.model else named is not None
            if not same or not _same_kind(measured, table, row, key):
                continue
            value = _value(row, metric, key)
            if value is not None:
                found.append(_compared(measured, table, row, key, metric, value))
    if found:
        return found
    return [_compared(measured, table, None, key, m, None) for table, key, m in named_tables[:1]]


def _place(measured: Measured, table: PublishedTable) -> str | None:
    """The dataset's name in the table (`average` for its mean); None where it cannot have it."""
    if table.suite == measured.suite:
        if measured.task is None and _has_column(table, measured.name):
            return measured.name  # a mean that the table counts as one dataset
        return measured.task or "average"
    if table.suite != "overall":
        return None
    return measured.suite if measured.task is None else f"{measured.suite}/{measured.task}"


def _has_column(table: PublishedTable, name: str) -> bool:
    return any(name in cells for row in table.rows for cells in row.scores.values())


def _metric_in(measured: Measured, table: PublishedTable) -> str | None:
    protocol = measured.results[0].protocol
    names = [measured.metric]
    if protocol and protocol.published_as:
        names = [protocol.published_as.lower()]  # its own name there means something else
    return next((name for name in names if name in table.metrics), None)


def _value(row: Row, metric: str, key: str) -> float | None:
    if key == "average":
        return row.averages.get(metric)
    return row.scores.get(metric, {}).get(key)


def _same_kind(measured: Measured, table: PublishedTable, row: Row, key: str) -> bool:
    """A reranker's line for a reranker, a retriever's for what was not reranked."""
    retrieved = row.is_first_stage or table.protocol.kind == "retrieval"
    if table.protocol.kind == "retrieval" and measured.reranked:
        return True  # mteb's files do not say which it was
    return retrieved != measured.reranked


def _is_the_cards(measured: Measured, table: PublishedTable) -> bool:
    """Whether it is the table that the task's card names, such as arXiv 2509.25085v4, Table 3."""
    protocol = measured.results[0].protocol
    if protocol is None or protocol.published is None:
        return False
    text, _, place = protocol.published.partition(", ")
    number = text.removeprefix("arXiv ").partition("v")[0]
    version = text.removeprefix(f"arXiv {number}")
    same_text = number in table.source.title and table.source.version == version
    return same_text and table.source.table.startswith(place.partition(" (")[0])


def _compared(
    measured: Measured,
    table: PublishedTable,
    row: Row | None,
    key: str,
    metric: str,
    value: float | None,
) -> Beside:
    fields = tuple(_fields(measured, table, row, key))
    difference = None
    if value is not None and not any(field.state == "conflict" for field in fields):
        difference = measured.value - value
    verdict: Verdict | None = None
    if difference is not None:
        verdict = verdict_for(difference)
    elif any(field.state == "conflict" for field in fields):
        verdict = "not comparable"
    before = [
        _value(one, metric, key) for one in table.rows if one.is_first_stage and measured.reranked
    ]
    return Beside(
        measured=measured,
        table=table,
        row=row,
        published=value,
        fields=fields,
        difference=difference,
        verdict=verdict,
        published_first_stage=next((v for v in before if v is not None), None),
    )


def _fields(
    measured: Measured, table: PublishedTable, row: Row | None, key: str
) -> Iterable[Field]:
    stated = table.protocol
    if table.superseded:
        yield Field("table", "any other", f"superseded ({table.superseded})", "conflict")
    limits = sorted({str(r.limit) for r in measured.results if r.limit is not None})
    if limits:
        yield Field("queries", f"limited to {', '.join(limits)}", "all", "conflict")
    if stated.kind == "gold-added":
        yield Field("candidates", "of a first stage", "relevant documents added", "conflict")
    pool = stated.settings.get("pool", stated.settings.get(f"pool of {measured.suite}"))
    if pool:
        yield Field("corpus", "the card's", pool, "conflict")
    yield _stated("split", _joined(r.dataset.split for r in measured.results), stated.split)
    retrieved = stated.kind == "retrieval" or (row is not None and row.is_first_stage)
    if retrieved and not measured.reranked:
        yield from _other_retriever(measured, row)
        yield from _deep_enough(measured)
    else:
        yield _first_stage(measured, table)
        depths = _joined(str(r.candidates.depth) for r in measured.results)
        yield _stated("depth", depths, None if stated.depth is None else str(stated.depth))
        if measured.reranked and measured.results[0].reranker.listwise:
            order = (row.order if row else None) or stated.order
            here = _joined(r.order for r in measured.results)
            same = order == "random" and here.startswith("random:")
            yield _stated("candidate order", here, here if same else order)
    yield from _datasets(measured, table, key)


def _stated(name: str, measured: str, published: str | None) -> Field:
    if published is None:
        return Field(name, measured, None, "unknown")
    return Field(name, measured, published, "equal" if measured == published else "conflict")


def _joined(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _other_retriever(measured: Measured, row: Row | None) -> Iterable[Field]:
    """A name that the user gave may not turn BM25 into a dense model."""
    stages = dict.fromkeys(r.candidates.first_stage for r in measured.results)
    if len(stages) > 1:
        yield Field("first stage", ", ".join(stages), "one model", "conflict")
        return
    if row is None or plain_model(row.model) == plain_model(measured.model):
        return
    lexical = measured.model.startswith("bm25")
    state: State = "conflict" if lexical and "bm25" not in row.model.lower() else "unknown"
    yield Field("first stage", measured.model, row.model if state == "conflict" else None, state)


def _deep_enough(measured: Measured) -> Iterable[Field]:
    """A retriever's own score does not depend on the depth, down to the metric's cut."""
    cut = parse_metric(measured.metric).depth
    shallow = sorted({r.candidates.depth for r in measured.results if r.candidates.depth < cut})
    if shallow:
        yield Field("depth", str(shallow[0]), f"at least {cut}", "conflict")


def _first_stage(measured: Measured, table: PublishedTable) -> Field:
    published = table.first_stage_for(measured.suite)
    here = _joined(r.candidates.first_stage.removeprefix("dense-") for r in measured.results)
    if published is None:
        return Field("first stage", here, None, "unknown")
    names = {plain_model(name) for name in (published, *table.protocol.also_named)}
    same = all(
        plain_model(r.candidates.first_stage.removeprefix("dense-")) in names
        for r in measured.results
    )
    return Field("first stage", here, published, "equal" if same else "conflict")


def _datasets(measured: Measured, table: PublishedTable, key: str) -> Iterable[Field]:
    if measured.task is None:
        here, there = {r.task for r in measured.results}, _averaged(measured, table, key)
        state: State = "unknown" if not there else "equal" if here == there else "conflict"
        shown = f"{len(there)} tasks" if there else None
        yield Field("dataset list", f"{len(here)} tasks", shown, state)
    revisions = table.protocol.revisions
    for result in measured.results:
        stated = revisions.get(result.task)
        here_revision = result.dataset.revision
        if stated and here_revision and stated != here_revision and _is_commit(here_revision):
            yield Field("dataset version", here_revision[:12], stated[:12], "conflict")
            return
    if not all(
        revisions.get(r.task) and revisions.get(r.task) == r.dataset.revision
        for r in measured.results
    ):
        yield Field("dataset version", "by fingerprint", None, "unknown")


def _averaged(measured: Measured, table: PublishedTable, key: str) -> set[str]:
    """The tasks behind the published mean, those of means in it among them; empty: unknown."""
    means = _means(measured.suite)
    if table.suite != measured.suite:
        prefix = f"{measured.suite}/"
        names = [n.removeprefix(prefix) for n in table.averaged if n.startswith(prefix)]
    else:
        names = list(table.averaged) if key == "average" else [key]
    return {task for name in names for task in means.get(name, (name,))}


@cache
def _means(suite: str) -> Mapping[str, tuple[str, ...]]:
    """The tasks behind each mean of a suite; none where the suite is a user's own."""
    try:
        loaded = load_suite(suite, None)
    except UsageError:
        return {}
    return {average.name: tuple(loaded.tasks_of(average)) for average in loaded.averages}


def _is_commit(revision: str) -> bool:
    return len(revision) == 40 and set(revision) <= set("0123456789abcdef")
