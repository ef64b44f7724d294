"""Task cards: what to rank and by which protocol, read from tasks/*.yaml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)
from yaml.constructor import ConstructorError

from .errors import CardError, UsageError, unknown
from .metrics import parse_metric
from .paths import shipped

DEEPEST = 50  # levels of a card's YAML; the schema needs seven
NAME = re.compile(r"^[a-z0-9][a-z0-9._-]*$")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FolderSource(_Strict):
    """A folder in BEIR layout. A relative path is relative to the card's file."""

    kind: Literal["folder"]
    path: str

    @field_validator("path")
    @classmethod
    def _possible_path(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("a path cannot hold a NUL character")
        return value


class BeirSource(_Strict):
    """An official BEIR zip with its published md5."""

    kind: Literal["beir"]
    url: str
    md5: str = Field(pattern=r"^[0-9a-f]{32}$")


class PySource(_Strict):
    """Docstring to function, from an installed Python package or the standard library."""

    kind: Literal["pysource"]
    package: str = Field(description="an installed package's import name, or 'stdlib'")
    queries: StrictInt = Field(200, ge=1, description="queries sampled by a stable hash")
    min_words: StrictInt = Field(4, ge=1, description="words that a query must have")
    min_lines: StrictInt = Field(3, ge=1, description="lines that a document must have")


Source = Annotated[FolderSource | BeirSource | PySource, Field(discriminator="kind")]


class Counts(_Strict):
    """What the collection must hold; a count left out is not verified."""

    documents: StrictInt | None = None
    queries: StrictInt | None = None
    judgements: StrictInt | None = None


class TaskCard(_Strict):
    """One ranking task: a corpus, queries, judgements, and the rules for scoring it."""

    name: str
    language: str = "en"
    split: str = "test"
    sources: tuple[Source, ...] = ()
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
    depth: StrictInt = Field(100, ge=1)
    first_stage: str = "bm25"
    model: str | None = Field(None, description="the reranker used when none is named")
    tasks: tuple[TaskCard, ...]
    folder: Path = Field(Path(), description="where the card was read; set by the reader")

    @field_validator("suite")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        return TaskCard._plain_name(value)

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str) -> str:
        try:
            parse_metric(value)
        except UsageError as error:
            raise ValueError(f"{error.what} {error.next_step}") from error
        return value

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
    files = _card_files(shipped("tasks"))
    if tasks_dir is not None:
        if not tasks_dir.is_dir():
            raise UsageError(
                "The folder given by --tasks-dir does not exist.",
                where=str(tasks_dir),
                next_step="name a folder that holds task cards (*.yaml)",
            )
        files |= _card_files(tasks_dir)
    return files


def _card_files(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        if path.stem in files:
            raise UsageError(
                f"The suite {path.stem!r} has two cards.",
                where=f"{files[path.stem]}, {path}",
                next_step="remove or rename one of them",
            )
        files[path.stem] = path
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
    node, content = _parse(path)
    try:
        return Suite.model_validate({**content, "folder": path.parent.resolve()})
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            loc = tuple(
                part for part in problem["loc"] if part not in ("folder", "beir", "pysource")
            )
            field = ".".join(str(part) for part in loc) or "card"
            line, found = _place_of(node, loc)
            hint = ""
            scalar = isinstance(found, yaml.ScalarNode) and found.value
            if problem["type"] == "string_type" and scalar:
                hint = f"; YAML does not read {found.value} as text, so quote it: '{found.value}'"
            lines.append(f"{path}:{line}: {field}: {problem['msg']}{hint}")
        raise CardError(
            "The card does not follow the schema.",
            where="\n         ".join(lines),
            next_step="compare it with a shipped card in tasks/",
        ) from error


class _Loader(yaml.CSafeLoader):
    """Names the line of a value that PyYAML's constructors fail at with a bare exception."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, AttributeError) as error:  # 2020-13-45, !!bool x
            kind = node.tag.rpartition(":")[2]
            raise ConstructorError(
                None,
                None,
                f"{node.value[:40]!r} is no {kind}; quote it if it is text",
                node.start_mark,
            ) from error


def _parse(path: Path) -> tuple[yaml.Node, dict[Any, Any]]:
    """The card as YAML nodes, which know their lines, and as Python values."""
    try:
        text = path.read_text(encoding="utf-8")
        _refuse_deep_nesting(text, path)
        node = yaml.compose(text, Loader=_Loader)
        content = yaml.load(text, Loader=_Loader)
        _refuse_repeated_keys(node, path, set())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error)
        raise CardError(f"The card is not valid YAML: {problem}.", where=where) from error
    except OSError as error:
        raise CardError(
            f"Cannot read the card: {error.strerror}.",
            where=str(path),
            next_step="a card is a readable YAML file",
        ) from error
    if node is None or not isinstance(content, dict):
        raise CardError("A card must be a YAML mapping with `suite` and `tasks`.", where=str(path))
    return node, content


def _refuse_deep_nesting(text: str, path: Path) -> None:
    """PyYAML's C code recurses without a bound, and would end the process."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise CardError(
                "The card is nested too deeply.",
                where=str(path),
                next_step="compare it with a shipped card in tasks/",
            )


def _refuse_repeated_keys(node: Any, path: Path, visited: set[int]) -> None:
    if id(node) in visited:  # an anchor may hold itself
        return
    visited.add(id(node))
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise CardError(
                    f"The key {key.value!r} stands twice.",
                    where=f"{path}:{key.start_mark.line + 1}",
                )
            seen.add(key.value)
            _refuse_repeated_keys(value, path, visited)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeated_keys(value, path, visited)


def _place_of(node: Any, loc: tuple[Any, ...]) -> tuple[int, Any]:
    """1-based line of the innermost node on the way to `loc` that exists; the node at `loc`."""
    line = int(node.start_mark.line) + 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == str(part)]
            if not found:
                return line, None
            line, node = int(found[0][0].start_mark.line) + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                return line, None
            node = node.value[part]
            line = int(node.start_mark.line) + 1
        else:
            return line, None
    return line, node


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
