"""Runs as other tools write them: TREC, MS MARCO, mteb's predictions, Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..cards import HubSource, TaskCard
from ..errors import DataError
from ..metrics import Run
from ..trec import read_run, reading

ENDINGS = (
    ".run", ".run.gz", ".trec", ".trec.gz", ".txt", ".txt.gz", ".tsv", ".tsv.gz", ".parquet",
)  # fmt: skip
FORMATS = (
    "a run is TREC (qid Q0 docid rank score tag), MS MARCO (qid docid rank), mteb's "
    "TASK_predictions.json, or Parquet with qid, docid and score"
)
_COLUMNS = {
    "qid": ("qid", "query_id", "query-id", "q_id"),
    "docid": ("docid", "doc_id", "corpus-id", "document_id", "docno"),
    "score": ("score",),
}


def read_any_run(path: Path, card: TaskCard) -> Run:
    """The run in a file of one of the FORMATS, told by its ending and its first line.

    Raises DataError on another kind of file, with file and line; on a document that stands
    twice for a query, and on a score that is not a finite number.
    """
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return _read_parquet(path)
    if name.endswith(".json"):
        return _read_predictions(path, card)
    return _read_msmarco(path) if _columns_of(path) == 3 else read_run(path)


def _columns_of(path: Path) -> int:
    """Columns of the first line that is no comment."""
    with reading(path) as lines:
        first = next((line for line in lines if line.strip() and line[:1] != b"#"), b"")
    return len(first.split())


def _read_msmarco(path: Path) -> Run:
    """`qid docid rank`: the score is minus the rank."""
    lists: dict[str, dict[str, float]] = {}
    with reading(path) as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}:{number}"
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not line.strip():
                continue
            try:
                qid, docid, rank = line.decode().split()
                place = int(rank)
            except ValueError as error:
                raise DataError(
                    "The line is not `qid docid rank`.", where=where, next_step=FORMATS
                ) from error
            _add(lists, qid, docid, -place, where)
    return Run.from_dict(lists)


def _add(
    lists: dict[str, dict[str, float]], qid: str, docid: str, score: float, where: str
) -> None:
    scores = lists.setdefault(qid, {})
    if docid in scores:
        raise DataError(
            f"Document {docid!r} appears twice for query {qid!r}.",
            where=where,
            next_step="name every document of a query once",
        )
    scores[docid] = score


def _read_parquet(path: Path) -> Run:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"The file is not Parquet: {error}.", where=str(path), next_step=FORMATS
        ) from error
    columns = [_column(table, path, name) for name in _COLUMNS]
    lists: dict[str, dict[str, float]] = {}
    for number, (qid, docid, score) in enumerate(zip(*columns, strict=True)):
        where = f"{path}, row {number}"
        if qid is None or docid is None or not isinstance(score, int | float):
            raise DataError("The row has an empty field.", where=where, next_step=FORMATS)
        _add(lists, str(qid), str(docid), float(score), where)
    return Run.from_dict(lists)


def _column(table: pa.Table, path: Path, name: str) -> Iterable[Any]:
    for known in _COLUMNS[name]:
        if known in table.column_names:
            values: list[Any] = table.column(known).to_pylist()
            return values
    raise DataError(
        f"The file has no column {name!r} (its columns: {', '.join(table.column_names)}).",
        where=str(path),
        next_step=FORMATS,
    )


def _read_predictions(path: Path, card: TaskCard) -> Run:
    """mteb's file: scores by subset, split, query and document, beside `mteb_model_meta`."""
    try:
        with reading(path) as stream:
            content = json.load(stream)
        subsets = {k: v for k, v in content.items() if k != "mteb_model_meta"}
    except (ValueError, RecursionError, AttributeError) as error:
        raise DataError(
            f"The file is not mteb's predictions: {error}.", where=str(path), next_step=FORMATS
        ) from error
    hub = [source for source in card.sources if isinstance(source, HubSource)]
    names = [s.subset for s in hub] + ["default"]
    splits = _choose(subsets, names, path, "subset", pinned=bool(hub))
    names = [s.split for s in hub if s.split] + [card.split]
    chosen = _choose(splits, names, path, "split", pinned=bool(hub))
    try:
        return Run.from_dict(
            {qid: {d: float(s) for d, s in docs.items()} for qid, docs in chosen.items()}
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(
            "The predictions are not scores by query and document.",
            where=str(path),
            next_step=FORMATS,
        ) from error


def _choose(
    found: Any, wanted: list[str], path: Path, kind: str, *, pinned: bool
) -> Mapping[str, Any]:
    """What the card means among the file's subsets or splits.

    The only one, whatever its name, where the card names none itself (`pinned`).
    """
    if isinstance(found, dict):
        alone = [*found] if len(found) == 1 and not pinned else []
        for name in [*wanted, *alone]:
            if isinstance(found.get(name), dict):
                chosen: Mapping[str, Any] = found[name]
                return chosen
    names = ", ".join(map(str, found)) if isinstance(found, dict) else "none"
    raise DataError(
        f"The predictions have no {kind} {' or '.join(map(repr, dict.fromkeys(wanted)))} "
        f"(they have: {names}).",
        where=str(path),
        next_step="name the predictions of this task",
    )
