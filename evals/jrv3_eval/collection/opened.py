"""A cached collection, memory-mapped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..hashing import TEXT_HASH_BYTES


@dataclass(frozen=True)
class Collection:
    """A cached, immutable collection. Rows are corpus positions (int64).

    queries: judged queries only, sorted by id. qrels: relevance by docid, by qid; of a task
    whose relevance is an answer match every query's are empty, and `answers` holds the
    accepted answers by qid. pools: document ids by qid, where the dataset brings its own
    candidates. judgements: lines of the qrels, or answers.
    fingerprint: hex SHA-256 over document ids and joined texts, queries, judgements and
    answers, whatever the order in which the source listed them.
    """

    folder: Path
    fingerprint: str
    revision: str | None
    split: str
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    answers: Mapping[str, tuple[str, ...]]
    pools: Mapping[str, tuple[str, ...]]
    documents: int
    judgements: int
    missing_judged: int
    duplicate_documents: int
    empty_documents: int

    @cached_property
    def _table(self) -> pa.Table:
        with pa.memory_map(str(self.folder / "corpus.arrow")) as source:
            return pa.ipc.open_file(source).read_all()

    @property
    def docids(self) -> pa.ChunkedArray:
        """Document ids by row."""
        return self._table.column("docid")

    @cached_property
    def rank(self) -> NDArray[np.int32]:
        """Position of each row's id among all ids in byte order, for breaking ties."""
        rank: NDArray[np.int32] = np.load(self.folder / "rank.npy", mmap_mode="r")
        return rank

    @cached_property
    def row_of_rank(self) -> NDArray[np.int32]:
        """The inverse of `rank`: rows in the byte order of their ids."""
        rows: NDArray[np.int32] = np.load(self.folder / "row_of_rank.npy", mmap_mode="r")
        return rows

    def docids_at(self, rows: NDArray[np.int64]) -> list[str]:
        """Document ids of these rows."""
        return _take(self.docids, rows)

    def rows(self, docids: Sequence[str] | pa.Array) -> NDArray[np.int64]:
        """Rows of document ids; -1 where the corpus has no such document.

        The corpus streams past the wanted ids, so memory grows with these.
        """
        wanted = pa.array(docids, pa.string()) if not isinstance(docids, pa.Array) else docids
        return rows_of(self.docids, wanted)

    def texts(self, rows: NDArray[np.int64]) -> list[str]:
        """Joined texts of these rows, read from the memory-mapped file."""
        return _take(self._table.column("text"), rows)

    def text_hashes(self, rows: NDArray[np.int64]) -> list[bytes]:
        """16-byte hashes of the texts of these rows."""
        return _take(self._table.column("hash"), rows)

    def distinct_texts(self) -> NDArray[np.int64]:
        """For each row the first row that has the same text (int64 [documents])."""
        column = self._table.column("hash").combine_chunks()
        keys = np.frombuffer(column.buffers()[1], f"V{TEXT_HASH_BYTES}")[: len(column)]
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        rows: NDArray[np.int64] = first[inverse].astype(np.int64)
        return rows

    def iter_texts(self) -> Iterator[list[str]]:
        """All texts in row order, a few thousand at a time."""
        for chunk in self._table.column("text").chunks:
            yield chunk.to_pylist()


def rows_of(docids: pa.ChunkedArray, wanted: pa.Array) -> NDArray[np.int64]:
    """The row in `docids` of each wanted id (int64), -1 where there is none."""
    distinct = wanted.unique()
    place = np.full(len(distinct), -1, np.int64)
    start = 0
    for chunk in docids.chunks:
        found = pc.index_in(chunk, value_set=distinct)
        hits = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
        place[found.take(pa.array(hits)).to_numpy(zero_copy_only=False)] = hits + start
        start += len(chunk)
    rows: NDArray[np.int64] = place[
        pc.index_in(wanted, value_set=distinct).to_numpy(zero_copy_only=False)
    ]
    return rows


def _take(column: pa.ChunkedArray, rows: NDArray[np.int64]) -> list[Any]:
    """Values at rows, chunk by chunk: Arrow's own take would copy the whole column first."""
    starts = np.cumsum([0, *(len(chunk) for chunk in column.chunks)])
    chunk_of = np.searchsorted(starts, rows, side="right") - 1
    values: list[Any] = [None] * len(rows)
    for number in np.unique(chunk_of):
        places = np.flatnonzero(chunk_of == number)
        local = pa.array(rows[places] - starts[number])
        for place, value in zip(places, column.chunk(number).take(local).to_pylist(), strict=True):
            values[place] = value
    return values


def open_collection(folder: Path) -> Collection:
    """Open a cached collection folder. Raises one of several errors where it is damaged."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    queries = _columns(folder / "queries.arrow", "qid", "text")
    qrels: dict[str, dict[str, int]] = {}
    for qid, docid, relevance in _columns(folder / "qrels.arrow", "qid", "docid", "relevance"):
        qrels.setdefault(qid, {})[docid] = relevance
    answers = {qid: tuple(list_) for qid, list_ in _lists(folder / "answers.arrow")}
    pools = {qid: tuple(list_) for qid, list_ in _lists(folder / "pools.arrow")}
    collection = Collection(
        folder=folder,
        queries=dict(queries),
        qrels=qrels or {qid: {} for qid in answers},
        answers=answers,
        pools=pools,
        **meta,
    )
    if not len(collection.docids) == len(collection.rank) == collection.documents:
        raise ValueError("the files of the cached collection do not fit together")
    return collection


def _lists(path: Path) -> Iterator[tuple[Any, ...]]:
    """Query ids and their lists; nothing where the dataset has none."""
    return _columns(path, "qid", "list") if path.exists() else iter(())


def _columns(path: Path, *names: str) -> Iterator[tuple[Any, ...]]:
    table = pa.ipc.open_file(path).read_all()
    return zip(*(table.column(name).to_pylist() for name in names), strict=True)
