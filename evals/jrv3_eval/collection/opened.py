"""A cached collection: a corpus, with the queries and judgements over it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .corpus import Corpus, open_corpus
from .corpus_building import corpus_folder


@dataclass(frozen=True)
class Collection:
    """A cached, immutable collection. Rows are corpus positions (int64).

    queries: judged queries only, sorted by id. qrels: relevance by docid, by qid; of a task
    whose relevance is an answer match every query's are empty, and `answers` holds the
    accepted answers by qid. pools: document ids by qid, where the dataset brings its own
    candidates (pools_digest: of them, for checking the cache). judgements: lines of the
    qrels, or answers.
    fingerprint: hex SHA-256 over document ids and joined texts, queries, judgements and
    answers, whatever the order in which the source listed them.
    """

    folder: Path
    corpus: Corpus
    fingerprint: str
    revision: str | None
    split: str
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    answers: Mapping[str, tuple[str, ...]]
    pools: Mapping[str, tuple[str, ...]]
    judgements: int
    missing_judged: int
    pools_digest: str

    @property
    def documents(self) -> int:
        """Documents of the corpus."""
        return self.corpus.documents

    @property
    def docids(self) -> pa.Array:
        """Document ids by row."""
        return self.corpus.docids

    def rows(self, docids: Sequence[str] | pa.Array) -> NDArray[np.int64]:
        """Rows of document ids; -1 where the corpus has no such document."""
        return self.corpus.rows(docids)

    def texts(self, rows: NDArray[np.int64]) -> list[str]:
        """Joined texts of these rows, read from the memory-mapped file."""
        return self.corpus.texts(rows)

    def text_hashes(self, rows: NDArray[np.int64]) -> list[bytes]:
        """16-byte hashes of the texts of these rows."""
        return self.corpus.text_hashes(rows)

    def iter_texts(self) -> Iterator[list[str]]:
        """All texts in row order, a few thousand at a time."""
        return self.corpus.iter_texts()


def open_collection(folder: Path) -> Collection:
    """Open a cached collection folder. Raises one of several errors where it is damaged."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    corpus = open_corpus(corpus_folder(folder.parent.parent, meta.pop("corpus")))
    queries = _columns(folder / "queries.arrow", "qid", "text")
    qrels: dict[str, dict[str, int]] = {}
    for qid, docid, relevance in _columns(folder / "qrels.arrow", "qid", "docid", "relevance"):
        qrels.setdefault(qid, {})[docid] = relevance
    answers = {qid: tuple(accepted) for qid, accepted in _lists(folder / "answers.arrow")}
    return Collection(
        folder=folder,
        corpus=corpus,
        queries=dict(queries),
        qrels=qrels or {qid: {} for qid in answers},
        answers=answers,
        pools={qid: tuple(pool) for qid, pool in _lists(folder / "pools.arrow")},
        **meta,
    )


def _lists(path: Path) -> Iterator[tuple[Any, ...]]:
    """Query ids and their lists; nothing where the dataset has none."""
    return _columns(path, "qid", "list") if path.exists() else iter(())


def _columns(path: Path, *names: str) -> Iterator[tuple[Any, ...]]:
    table = pa.ipc.open_file(path).read_all()
    return zip(*(table.column(name).to_pylist() for name in names), strict=True)
