"""A published table as a file: who measured what, by which protocol, and what does not add up."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Unit = Literal["percent", "as the metric's name says"]
Values = dict[str, float]  # dataset -> value


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TableSource(_Part):
    """Where it is printed. version: of the text, such as v4 or a commit; None: not versioned."""

    title: str
    url: str
    version: str | None = None
    table: str


class TableProtocol(_Part):
    """How the values came about; None is "not stated".

    kind: `reranking` of a first stage's candidates; `retrieval` over the whole corpus;
    `pool` for candidates that the dataset brings; `gold-added` where the relevant documents
    were put among them. first_stage: its name, per suite where they differ. also_named: other
    names of that model, such as another packaging of the same weights. order: in which a
    listwise model saw the candidates. revisions: of datasets, where stated. settings: what
    else is stated; `pool`, or `pool of SUITE`, where the corpus is not the suite's.
    not_stated: what a reader would need and does not find.
    """

    kind: Literal["reranking", "retrieval", "pool", "gold-added"] = "reranking"
    first_stage: str | dict[str, str] | None
    also_named: tuple[str, ...] = ()
    depth: int | None
    order: str | None = None
    split: str | None = None
    revisions: dict[str, str] = {}
    settings: dict[str, str] = {}
    not_stated: tuple[str, ...] = ()


class Row(_Part):
    """A line of the table. label: as printed. order: where the line has its own.

    is_first_stage: the candidates' own order, not reranked. scores: metric -> dataset ->
    value. averages: metric -> the mean as printed.
    """

    model: str
    label: str
    is_first_stage: bool = False
    order: str | None = None
    scores: dict[str, Values] = {}
    averages: Values = {}


class Disagreement(_Part):
    """A printed mean that is not the mean of its cells. difference: computed - printed."""

    model: str
    metric: str
    printed: float
    computed: float


class Variant(_Part):
    """A value that another table of the same measurements prints otherwise."""

    model: str
    value: str = Field(description="dataset or `average`, as this table names it")
    here: float
    there: float
    table: str


class PublishedTable(_Part):
    """One table. averaged: datasets that a printed mean is over. tolerance: of a check sum.

    Of averaged, a name may be that of a suite's own mean, such as `beir-13`; a table over
    several suites names them with the suite, `beir/beir-13`.
    """

    schema_: Literal[1] = Field(1, alias="schema")
    name: str = ""
    suite: str
    metrics: tuple[str, ...]
    unit: Unit = "percent"
    decimals: int = Field(ge=0)
    protocol: TableProtocol
    source: TableSource
    averaged: tuple[str, ...] = ()
    tolerance: float = 0.006
    rows: tuple[Row, ...] = Field(min_length=1)
    disagreements: tuple[Disagreement, ...] = ()
    variants: tuple[Variant, ...] = ()
    superseded: str | None = Field(None, description="why its values must not be used")
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _values_are_plausible(self) -> PublishedTable:
        labels = [row.label for row in self.rows]
        repeated = sorted({label for label in labels if labels.count(label) > 1})
        if repeated:
            raise ValueError(f"a line stands twice: {', '.join(repeated)}")
        found: list[float] = []
        for row in self.rows:
            unknown = {*row.scores, *row.averages} - set(self.metrics)
            if unknown:
                raise ValueError(f"{row.label}: not a metric of the table: {sorted(unknown)}")
            if self.unit != "percent":
                continue
            values = [*row.averages.values(), *(v for s in row.scores.values() for v in s.values())]
            if any(not -100 <= value <= 100 for value in values):
                raise ValueError(f"{row.label}: a percentage lies outside of -100 to 100")
            found.extend(values)
        if found and max(map(abs, found)) <= 1:
            raise ValueError("the values are fractions; they are stored as percent")
        return self

    def first_stage_for(self, suite: str) -> str | None:
        """The first stage behind a suite's column; None where it is not stated."""
        stated = self.protocol.first_stage
        return stated.get(suite) if isinstance(stated, dict) else stated


class CheckSum(_Part):
    """A printed mean beside the mean of its cells."""

    label: str
    metric: str
    printed: float
    computed: float


def check_sums(table: PublishedTable) -> list[CheckSum]:
    """Each printed mean of which all cells are there, with the mean of these cells."""
    return [
        CheckSum(
            label=row.label,
            metric=metric,
            printed=printed,
            computed=sum(cells[name] for name in table.averaged) / len(table.averaged),
        )
        for row in table.rows
        for metric, printed in row.averages.items()
        if (cells := row.scores.get(metric, {})) and table.averaged
        if all(name in cells for name in table.averaged)
    ]


def plain_model(name: str) -> str:
    """A model's name for comparing: no organisation, no case, no packaging suffix."""
    last = name.rsplit("/", 1)[-1].lower()
    return re.sub(r"-hf$", "", last)
