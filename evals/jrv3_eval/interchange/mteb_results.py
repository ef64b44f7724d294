"""Stored results as mteb's own result files, which say that a first stage came before.

mteb keeps a reranking of another model's candidates under the task's own name: what
`AbsTaskRetrieval.convert_to_reranking` evaluates is told from a search of the whole corpus only by
`previous_results_model_meta` among its scores. That stands here too, and more: the protocol is the
model's `experiment_kwargs`, so that each file lies in a folder `experiments/<protocol>`, which
`ResultCache.load_results` passes over unless it is asked for experiments.
Source: mteb 2.26, abstasks/retrieval.py, results/task_result.py, cache/result_cache.py.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from ..cards import HubSource, TaskCard, load_suite, suite_files
from ..errors import DataError, UsageError
from ..paths import atomic_path
from ..record import TaskResult
from ..stored import Place, Stored, System
from .existing import refuse_other_result, refuse_same_place
from .mteb_protocol import (
    MtebModel,
    is_search,
    metric_name,
    model_of,
    previous_results,
    stated,
)

LOCAL_COPY = "local-copy"  # as dataset_revision: nothing says which commit of the hub it equals
IRDS = "ir_datasets"


@dataclass(frozen=True)
class LeftOut:
    """A result that mteb cannot hold, and why."""

    system: str
    suite: str
    task: str
    reason: str


@dataclass(frozen=True)
class MtebFile:
    """One of mteb's result files. meta: its ModelMeta; result: its TaskResult.

    records: what its subsets come from.
    """

    meta: Any
    result: Any
    records: tuple[Path, ...]


class _Source(NamedTuple):
    """A part of one of mteb's tasks."""

    task: str
    subset: str
    split: str


@dataclass(frozen=True)
class _Subset:
    """One record as a subset of one of mteb's tasks."""

    task: str
    split: str
    scores: Mapping[str, Any]
    stored: Stored


def mteb_files(
    systems: Sequence[System], tasks_dir: Path | None = None
) -> tuple[list[MtebFile], list[LeftOut]]:
    """mteb's files of these results, the subsets of a task in one, and what is left out.

    Values are those of the records, all judged queries counted. Raises UsageError for a result
    of a limited run, DataError where two results are one and the same subset, or the subsets of
    a task were read from different versions of the data.
    """
    groups: dict[tuple[MtebModel, str], list[_Subset]] = {}
    left: list[LeftOut] = []
    cards = _cards({place for system in systems for place in system.tasks}, tasks_dir)
    for system in systems:
        stages: dict[str, list[_Subset]] = {}
        for place, stored in system.tasks.items():
            source = _source(stored.result, cards.get(place))
            found = source if isinstance(source, str) else _subset(stored, source)
            if isinstance(found, str):
                left.append(LeftOut(system.name, *place, found))
            else:
                stages.setdefault(stored.result.candidates.first_stage, []).append(found)
        for subsets in stages.values():
            together = [subset.stored.result for subset in subsets]
            for subset in subsets:
                model = model_of(subset.stored.result, together)
                groups.setdefault((model, subset.task), []).append(subset)
    return [_file(model, task, subsets) for (model, task), subsets in groups.items()], left


def write_mteb(files: Sequence[MtebFile], folder: Path) -> list[Path]:
    """Write them as `mteb.ResultCache(folder)` lays them out; returns the result files.

    Scores have six decimals, as mteb writes them. Raises DataError as `check_mteb`.
    """
    check_mteb(files, folder)
    written = []
    for file in files:
        path = _path(file, folder)
        with atomic_path(path) as temporary:
            file.result.to_disk(temporary)
        with atomic_path(path.parent / "model_meta.json") as temporary:
            temporary.write_text(_meta_text(file), encoding="utf-8")
        written.append(path)
    return written


def check_mteb(files: Sequence[MtebFile], folder: Path) -> None:
    """Raise DataError where writing them would replace another result's file; writes nothing."""
    refuse_same_place((_path(file, folder), file.records[0]) for file in files)
    for file in files:
        content = file.result.model_dump(mode="json")
        refuse_other_result(_path(file, folder), content, json.loads(_meta_text(file)))


def _path(file: MtebFile, folder: Path) -> Path:
    cache = import_module("mteb").ResultCache(cache_path=folder)
    return Path(cache.get_task_result_path(file.result.task_name, file.meta))


def _meta_text(file: MtebFile) -> str:
    return json.dumps(file.meta.to_dict(), default=str, indent=4)


def _cards(places: Collection[Place], tasks_dir: Path | None) -> dict[Place, TaskCard]:
    """The cards of these tasks, as far as they are known here."""
    known = {suite for suite, _ in places} & suite_files(tasks_dir).keys()
    return {
        (name, card.name): card
        for name in sorted(known)
        for card in load_suite(name, tasks_dir).tasks
        if (name, card.name) in places
    }


