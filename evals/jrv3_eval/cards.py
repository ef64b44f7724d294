"""Task cards: what to rank and by which protocol, read from tasks/*.yaml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .errors import CardError, UsageError, unknown
from .paths import shipped

NAME = re.compile(r"^[a-z0-9][a-z0-9._-]*$")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FolderSource(_Strict):
    """A folder in BEIR layout. A relative path is relative to the card's file."""

    kind: Literal["folder"]
    path: str


class BeirSource(_Strict):
    """An official BEIR zip with its published md5."""

    kind: Literal["beir"]
    url: str
    md5: str = Field(pattern=r"^[0-9a-f]{32}$")


class PySource(_Strict):
    """Docstring to function, from an installed Python package or the standard library."""

    kind: Literal["pysource"]
    package: str = Field(description="an installed package's import name, or 'stdlib'")
    queries: int = Field(200, ge=1, description="queries sampled by a stable hash")
    min_words: int = Field(4, ge=1, description="words that a query must have")
    min_lines: int = Field(3, ge=1, description="lines that a document must have")


Source = Annotated[FolderSource | BeirSource | PySource, Field(discriminator="kind")]


class Counts(_Strict):
    """What the collection must hold; a count left out is not verified."""

    documents: int | None = None
    queries: int | None = None
    judgements: int | None = None


class TaskCard(_Strict):
    """One ranking task: a corpus, queries, judgements, and the rules for scoring it."""

    name: str
    language: str = "en"
    split: str = "test"
    sources: tuple[Source, ...] = ()
    revision: str | None = None
    counts: Counts = Counts()
    join: Literal["title text", "text"] = "title text"
    self_retrieval: Literal["keep", "remove"] = "keep"
    analysis: Literal["text", "code"] = "text"
    licence: str = "unverified"
    notes: tuple[str, ...] = ()

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not NAME.match(value):
            raise ValueError("a name is lower case letters, digits, '.', '_' and '-'")
        return value


class Suite(_Strict):
    """A list of tasks that are reported together."""

    suite: str
    title: str
    about: str = ""
    metric: str = "ndcg@10"
    depth: int = Field(100, ge=1)
    first_stage: str = "bm25"
    model: str | None = Field(None, description="the reranker used when none is named")
    tasks: tuple[TaskCard, ...]
    folder: Path = Field(Path(), description="where the card was read; set by the reader")

    @field_validator("suite")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        return TaskCard._plain_name(value)

    @model_validator(mode="after")
    def _distinct_tasks(self) -> Suite:
        names = [task.name for task in self.tasks]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"task named twice: {', '.join(repeated)}")
        if not names:
            raise ValueError("a suite needs at least one task")
        return self


def suite_files(tasks_dir: Path | None = None) -> dict[str, Path]:
    """Suite name to YAML file: the shipped ones, then those of `tasks_dir`, which win."""
    files = {path.stem: path for path in sorted(shipped("tasks").glob("*.yaml"))}
    if tasks_dir is not None:
        if not tasks_dir.is_dir():
            raise UsageError(
                "The folder given by --tasks-dir does not exist.",
                where=str(tasks_dir),
                next_step="name a folder that holds task cards (*.yaml)",
            )
        files |= {path.stem: path for path in sorted(tasks_dir.glob("*.yaml"))}
    return files


def load_suite(name: str, tasks_dir: Path | None = None) -> Suite:
    """The suite of that name. Raises UsageError (unknown) or CardError (not valid)."""
    files = suite_files(tasks_dir)
    if name not in files:
        raise unknown("suite", name, files)
    suite = read_suite(files[name])
    if suite.suite != name:
        raise CardError(
            f"The card calls its suite {suite.suite!r}, but its file is named {name!r}.",
            where=str(files[name]),
            next_step="give the file the suite's name",
        )
    return suite


def read_suite(path: Path) -> Suite:
    """Read and validate one YAML file; a CardError names file, line and field."""
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
        content = yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error)
        raise CardError(f"The card is not valid YAML: {problem}.", where=where) from error
    if not isinstance(content, dict):
        raise CardError("A card must be a YAML mapping with `suite` and `tasks`.", where=str(path))
    _refuse_repeated_keys(node, path)
    try:
        return Suite.model_validate({**content, "folder": path.parent.resolve()})
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            loc = tuple(
                part for part in problem["loc"] if part not in ("folder", "beir", "pysource")
            )
            field = ".".join(str(part) for part in loc) or "card"
            lines.append(f"{path}:{_line_of(node, loc)}: {field}: {problem['msg']}")
        raise CardError(
            "The card does not follow the schema.",
            where="\n         ".join(lines),
            next_step="compare it with a shipped card in tasks/",
        ) from error


def _refuse_repeated_keys(node: Any, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise CardError(
                    f"The key {key.value!r} stands twice.",
                    where=f"{path}:{key.start_mark.line + 1}",
                )
            seen.add(key.value)
            _refuse_repeated_keys(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeated_keys(value, path)


def _line_of(node: Any, loc: tuple[Any, ...]) -> int:
    """1-based line of the innermost node on the way to `loc` that exists."""
    line = int(node.start_mark.line) + 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == str(part)]
            if not found:
                return line
            line, node = int(found[0][0].start_mark.line) + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                return line
            node = node.value[part]
            line = int(node.start_mark.line) + 1
        else:
            return line
    return line


def select_tasks(
    suite: Suite, names: tuple[str, ...] = (), languages: tuple[str, ...] = ()
) -> list[TaskCard]:
    """The suite's tasks, narrowed to names and languages. Raises UsageError on unknown ones."""
    for kind, asked, known in (
        ("task", names, {task.name for task in suite.tasks}),
        ("language", languages, {task.language for task in suite.tasks}),
    ):
        for name in asked:
            if name not in known:
                raise unknown(f"{kind} of suite {suite.suite!r}", name, known)
    chosen = [
        task
        for task in suite.tasks
        if (not names or task.name in names) and (not languages or task.language in languages)
    ]
    if not chosen:
        raise UsageError(
            f"No task of suite {suite.suite!r} fits both --tasks and --languages.",
            next_step=f"jrv3-eval tasks {suite.suite}",
        )
    return chosen
