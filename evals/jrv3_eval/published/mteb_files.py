"""mteb's result JSON as published tables, for the tasks that a card reads as mteb's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import DataError
from .schema import PublishedTable, Row, TableProtocol, TableSource, Values

# Task, values, the file's content, and its scores of this subset.
_Entry = tuple[str, Values, Mapping[str, Any], Mapping[str, Any]]
METRIC = re.compile(r"^(ndcg|recall|mrr|map)_at_(\d+)$")


def is_mteb_result(content: Any) -> bool:
    """Whether a JSON value is one of mteb's result files (`TaskResult` there)."""
    return isinstance(content, dict) and {"scores", "mteb_version"} <= content.keys()


@cache
def tasks_in_mteb() -> Mapping[tuple[str, str], tuple[tuple[str, str, str], ...]]:
    """(mteb's task, its subset) -> (suite, task, split) of every card that reads it."""
    from ..cards import HubSource, load_suite, suite_files

    found: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for name in suite_files(None):
        suite = load_suite(name, None)
        for card in suite.tasks:
            for source in card.sources:
                if isinstance(source, HubSource) and source.task:
                    place = (suite.suite, card.name, source.split or card.split)
                    found.setdefault((source.task, source.subset), []).append(place)
    return {key: tuple(places) for key, places in found.items()}


def read_mteb_results(files: Sequence[tuple[Path, Mapping[str, Any]]]) -> list[PublishedTable]:
    """One table for each (model, revision, suite) of the files; unknown tasks are left out."""
    groups: dict[tuple[str, str, str], list[_Entry]] = {}
    for path, content in files:
        model, revision = _model_of(path)
        try:
            for suite, task, scores in _places(path, content):
                entry = (task, _percent(scores), content, scores)
                groups.setdefault((model, revision, suite), []).append(entry)
        except (AttributeError, TypeError, ValueError) as error:
            raise DataError(
                f"The result file of mteb is damaged: {error}", where=str(path)
            ) from None
    return [_table(*key, entries) for key, entries in sorted(groups.items())]


def _places(path: Path, content: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(suite, task, scores) of every subset and split that a card reads."""
    name = content.get("task_name") or path.name.partition(".json")[0]
    for split, subsets in content["scores"].items():
        for scores in subsets:
            key = (name, scores.get("hf_subset", "default"))
            for suite, task, wanted in tasks_in_mteb().get(key, ()):
                if split == wanted:
                    yield suite, task, scores


def _percent(scores: Mapping[str, Any]) -> Values:
    """The values of metrics that are known here. Raises ValueError where one is no fraction."""
    values: Values = {}
    for key, value in scores.items():
        found = METRIC.match(key)
        if found and isinstance(value, int | float):
            if not -1 <= value <= 1:
                raise ValueError(f"{key} is {value}, which is no fraction")
            values[f"{found[1]}@{found[2]}"] = round(100 * value, 6)
    return values


def _model_of(path: Path) -> tuple[str, str]:
    """Model and revision, as mteb's results repository has them: org__model/revision/file.

    An experiment's files lie deeper, revision/experiments/NAME/file; its name counts with the
    revision, so that no two protocols of a model become one table. Empty where the file does not
    lie so: then no name says whose values they are.
    """
    folder, experiment = path.parent, ""
    if folder.parent.name == "experiments":
        folder, experiment = folder.parent.parent, f"/experiments/{folder.name}"
    model = folder.parent.name.replace("__", "/")
    return (model, folder.name + experiment) if "/" in model else ("", "")


def _protocol_of(scores: Iterable[Mapping[str, Any]]) -> tuple[str | None, int | None]:
    """First stage and depth of a reranking, where all results state the same; else None.

    mteb writes `previous_results_model_meta` where it reranked; `depth` stands in exported files.
    """
    stated = [one.get("previous_results_model_meta") or {} for one in scores]
    names = {meta.get("model_name") for meta in stated}
    depths = {meta.get("depth") for meta in stated}
    return names.pop() if len(names) == 1 else None, depths.pop() if len(depths) == 1 else None


def _table(
    model: str,
    revision: str,
    suite: str,
    entries: Sequence[_Entry],
) -> PublishedTable:
    values: dict[str, Values] = {}
    revisions, versions = {}, set()
    first_stage, depth = _protocol_of(raw for *_, raw in entries)
    for task, scores, content, _ in entries:
        for metric, value in scores.items():
            values.setdefault(metric, {})[task] = value
        if content.get("dataset_revision"):
            revisions[task] = str(content["dataset_revision"])
        versions.add(str(content["mteb_version"]))
    return PublishedTable(
        schema=1,
        name=f"mteb-{model}-{suite}" if model else f"mteb-{suite}",
        suite=suite,
        metrics=tuple(values),
        decimals=3,
        protocol=TableProtocol(
            kind="reranking" if first_stage else "retrieval",
            first_stage=first_stage,
            depth=depth,
            split=_split(suite, revisions.keys() | {task for task, *_ in entries}),
            revisions=revisions,
        ),
        source=TableSource(
            title=f"result files of mteb {', '.join(sorted(versions))}",
            url="https://github.com/embeddings-benchmark/results",
            version=revision or None,
            table=model or "a file of its own",
        ),
        rows=(Row(model=model, label=model or "model not named", scores=values),),
        notes=("a reranker's results in mteb rest on candidates that the file does not name",),
    )


def _split(suite: str, tasks: Set[str]) -> str | None:
    """The split of these tasks: only values of the cards' own splits are read."""
    from ..cards import load_suite

    splits = {card.split for card in load_suite(suite, None).tasks if card.name in tasks}
    return splits.pop() if len(splits) == 1 else None