def _source(result: TaskResult, card: TaskCard | None) -> _Source | str:
    """The part of mteb's that a result is of; or why there is none."""
    if result.reranker.family == "baseline" and result.reranker.name != "none":
        return f"{result.reranker.name} is a bound, not a model"
    if card is None:
        return "its card is not known here; name the folder of it with --tasks-dir"
    if result.dataset.split != card.split:
        return f"it is of split {result.dataset.split}, and its card now of {card.split}"
    for source in card.sources:
        if isinstance(source, HubSource) and source.task:
            return _Source(source.task, source.subset, source.split or card.split)
    return "its card reads no task of mteb's"


def _subset(stored: Stored, source: _Source) -> _Subset | str:
    """The record as mteb has it; or why it has no place there."""
    result, (task, subset, split) = stored.result, source
    if result.limit is not None:
        raise UsageError(
            f"The result on {result.suite}/{result.task} is of {result.limit} queries only, and "
            "mteb's files are of all.",
            where=str(stored.record),
            next_step="evaluate without --limit, or --format trec, whose header says the limit",
        )
    main, languages = _of_task(task, subset)
    named = {metric_name(name): value for name, value in result.metrics.items()}
    scores: dict[str, Any] = {name: value for name, value in named.items() if name}
    if main not in scores:
        return f"it has no {main}, the main score of {task}"
    scores |= {
        "main_score": scores[main],
        "hf_subset": subset,
        "languages": languages,
        "mteb_version": version("mteb"),
    }
    if is_search(result):
        scores["jrv3_eval"] = stated(result)
    else:
        scores["previous_results_model_meta"] = previous_results(result)
    return _Subset(task, split, scores, stored)


def _of_task(name: str, subset: str) -> tuple[str, list[str]]:
    """mteb's main score of a task, and the languages of one of its subsets."""
    try:
        metadata = import_module("mteb").get_task(name).metadata
        return str(metadata.main_score), list(metadata.hf_subsets_to_langscripts[subset])
    except KeyError as error:
        raise DataError(
            f"The installed mteb ({version('mteb')}) has no task {name} with a subset {subset!r}.",
            next_step="install the mteb that the card was written for, or --format trec",
        ) from error


def _file(model: MtebModel, task: str, subsets: Sequence[_Subset]) -> MtebFile:
    _refuse_repeated(model, task, subsets)
    results = [subset.stored.result for subset in subsets]
    revision = _revision(task, subsets)
    scores: dict[str, list[dict[str, Any]]] = {}
    for subset in sorted(subsets, key=lambda one: str(one.scores["hf_subset"])):
        scores.setdefault(subset.split, []).append(dict(subset.scores))
    dates = list(_dates(results))
    result = import_module("mteb").TaskResult(
        dataset_revision=revision,
        task_name=task,
        mteb_version=version("mteb"),
        scores=scores,
        evaluation_time=sum(one.cost.seconds for one in results),
        date=max(dates) if dates else None,
    )
    meta = import_module("mteb.models.model_meta").ModelMeta.create_empty(
        overwrites={
            "name": model.name,
            "revision": model.revision,
            "model_type": [model.kind],
            "modalities": ["text"],
            "experiment_kwargs": dict(model.protocol),
        }
    )
    return MtebFile(meta, result, tuple(subset.stored.record for subset in subsets))


def _refuse_repeated(model: MtebModel, task: str, subsets: Sequence[_Subset]) -> None:
    seen: dict[tuple[str, str], Path] = {}
    for subset in subsets:
        place = (subset.split, str(subset.scores["hf_subset"]))
        if place in seen:
            raise DataError(
                f"Two results of {model.name} are subset {place[1]!r} of mteb's {task}, "
                "and one file holds it once.",
                where=f"{seen[place]}\n         {subset.stored.record}",
                next_step="name the one folder that is meant",
            )
        seen[place] = subset.stored.record


def _revision(task: str, subsets: Sequence[_Subset]) -> str:
    """The version of the data that was read, for all subsets of a file."""
    read: dict[str, Path] = {}
    for subset in subsets:
        stated = subset.stored.result.dataset.revision or LOCAL_COPY
        # Of ir_datasets each language has an id of its own.
        revision = IRDS if stated.startswith(IRDS) else stated
        read.setdefault(revision, subset.stored.record)
    if len(read) > 1:
        raise DataError(
            f"The subsets of mteb's {task} were read from different versions of the data, and "
            "one file names one.",
            where="\n         ".join(f"{revision}: {path}" for revision, path in read.items()),
            next_step="evaluate them on the same version, or export them into folders of their own",
        )
    return next(iter(read))


def other_data(file: MtebFile) -> str | None:
    """A line that says what was read, where it is not the commit that the installed mteb reads."""
    task, read = file.result.task_name, file.result.dataset_revision
    own = import_module("mteb").get_task(task).metadata.revision
    return None if read == own else f"{task} was read from {read}, and mteb reads {own}"


def _dates(results: Sequence[TaskResult]) -> Iterator[datetime.datetime]:
    for result in results:
        try:
            yield datetime.datetime.fromisoformat(result.environment.started)
        except ValueError:
            continue
