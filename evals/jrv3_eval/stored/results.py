"""Records, values per query and runs, read back from result folders, as systems."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ..errors import DataError
from ..hashing import digest_json
from ..record import TaskResult
from ..trec import reading

Place = tuple[str, str]  # suite, task
_AGAIN = "evaluate it again, or name a folder that jrv3-eval wrote"


@dataclass(frozen=True, eq=False)
class Stored:
    """One record with what lies beside it. record: its file."""

    result: TaskResult
    record: Path

    @cached_property
    def values(self) -> PerQueryValues:
        """The values per query. Raises DataError where the file is missing or another's."""
        return _read_values(self.record.with_suffix(".queries.parquet"), self.result)

    def lists(self, qids: Sequence[str]) -> dict[str, list[tuple[str, float]]]:
        """(document id, score) of these queries, best first, from the run beside the record."""
        with reading(self.record.with_suffix(".run.gz")) as stream:
            content = b"\n" + stream.read()
        # Ids with spaces make a run separated by tabs. A query's lines stand together, and the
        # next query's mostly after them: of a million lines few are looked at.
        separator = b"\t" if b"\t" in content else b" "
        found, place = {}, 0
        try:
            for qid in qids:
                found[qid], place = _lines_of(content, qid.encode(), separator, place)
        except (IndexError, ValueError):
            raise DataError(
                "The run is damaged.",
                where=str(self.record.with_suffix(".run.gz")),
                next_step=_AGAIN,
            ) from None
        return found


@dataclass(frozen=True, eq=False)
class PerQueryValues:
    """Values a judged query, float64 (n,), of reranked, first stage and oracle; by metric."""

    qids: tuple[str, ...]
    columns: Mapping[str, NDArray[np.float64]]

    def of(self, metric: str) -> NDArray[np.float64]:
        """The reranked values."""
        return self.columns[metric]


@dataclass(frozen=True, eq=False)
class System:
    """One model under one protocol, with its result on each task. name: tells it apart."""

    name: str
    tasks: Mapping[Place, Stored]

    @property
    def example(self) -> TaskResult:
        """Any of its results: reranker, order, depth and limit are those of all."""
        return next(iter(self.tasks.values())).result

    @property
    def is_baseline(self) -> bool:
        """Whether no model reranked."""
        return self.example.reranker.family == "baseline"


def read_systems(places: Sequence[Path]) -> list[System]:
    """The systems of these result folders, in their order, and by name within a folder.

    A system is a reranker with its settings, order, depth and limit; where one folder has it
    over several first stages on the same task, or several runs of one name, each is a system.
    Raises DataError where a folder has no result, or two that cannot be told apart.
    """
    groups: list[tuple[Path, list[Stored]]] = []
    for place in places:
        groups.extend((place, group) for group in _grouped(read_results(place)))
    names = _names(groups)
    return [
        System(name, {(s.result.suite, s.result.task): s for s in group})
        for name, (_, group) in zip(names, groups, strict=True)
    ]


def read_results(place: Path) -> list[Stored]:
    """Every record under a folder, or the one that a file is. Raises DataError where none is."""
    if not place.exists():
        raise DataError("There is no such result folder.", where=str(place), next_step=_AGAIN)
    files = [place] if place.is_file() else sorted(place.rglob("*.json"))
    found = [stored for file in files if (stored := _read_record(file, place)) is not None]
    if not found:
        raise DataError("The folder holds no result.", where=str(place), next_step=_AGAIN)
    return found


def _read_record(file: Path, place: Path) -> Stored | None:
    """None where a JSON file is something else than a record."""
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"The record is damaged: {error}", where=str(file)) from None
    if not isinstance(content, dict) or not {"schema", "reranker", "candidates"} <= content.keys():
        if file == place:
            raise DataError("The file is not a record.", where=str(file), next_step=_AGAIN)
        return None
    try:
        result = TaskResult.from_json(content)
        metric = result.primary_metric
        if metric not in result.metrics or metric not in result.candidates.metrics:
            raise DataError(
                f"The record has no value of its primary metric {metric}.",
                where=str(file),
                next_step=_AGAIN,
            )
        return Stored(result, file)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise DataError(
            f"The record is not valid: {field}: {first['msg']}", where=str(file), next_step=_AGAIN
        ) from None


def _lines_of(
    content: bytes, qid: bytes, separator: bytes, since: int
) -> tuple[list[tuple[str, float]], int]:
    """(document id, score) of a query's lines, and where they end; looked for since there."""
    start = qid + separator
    place = content.find(b"\n" + start, max(0, since - 1)) + 1
    place = place or content.find(b"\n" + start) + 1
    found, end = [], place
    while place and content.startswith(start, place):
        end = content.find(b"\n", place)
        parts = content[place : end if end >= 0 else None].split(separator)
        found.append((parts[2].decode(), float(parts[4])))
        place = end + 1
    return found, max(end, since)


