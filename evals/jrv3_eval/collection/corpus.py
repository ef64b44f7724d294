"""A cached corpus, memory-mapped: several collections may rest on one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..hashing import TEXT_HASH_BYTES
from .columns import ColumnFiles

META = "corpus.json"
BLOCK = 1 << 20


@dataclass(frozen=True)
class Corpus:
    """Documents of one source, joined in one way. Rows are positions (int64).

    Texts, ids and hashes stay on disk; what is asked for is read.
    """

    folder: Path
    documents: int
    duplicate_documents: int
    empty_documents: int

    @cached_property
    def _texts(self) -> pa.ChunkedArray:
        with pa.memory_map(str(self.folder / "corpus.arrow")) as source:
            return pa.ipc.open_file(source).read_all().column("text")

    @cached_property
    def docids(self) -> pa.Array:
        """Document ids by row (large_string, mapped)."""
        return ColumnFiles(self.folder).docids()

    @cached_property
    def hashes(self) -> NDArray[np.uint8]:
        """Text hashes by row, uint8 [documents, 16], mapped."""
        return ColumnFiles(self.folder).hashes()

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
        names: list[str] = self.docids.take(pa.array(rows)).to_pylist()
        return names

    def rows(self, docids: Sequence[str] | pa.Array) -> NDArray[np.int64]:
        """Rows of document ids; -1 where the corpus has no such document.

        The corpus streams past the wanted ids, so memory grows with these.
        """
        return rows_of(self.docids, docids)

    def texts(self, rows: NDArray[np.int64]) -> list[str]:
        """Joined texts of these rows."""
        return _take(self._texts, rows)

    def text_hashes(self, rows: NDArray[np.int64]) -> list[bytes]:
        """16-byte hashes of the texts of these rows."""
        return [row.tobytes() for row in self.hashes[rows]]

    def distinct_texts(self) -> NDArray[np.int64]:
        """For each row the first row that has the same text (int64 [documents])."""
        keys = np.array(self.hashes, order="C").view(f"V{TEXT_HASH_BYTES}").ravel()
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        rows: NDArray[np.int64] = first[inverse].astype(np.int64)
        return rows

    def iter_texts(self) -> Iterator[list[str]]:
        """All texts in row order, a few thousand at a time."""
        for chunk in self._texts.chunks:
            yield chunk.to_pylist()


def open_corpus(folder: Path) -> Corpus:
    """Open a cached corpus folder. Raises one of several errors where it is damaged."""
    corpus = Corpus(folder=folder, **json.loads((folder / META).read_text(encoding="utf-8")))
    columns = (corpus._texts, corpus.docids, corpus.hashes, corpus.rank, corpus.row_of_rank)
    if set(map(len, columns)) != {corpus.documents}:
        raise ValueError("the files of the cached corpus do not fit together")
    return corpus


def rows_of(
    known: pa.Array | pa.ChunkedArray, names: Sequence[str] | pa.Array
) -> NDArray[np.int64]:
    """The row in `known` of each of the names (int64), -1 where there is none.

    known streams past, so memory grows with the names. Both are read as large_string.
    """
    kind = pa.large_string()
    wanted = names.cast(kind) if isinstance(names, pa.Array) else pa.array(names, kind)
    distinct = wanted.unique()
    place = np.full(len(distinct), -1, np.int64)
    for start in range(0, len(known), BLOCK):
        block = known.slice(start, BLOCK)
        for part in block.chunks if isinstance(block, pa.ChunkedArray) else [block]:
            found = pc.index_in(part, value_set=distinct)
            hits = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
            place[found.take(pa.array(hits)).to_numpy(zero_copy_only=False)] = hits + start
            start += len(part)
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
