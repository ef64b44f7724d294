"""Reading a source once into the cache: checks, fingerprint, files."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import DataError
from ..hashing import TEXT_HASH_BYTES, digest_json, hash_text
from ..paths import share, storage_error
from ..trec import is_writable_id
from .columns import ColumnFiles, count_distinct
from .opened import Collection, open_collection, rows_of
from .raw import Document, Join, RawDataset

FORMAT = 5
BATCH_ROWS = 8192
Lists = dict[str, tuple[str, ...]]


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
    answers = _read_answers(raw)
    qrels = _read_qrels(raw) if raw.answers is None else {qid: {} for qid in answers}
    queries = _read_queries(raw, qrels)
    columns = ColumnFiles(work)
    with columns:
        empty = _write_corpus(raw, join, work / "corpus.arrow", columns)
    docids, hashes = columns.docids(), columns.hashes()
    order = _order_by_id(docids, raw)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    np.save(work / "rank.npy", rank)
    np.save(work / "row_of_rank.npy", order)
    del rank

    judged = sorted({docid for judgements in qrels.values() for docid in judgements})
    with pa.memory_map(str(work / "corpus.arrow")) as source:
        ids_in_batches = pa.ipc.open_file(source).read_all().column("docid")
    missing = int((rows_of(ids_in_batches, pa.array(judged, pa.string())) < 0).sum())

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
    pools = _read_pools(raw, queries, ids_in_batches)
    for name, lists in (("answers", answers), ("pools", pools)):
        if lists:
            _write_lists(work / f"{name}.arrow", lists)
    meta = {
        "fingerprint": _fingerprint(docids, hashes, order, queries, qrels, answers),
        "revision": raw.revision,
        "split": split,
        "documents": len(docids),
        "judgements": len(flat) + sum(map(len, answers.values())),
        "missing_judged": missing,
        "duplicate_documents": len(docids) - count_distinct(hashes),
        "empty_documents": empty,
    }
    columns.remove()
    return meta


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


def _read_answers(raw: RawDataset) -> Lists:
    """Accepted answers by query id, sorted by id. Empty where the source has judgements."""
    if raw.answers is None:
        return {}
    answers: Lists = {}
    for qid, accepted in raw.answers():
        if qid in answers or not accepted:
            problem = "has its answers twice" if qid in answers else "has no answer"
            raise DataError(
                f"Query {qid!r} {problem}.",
                where=raw.locate("judgement", qid),
                next_step="give every query one list of at least one answer",
            )
        answers[qid] = tuple(accepted)
    if not answers:
        raise DataError("There are no answers.", where=raw.locate("judgement", ""))
    return dict(sorted(answers.items()))


def _read_pools(raw: RawDataset, queries: Mapping[str, str], docids: pa.ChunkedArray) -> Lists:
    """The dataset's own candidates of each judged query, sorted by query id."""
    if raw.pools is None:
        return {}
    pools = {qid: tuple(pool) for qid, pool in raw.pools() if qid in queries}
    for qid, pool in pools.items():
        if len(set(pool)) != len(pool):
            raise DataError(
                f"The pool of query {qid!r} names a document twice.",
                where=raw.locate("query", qid),
                next_step="name every document of a pool once",
            )
    distinct = sorted({docid for pool in pools.values() for docid in pool})
    rows = rows_of(docids, pa.array(distinct, pa.string()))
    if len(rows) and rows.min() < 0:
        docid = distinct[int(np.argmin(rows))]
        qid = next(qid for qid, pool in pools.items() if docid in pool)
        raise DataError(
            f"The pool of query {qid!r} names document {docid!r}, which the corpus has not.",
            where=raw.locate("query", qid),
            next_step="use pools and corpus of the same version",
        )
    return dict(sorted(pools.items()))


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


def _write_corpus(raw: RawDataset, join: Join, path: Path, columns: ColumnFiles) -> int:
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
            columns.add([document.docid for document in batch], hashes)
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


def _order_by_id(docids: pa.Array, raw: RawDataset) -> NDArray[np.int32]:
    """Rows sorted by id in byte order. Raises DataError on a repeated id."""
    order: NDArray[np.int32] = pc.sort_indices(docids).to_numpy().astype(np.int32)
    last = None
    for start in range(0, len(order), BATCH_ROWS):
        for docid in docids.take(pa.array(order[start : start + BATCH_ROWS])).to_pylist():
            if docid == last:
                raise DataError(
                    f"Document id {docid!r} stands twice.",
                    where=raw.locate("document", docid),
                    next_step="give every document its own id",
                )
            last = docid
    return order


def verify_collection(collection: Collection) -> None:
    """Read what is cached once more. Raises DataError where it is not what was written.

    The texts are hashed again; ids, queries, judgements and answers are compared through the
    fingerprint.
    """
    with pa.memory_map(str(collection.folder / "corpus.arrow")) as source:
        corpus = pa.ipc.open_file(source).read_all()
    parts = corpus.column("hash").chunks
    whole = all(
        [hash_text(text) for text in texts] == stored.to_pylist()
        for texts, stored in zip(collection.iter_texts(), parts, strict=True)
    )
    stored = b"".join(part for chunk in parts for part in chunk.to_pylist())
    found = _fingerprint(
        corpus.column("docid").combine_chunks(),
        np.frombuffer(stored, np.uint8).reshape(-1, TEXT_HASH_BYTES),
        collection.row_of_rank,
        collection.queries,
        collection.qrels,
        dict(collection.answers),
    )
    if not whole or found != collection.fingerprint:
        raise DataError(
            "The cached dataset is damaged: it is not what was written.",
            where=str(collection.folder),
            next_step="delete this folder, then fetch it again",
        )


def _fingerprint(
    docids: pa.Array,
    hashes: NDArray[np.uint8],
    order: NDArray[np.int32],
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    answers: Lists,
) -> str:
    sha = hashlib.sha256()
    for start in range(0, len(order), BATCH_ROWS):
        rows = order[start : start + BATCH_ROWS]
        identifiers = docids.take(pa.array(rows)).to_pylist()
        for docid, text_hash in zip(identifiers, np.asarray(hashes[rows]), strict=True):
            sha.update(docid.encode() + b"\0" + text_hash.tobytes())
    for qid in sorted(queries):
        sha.update(b"\1" + qid.encode() + b"\0" + hash_text(queries[qid]))
        for docid in sorted(qrels[qid]):
            sha.update(b"\2" + docid.encode() + b"\0" + str(qrels[qid][docid]).encode())
        for answer in answers.get(qid, ()):
            sha.update(b"\3" + hash_text(answer))
    return sha.hexdigest()


def _write_table(path: Path, columns: Mapping[str, pa.Array]) -> None:
    table = pa.table(dict(columns))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _write_lists(path: Path, lists: Lists) -> None:
    columns = {
        "qid": pa.array(lists, pa.string()),
        "list": pa.array(lists.values(), pa.list_(pa.string())),
    }
    _write_table(path, columns)
