"""Reading cards: YAML with errors that name file, line and field; choosing tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.constructor import ConstructorError

from ..errors import CardError, UsageError, unknown
from ..paths import shipped
from .schema import Suite, TaskCard

DEEPEST = 50  # levels of a card's YAML; the schema needs seven
KINDS = ("folder", "beir", "hub", "irds", "pysource", "mkqa")  # pydantic adds them to a place


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
            loc = tuple(part for part in problem["loc"] if part not in KINDS)
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
    """The suite's tasks, narrowed to names and languages. Raises UsageError on unknown ones.

    Without names these are the suite's default tasks. A name may also be an average's, and
    stands for its members.
    """
    members = {average.name: suite.tasks_of(average) for average in suite.averages}
    for kind, asked, known in (
        ("task", names, {task.name for task in suite.tasks} | set(members)),
        ("language", languages, {task.language for task in suite.tasks}),
    ):
        for name in asked:
            if name not in known:
                raise unknown(f"{kind} of suite {suite.suite!r}", name, known)
    named = [task for name in names for task in members.get(name, [name])]
    wanted = set(named or suite.default or (task.name for task in suite.tasks))
    chosen = [
        task
        for task in suite.tasks
        if task.name in wanted and (not languages or task.language in languages)
    ]
    if not chosen:
        raise UsageError(
            f"No task of suite {suite.suite!r} fits both --tasks and --languages.",
            next_step=f"jrv3-eval tasks {suite.suite}",
        )
    return chosen
