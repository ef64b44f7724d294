"""A collection: corpus, queries and judgements, kept in an Arrow cache on disk.

The corpus is written once and memory-mapped afterwards, so that only the texts which
somebody asks for are ever in memory.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .errors import DataError
from .hashing import TEXT_HASH_BYTES, digest_json, hash_text
from .paths import share, storage_error
from .trec import is_writable_id

FORMAT = 3
BATCH_ROWS = 8192
Join = Literal["title text", "text"]


class Document(NamedTuple):
    """A document as its source has it; title and text are not yet joined."""

    docid: str
    title: str
    text: str


class Judgement(NamedTuple):
    """One line of the qrels."""

    qid: str
    docid: str
    relevance: int


@dataclass(frozen=True)
class RawDataset:
    """What a source delivers: three streams, and how to name the place of an id in an error.

    identity: JSON value that changes whenever the streams would (file sizes and times,
    a checksum, a version); it keys the cache. locate(kind, id): where an id stands.
    """

    identity: Any
    revision: str | None
    documents: Callable[[], Iterator[Document]]
    queries: Callable[[], Iterator[tuple[str, str]]]
    judgements: Callable[[], Iterator[Judgement]]
    locate: Callable[[Literal["document", "query", "judgement"], str], str]


@dataclass(frozen=True)
class Collection:
    """A cached, immutable collection. Rows are corpus positions (int64).

    queries: judged queries only, sorted by id. qrels: relevance by docid, by qid.
    fingerprint: hex SHA-256 over document ids and joined texts, queries and judgements,
    whatever the order in which the source listed them.
    """

    folder: Path
    fingerprint: str
    revision: str | None
    split: str
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
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

    def rows(self, docids: Sequence[str] | pa.Array) -> NDArray[np.int64]:
        """Rows of document ids; -1 where the corpus has no such document."""
        wanted = pa.array(docids, pa.string()) if not isinstance(docids, pa.Array) else docids
        found = pc.index_in(wanted, value_set=self.docids.combine_chunks())
        filled: NDArray[np.int64] = pc.fill_null(found.cast(pa.int64()), -1).to_numpy()
        return filled

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


def ingest(raw: RawDataset, *, join: Join, split: str, cache: Path) -> Collection:
    """Read a source once into the cache, or open what an earlier run cached.

    Raises DataError on a duplicate or empty id, an empty corpus, an empty query, a
    judgement of an unknown query; StorageError where the cache cannot be written.
    """
    key = digest_json([FORMAT, raw.identity, join, split])
    folder = cache / "collections" / key[:32]
    if folder.exists():
        try:
            return open_collection(folder)
        except (OSError, EOFError, ValueError, KeyError, TypeError, pa.ArrowException):
            shutil.rmtree(folder, ignore_errors=True)  # damaged: built again
    _build(raw, join, split, folder)
    return open_collection(folder)


def open_collection(folder: Path) -> Collection:
    """Open a cached collection folder. Raises one of several errors where it is damaged."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    queries = pa.ipc.open_file(folder / "queries.arrow").read_all()
    qrels: dict[str, dict[str, int]] = {}
    lines = pa.ipc.open_file(folder / "qrels.arrow").read_all()
    columns = (lines.column(name).to_pylist() for name in ("qid", "docid", "relevance"))
    for qid, docid, relevance in zip(*columns, strict=True):
        qrels.setdefault(qid, {})[docid] = relevance
    pairs = zip(queries.column("qid").to_pylist(), queries.column("text").to_pylist(), strict=True)
    collection = Collection(folder=folder, queries=dict(pairs), qrels=qrels, **meta)
    if not len(collection.docids) == len(collection.rank) == collection.documents:
        raise ValueError("the files of the cached collection do not fit together")
    return collection


