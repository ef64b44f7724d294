"""mteb's result JSON as published tables, for the tasks that a card reads as mteb's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from .schema import PublishedTable, Row, TableProtocol, TableSource

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
    groups: dict[tuple[str, str, str], list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]]
    groups = {}
    for path, content in files:
        model, revision = _model_of(path)
        for suite, task, scores in _places(path, content):
            groups.setdefault((model, revision, suite), []).append((task, scores, content))
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


def _model_of(path: Path) -> tuple[str, str]:
    """Model and revision, as mteb's results repository has them: org__model/revision/file."""
    revision, model = path.parent.name, path.parent.parent.name.replace("__", "/")
    return (model, revision) if "/" in model else (path.parent.name or "model", "")


def _table(
    model: str,
    revision: str,
    suite: str,
    entries: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]],
) -> PublishedTable:
    values: dict[str, dict[str, float]] = {}
    revisions, versions = {}, set()
    for task, scores, content in entries:
        for key, value in scores.items():
            found = METRIC.match(key)
            if found and isinstance(value, int | float):
                values.setdefault(f"{found[1]}@{found[2]}", {})[task] = round(100 * value, 6)
        if content.get("dataset_revision"):
            revisions[task] = str(content["dataset_revision"])
        versions.add(str(content["mteb_version"]))
    return PublishedTable(
        schema=1,
        name=f"mteb-{model}-{suite}",
        suite=suite,
        metrics=tuple(values),
        decimals=3,
        protocol=TableProtocol(kind="retrieval", first_stage=None, depth=None, revisions=revisions),
        source=TableSource(
            title=f"result files of mteb {', '.join(sorted(versions))}",
            url="https://github.com/embeddings-benchmark/results",
            version=revision or None,
            table=model,
        ),
        rows=(Row(model=model, label=model, scores=values),),
        notes=("a reranker's results in mteb rest on candidates that the file does not name",),
    )
