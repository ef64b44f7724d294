"""A suite and its tasks: the protocol of a number, as a card states it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PlainValidator, StrictInt, field_validator, model_validator

from ..errors import UsageError
from ..metrics import parse_metric
from .sources import Source, Strict

NAME = re.compile(r"^[a-z0-9][a-z0-9._-]*$")
UNVERIFIED = "unverified"


def _count(value: object) -> object:
    if value is None or value == UNVERIFIED or (type(value) is int and value >= 0):
        return value
    raise ValueError(f"a count is a valid integer, or {UNVERIFIED}")


Count = Annotated[int | Literal["unverified"] | None, PlainValidator(_count)]


def _plain(value: str) -> str:
    if not NAME.match(value):
        raise ValueError("a name is lower case letters, digits, '.', '_' and '-'")
    return value


class Counts(Strict):
    """What the collection must hold; a count left out or `unverified` is not compared.

    judgements: lines of the qrels, those of relevance 0 with them.
    """

    documents: Count = None
    queries: Count = None
    judgements: Count = None


class TaskCard(Strict):
    """One ranking task: a corpus, queries, judgements, and the rules for scoring it.

    language: of the queries. corpus_language: of the documents, where it is another one; BM25
    analyses both sides by it. relevance: `judgements` (qrels), or `answer-match` (a passage is
    relevant if it contains one of the question's answers). query_group: tasks of one group
    hold the same questions, and are no independent samples. paper_first_stage: the SPEC of
    the first stage behind the published numbers, where it is not the suite's. similarity: of
    dense first stages, where the card and not the checkpoint decides. dense_task: which of a
    dense model's own tasks fits (its prompts and adapters), such as `nl2code`; models without
    such a task use their first one.
    """

    name: str
    language: str = "en"
    corpus_language: str | None = None
    split: str = "test"
    sources: tuple[Source, ...] = ()
    counts: Counts = Counts()
    join: Literal["title text", "text"] = "title text"
    self_retrieval: Literal["keep", "remove"] = "keep"
    analysis: Literal["text", "code"] = "text"
    relevance: Literal["judgements", "answer-match"] = "judgements"
    similarity: Literal["cosine", "dot"] | None = None
    dense_task: str | None = None
    query_group: str | None = None
    paper_first_stage: str | None = None
    licence: str = "unverified"
    notes: tuple[str, ...] = ()

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        return _plain(value)

    @property
    def text_language(self) -> str:
        """The language that BM25 analyses: the corpus's."""
        return self.corpus_language or self.language


class Average(Strict):
    """A mean as its source defines it. members: tasks, or averages that stand before it."""

    name: str
    members: tuple[str, ...] = Field(min_length=1)
    source: str = Field(description="who averages so: a paper, a leaderboard")

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        return _plain(value)


class Suite(Strict):
    """A list of tasks that are reported together.

    default: the tasks of a run that names none (all where it is empty). published_as: what the
    source calls the metric, where it uses another name. published: the table that a run of
    the defaults corresponds to. not_comparable: why its numbers cannot be had here at all.
    """

    suite: str
    title: str
    about: str = ""
    metric: str = "ndcg@10"
    published_as: str | None = None
    depth: StrictInt = Field(100, ge=1)
    first_stage: str = "bm25"
    paper_first_stage: str | None = None
    published: str | None = None
    not_comparable: str | None = None
    model: str | None = Field(None, description="the reranker used when none is named")
    default: tuple[str, ...] = ()
    averages: tuple[Average, ...] = ()
    tasks: tuple[TaskCard, ...]
    folder: Path = Field(Path(), description="where the card was read; set by the reader")

    @field_validator("suite")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        return _plain(value)

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str) -> str:
        try:
            parse_metric(value)
        except UsageError as error:
            raise ValueError(f"{error.what} {error.next_step}") from error
        return value

    @model_validator(mode="after")
    def _distinct_names(self) -> Suite:
        if not self.tasks:
            raise ValueError("a suite needs at least one task")
        tasks = [task.name for task in self.tasks]
        _refuse_repeated("task", tasks)
        _refuse_repeated("average", [*tasks, *(average.name for average in self.averages)])
        known = set(tasks)
        for average in self.averages:
            _refuse_repeated(f"member of {average.name}", average.members)
            _refuse_unknown(f"average {average.name!r}", average.members, known)
            known.add(average.name)
        by_match = [task.name for task in self.tasks if task.relevance == "answer-match"]
        if by_match and parse_metric(self.metric).family not in ("success", "mrr"):
            raise ValueError(
                f"{by_match[0]} has relevance: answer-match, so the metric is success@k or mrr@k"
            )
        _refuse_repeated("default task", self.default)
        _refuse_unknown("default", self.default, set(tasks))
        return self

    def tasks_of(self, average: Average) -> list[str]:
        """The tasks that an average rests on, those of averages in it among them."""
        inner = {one.name: one for one in self.averages}
        return [
            task
            for member in average.members
            for task in (self.tasks_of(inner[member]) if member in inner else [member])
        ]

    def published_for(self, card: TaskCard) -> str | None:
        """The published table that has this task: only the defaults are in the suite's."""
        return self.published if not self.default or card.name in self.default else None

    def first_stage_of_paper(self, card: TaskCard) -> str | None:
        """SPEC of the first stage behind the published numbers of this task, if it is known."""
        in_table = not self.default or card.name in self.default
        return card.paper_first_stage or (self.paper_first_stage if in_table else None)


def _refuse_repeated(kind: str, names: list[str] | tuple[str, ...]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{kind} named twice: {', '.join(repeated)}")


def _refuse_unknown(where: str, names: tuple[str, ...], known: set[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{where} names what is not there: {', '.join(unknown)}")
