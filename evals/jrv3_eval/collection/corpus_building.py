"""Reading a source's documents once into the cache."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import DataError
from ..hashing import digest_json, hash_text
from ..progress import document_bar
from .columns import ColumnFiles, count_distinct
from .corpus import META, Corpus, open_corpus
from .folders import build_folder, check_ids
from .raw import Document, Join, RawDataset

FORMAT = 1
BATCH_ROWS = 8192
DAMAGED = (OSError, EOFError, ValueError, KeyError, TypeError, pa.ArrowException)


def corpus_key(raw: RawDataset, join: Join) -> str:
    """What the documents depend on: their source and how title and text are joined."""
    identity = raw.identity if raw.corpus_identity is None else raw.corpus_identity
    return digest_json([FORMAT, identity, join])[:32]


def corpus_folder(cache: Path, key: str) -> Path:
    """Where the corpus of that key stands."""
    return cache / "corpora" / key


def ingest_corpus(raw: RawDataset, join: Join, cache: Path) -> Corpus:
    """Read the documents once into the cache, or open what was cached.

    Raises DataError on a duplicate or impossible id and on an empty corpus.
    """
    folder = corpus_folder(cache, corpus_key(raw, join))
    if folder.exists():
        try:
            return open_corpus(folder)
        except DAMAGED:
            shutil.rmtree(folder, ignore_errors=True)  # built again
    build_folder(folder, lambda work: _write(raw, join, work))
    return open_corpus(folder)


def _write(raw: RawDataset, join: Join, work: Path) -> None:
    columns = ColumnFiles(work)
    with columns:
        empty = _write_texts(raw, join, work / "corpus.arrow", columns)
    docids = columns.docids()
    order = _order_by_id(docids, raw)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    np.save(work / "rank.npy", rank)
    np.save(work / "row_of_rank.npy", order)
    meta = {
        "documents": len(docids),
        "duplicate_documents": len(docids) - count_distinct(columns.hashes()),
        "empty_documents": empty,
    }
    (work / META).write_text(json.dumps(meta), encoding="utf-8")


def _joined(document: Document, join: Join) -> str:
    if join == "title text":
        return f"{document.title} {document.text}".strip()
    return document.text.strip()


def _write_texts(raw: RawDataset, join: Join, path: Path, columns: ColumnFiles) -> int:
    """Stream the documents into files; returns how many texts are empty."""
    schema = pa.schema([("text", pa.large_string())])
    empty = rows = 0
    with (
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
        document_bar("read the corpus", 0) as bar,
    ):
        for batch in _batches(raw.documents(), BATCH_ROWS):
            docids = [document.docid for document in batch]
            check_ids(raw, "document", docids)
            texts = [_joined(document, join) for document in batch]
            empty += sum(not text for text in texts)
            rows += len(batch)
            columns.add(docids, [hash_text(text) for text in texts])
            column = pa.array(texts, pa.large_string())
            writer.write_batch(pa.record_batch([column], schema=schema))
            bar.advance(len(batch))
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