def _build(raw: RawDataset, join: Join, split: str, folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".building.", dir=folder.parent))
        try:
            meta = _write(raw, join, split, work)
            (work / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
            share(work)
            try:
                work.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process built the same at the same time
                    raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise storage_error(error, folder) from error


def _write(raw: RawDataset, join: Join, split: str, work: Path) -> dict[str, Any]:
    qrels = _read_qrels(raw)
    queries = _read_queries(raw, qrels)
    empty = _write_corpus(raw, join, work / "corpus.arrow")
    with pa.memory_map(str(work / "corpus.arrow")) as source:
        corpus = pa.ipc.open_file(source).read_all()
    order = _order_by_id(corpus.column("docid"), raw)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    np.save(work / "rank.npy", rank)

    judged = sorted({docid for judgements in qrels.values() for docid in judgements})
    known = pc.is_in(
        pa.array(judged, pa.string()), value_set=corpus.column("docid").combine_chunks()
    )
    missing = known.to_pylist().count(False)

    _write_table(
        work / "queries.arrow",
        {"qid": pa.array(queries, pa.string()), "text": pa.array(queries.values(), pa.string())},
    )
    flat = [(q, d, r) for q, judgements in qrels.items() for d, r in judgements.items()]
    _write_table(
        work / "qrels.arrow",
        {
            "qid": pa.array([line[0] for line in flat], pa.string()),
            "docid": pa.array([line[1] for line in flat], pa.string()),
            "relevance": pa.array([line[2] for line in flat], pa.int32()),
        },
    )
    return {
        "fingerprint": _fingerprint(corpus, order, queries, qrels),
        "revision": raw.revision,
        "split": split,
        "documents": corpus.num_rows,
        "judgements": len(flat),
        "missing_judged": missing,
        "duplicate_documents": corpus.num_rows - len(pc.unique(corpus.column("hash"))),
        "empty_documents": empty,
    }


def _read_qrels(raw: RawDataset) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for qid, docid, relevance in raw.judgements():
        known = qrels.setdefault(qid, {})
        if known.setdefault(docid, relevance) != relevance:
            raise DataError(
                f"Document {docid!r} is judged twice for query {qid!r}, "
                f"as {known[docid]} and as {relevance}.",
                where=raw.locate("judgement", qid),
                next_step="keep one of the two lines",
            )
    if not qrels:
        raise DataError("There are no judgements.", where=raw.locate("judgement", ""))
    # In one order whatever the file's: candidates, plans and hashes follow it.
    return {qid: dict(sorted(qrels[qid].items())) for qid in sorted(qrels)}


def _read_queries(raw: RawDataset, qrels: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    queries: dict[str, str] = {}
    seen: set[str] = set()
    for qid, text in raw.queries():
        if qid in seen:
            raise DataError(
                f"Query id {qid!r} stands twice.",
                where=raw.locate("query", qid),
                next_step="give every query its own id",
            )
        seen.add(qid)
        if qid not in qrels:
            continue
        if not text.strip():
            raise DataError(
                f"Query {qid!r} is judged, but its text is empty.",
                where=raw.locate("query", qid),
                next_step="give it a text, or remove it and its judgements",
            )
        queries[qid] = text
    _check_ids(raw, "query", queries)
    unknown = [qid for qid in qrels if qid not in seen]
    if unknown:
        raise DataError(
            f"{len(unknown)} queries are judged but not among the queries, "
            f"the first is {unknown[0]!r}.",
            where=raw.locate("judgement", unknown[0]),
            next_step="use queries and judgements of the same version",
        )
    return dict(sorted(queries.items()))


def _check_ids(
    raw: RawDataset, kind: Literal["document", "query"], identifiers: Iterable[str]
) -> None:
    """Now, and not after hours of scoring, when the run is written."""
    for identifier in identifiers:
        if not is_writable_id(identifier):
            raise DataError(
                f"The {kind} id {identifier!r} could not stand in a TREC run: it has a tab or a "
                "line break, or begins or ends with a space.",
                where=raw.locate(kind, identifier),
                next_step="rename it in the dataset",
            )


def _joined(document: Document, join: Join) -> str:
    if join == "title text":
        return f"{document.title} {document.text}".strip()
    return document.text.strip()


def _write_corpus(raw: RawDataset, join: Join, path: Path) -> int:
    """Stream the documents into an Arrow file; returns how many texts are empty."""
    schema = pa.schema(
        [
            ("docid", pa.string()),
            ("text", pa.large_string()),
            ("hash", pa.binary(TEXT_HASH_BYTES)),
        ]
    )
    empty = rows = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in _batches(raw.documents(), BATCH_ROWS):
            _check_ids(raw, "document", (document.docid for document in batch))
            texts = [_joined(document, join) for document in batch]
            empty += sum(not text for text in texts)
            rows += len(batch)
            hashes = [hash_text(text) for text in texts]
            writer.write_batch(
                pa.record_batch(
                    [
                        pa.array([document.docid for document in batch], pa.string()),
                        pa.array(texts, pa.large_string()),
                        pa.array(hashes, pa.binary(TEXT_HASH_BYTES)),
                    ],
                    schema=schema,
                )
            )
    if not rows:
        raise DataError(
            "The corpus is empty.",
            where=raw.locate("document", ""),
            next_step="check that the right file was named",
        )
    return empty


def _batches(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    batch: list[Document] = []
    for document in documents:
        batch.append(document)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _order_by_id(docids: pa.ChunkedArray, raw: RawDataset) -> NDArray[np.int64]:
    """Rows sorted by id in byte order. Raises DataError on a repeated id."""
    order = pc.sort_indices(docids.combine_chunks())
    ids = docids.take(order).combine_chunks()
    if len(ids) > 1:
        same = pc.equal(ids.slice(1), ids.slice(0, len(ids) - 1)).to_numpy(zero_copy_only=False)
        if same.any():
            docid = ids[int(np.argmax(same))].as_py()
            raise DataError(
                f"Document id {docid!r} stands twice.",
                where=raw.locate("document", docid),
                next_step="give every document its own id",
            )
    rows: NDArray[np.int64] = order.to_numpy().astype(np.int64)
    return rows


def _fingerprint(
    corpus: pa.Table,
    order: NDArray[np.int64],
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
) -> str:
    sha = hashlib.sha256()
    for start in range(0, len(order), BATCH_ROWS):
        part = corpus.select(["docid", "hash"]).take(pa.array(order[start : start + BATCH_ROWS]))
        columns = (part.column("docid").to_pylist(), part.column("hash").to_pylist())
        for docid, text_hash in zip(*columns, strict=True):
            sha.update(docid.encode() + b"\0" + text_hash)
    for qid in sorted(queries):
        sha.update(b"\1" + qid.encode() + b"\0" + hash_text(queries[qid]))
        for docid in sorted(qrels[qid]):
            sha.update(b"\2" + docid.encode() + b"\0" + str(qrels[qid][docid]).encode())
    return sha.hexdigest()


def _write_table(path: Path, columns: Mapping[str, pa.Array]) -> None:
    table = pa.table(dict(columns))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