def _read_values(path: Path, result: TaskResult) -> PerQueryValues:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        qids = tuple(table.column("qid").to_pylist())
        columns = {
            name: table.column(name).to_numpy().astype(np.float64)
            for name in table.column_names
            if name != "qid"
        }
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise DataError(
            f"The values per query cannot be read: {error}", where=str(path), next_step=_AGAIN
        ) from None
    metric = result.primary_metric
    wanted = {metric, f"first_stage_{metric}", f"oracle_{metric}"}
    if missing := sorted(wanted - columns.keys()):
        raise DataError(
            f"The values per query lack {', '.join(missing)}.", where=str(path), next_step=_AGAIN
        )
    mean, stated = columns[metric], result.metrics[metric]
    if not len(mean) or not abs(float(mean.mean()) - stated) <= 1e-9:
        raise DataError(
            f"The values per query are not those of the record: their mean of "
            f"{result.primary_metric} is not {stated:.6f}.",
            where=str(path),
            next_step=_AGAIN,
        )
    return PerQueryValues(qids, columns)


def _grouped(results: Sequence[Stored]) -> list[list[Stored]]:
    groups: dict[str, list[Stored]] = {}
    for stored in results:
        groups.setdefault(_system_key(stored.result), []).append(stored)
    found = []
    for _, group in sorted(groups.items(), key=lambda item: _sort_key(item[1][0].result)):
        for part in _split(group):
            _refuse_repeated(part)
            found.append(part)
    return found


def _system_key(result: TaskResult) -> str:
    reranker = result.reranker.model_dump(mode="json")
    if result.reranker.family == "run":
        reranker["weights"] = None  # of a folder of runs, each task has its own file
    return digest_json(
        [
            reranker,
            result.candidates.depth,
            result.order,
            result.limit,
            result.primary_metric if result.reranker.family == "baseline" else None,
        ]
    )


def _sort_key(result: TaskResult) -> tuple[Any, ...]:
    """The first stage first, then other baselines, then models by name."""
    name = result.reranker.name
    return (name != "none", result.reranker.family != "baseline", name, result.order)


def _split(group: Sequence[Stored]) -> Iterator[list[Stored]]:
    """By first stage, where a task stands several times."""
    places = [(s.result.suite, s.result.task) for s in group]
    if len(set(places)) == len(places):
        yield list(group)
        return
    parts: dict[str, list[Stored]] = {}
    for stored in group:
        candidates = stored.result.candidates
        key = digest_json(
            [candidates.first_stage, candidates.settings, stored.result.reranker.weights]
        )
        parts.setdefault(key, []).append(stored)
    yield from sorted(parts.values(), key=lambda part: part[0].result.candidates.first_stage)


def _refuse_repeated(group: Sequence[Stored]) -> None:
    seen: dict[Place, Path] = {}
    for stored in group:
        place = (stored.result.suite, stored.result.task)
        if place in seen:
            raise DataError(
                f"Two results of {stored.result.reranker.name} on {'/'.join(place)} differ only "
                "in dataset or candidates, and cannot be told apart.",
                where=f"{seen[place]}\n         {stored.record}",
                next_step="name the one folder that is meant",
            )
        seen[place] = stored.record


def _names(groups: Sequence[tuple[Path, Sequence[Stored]]]) -> list[str]:
    """Names that tell systems apart: the reranker's, and what else differs among namesakes."""
    parts = []
    for place, group in groups:
        result = group[0].result
        stages = sorted({s.result.candidates.first_stage for s in group})
        parts.append(
            (
                result.reranker.name,
                "" if len(stages) > 1 else f"over {stages[0]}",
                "" if result.order == "first-stage" else f"order {result.order}",
                f"depth {result.candidates.depth}",
                "" if result.limit is None else f"limit {result.limit}",
                f"@{result.reranker.weights[:8]}" if result.reranker.weights else "",
                f"settings {digest_json(result.reranker.settings)[:6]}",
                place.name,
            )
        )
    names = []
    for one in parts:
        namesakes = [other for other in parts if other[0] == one[0]]
        telling = [
            field
            for index, field in enumerate(one)
            if index and field and len({other[index] for other in namesakes}) > 1
        ]
        names.append(f"{one[0]} ({', '.join(telling)})" if telling else one[0])
    return [
        name if names.count(name) == 1 else f"{name} #{names[:index].count(name) + 1}"
        for index, name in enumerate(names)
    ]
