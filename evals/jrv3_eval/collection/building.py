"""Reading a source once into the cache: checks, fingerprint, files."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..errors import DataError
from ..hashing import digest_json, hash_text
from .corpus import Corpus
from .corpus_building import BATCH_ROWS, DAMAGED, corpus_key, ingest_corpus
from .folders import build_folder, check_ids
from .opened import Collection, open_collection
from .raw import Join, RawDataset

FORMAT = 7
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
        except DAMAGED:
            shutil.rmtree(folder, ignore_errors=True)  # built again
    build_folder(folder, lambda work: _write(raw, join, split, cache, work))
    return open_collection(folder)


def _write(raw: RawDataset, join: Join, split: str, cache: Path, work: Path) -> None:
    answers = _read_answers(raw)
    qrels = _read_qrels(raw) if raw.answers is None else {qid: {} for qid in answers}
    queries = _read_queries(raw, qrels)
    corpus = ingest_corpus(raw, join, cache)  # last: it takes longest
    judged = sorted({docid for judgements in qrels.values() for docid in judgements})
    missing = int((corpus.rows(judged) < 0).sum())
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
    pools = _read_pools(raw, queries, corpus)
    for name, lists in (("answers", answers), ("pools", pools)):
        if lists:
            _write_lists(work / f"{name}.arrow", lists)
    meta = {
        "corpus": corpus_key(raw, join),
        "fingerprint": _fingerprint(corpus, queries, qrels, answers),
        "revision": raw.revision,
        "split": split,
        "judgements": len(flat) + sum(map(len, answers.values())),
        "missing_judged": missing,
        "pools_digest": _digest_pools(pools),
    }
    (work / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


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


def _read_pools(raw: RawDataset, queries: Mapping[str, str], corpus: Corpus) -> Lists:
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
    rows = corpus.rows(distinct)
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
    check_ids(raw, "query", queries)
    unknown = [qid for qid in qrels if qid not in seen]
    if unknown:
        raise DataError(
            f"{len(unknown)} queries are judged but not among the queries, "
            f"the first is {unknown[0]!r}.",
            where=raw.locate("judgement", unknown[0]),
            next_step="use queries and judgements of the same version",
        )
    return dict(sorted(queries.items()))


def verify_collection(collection: Collection) -> None:
    """Read what is cached once more. Raises DataError where it is not what was written.

    The texts are hashed again; ids, queries, judgements and answers are compared through the
    fingerprint, the order of ids and the pools by themselves.
    """
    try:
        whole = _is_whole(collection)
    except DAMAGED:  # a text that is no text any more, a file that ends too early
        whole = False
    if not whole:
        raise DataError(
            "The cached dataset is damaged: it is not what was written.",
            where=f"{collection.folder}, {collection.corpus.folder}",
            next_step="delete these folders, then fetch it again",
        )


def _is_whole(collection: Collection) -> bool:
    corpus, start = collection.corpus, 0
    for texts in corpus.iter_texts():
        stored = corpus.text_hashes(np.arange(start, start + len(texts)))
        if [hash_text(text) for text in texts] != stored:
            return False
        start += len(texts)
    for start in range(0, corpus.documents, BATCH_ROWS):
        rows = np.asarray(corpus.row_of_rank[start : start + BATCH_ROWS], np.int64)
        if (corpus.rank[rows] != np.arange(start, start + len(rows))).any():
            return False
    found = _fingerprint(corpus, collection.queries, collection.qrels, dict(collection.answers))
    return (
        found == collection.fingerprint
        and _digest_pools(collection.pools) == collection.pools_digest
    )


def _digest_pools(pools: Mapping[str, tuple[str, ...]]) -> str:
    return digest_json([[qid, list(pool)] for qid, pool in pools.items()])


def _fingerprint(
    corpus: Corpus,
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    answers: Lists,
) -> str:
    sha = hashlib.sha256()
    for start in range(0, corpus.documents, BATCH_ROWS):
        rows = np.asarray(corpus.row_of_rank[start : start + BATCH_ROWS], np.int64)
        for docid, text_hash in zip(corpus.docids_at(rows), corpus.text_hashes(rows), strict=True):
            sha.update(docid.encode() + b"\0" + text_hash)
    for qid in sorted(queries):
        sha.update(b"\1" + qid.encode() + b"\0" + hash_text(queries[qid]))
        for docid in sorted(qrels[qid]):
            sha.update(b"\2" + docid.encode() + b"\0" + str(qrels[qid][docid]).encode())
        for answer in sorted(answers.get(qid, ())):
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
