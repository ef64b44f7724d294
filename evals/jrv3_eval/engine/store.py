"""The score store: one SQLite file a (reranker, task), one row a unit of work.

A batch is written in one transaction, so that a kill at any moment loses at most the batch
in flight. While a run has batches to score it holds SQLite's exclusive lock on the file,
which the operating system releases however the process ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import StorageError
from ..paths import storage_error
from ..rerankers.protocol import Usage
from .work import Batch

T = TypeVar("T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS scores (
    batch BLOB NOT NULL,               -- identity of the batch that was scored together
    content BLOB NOT NULL,             -- hash of the query and its ordered candidate texts
    scores BLOB NOT NULL,              -- float32, little endian, in the order the model saw
    tokens INTEGER,                    -- tokens read by the model; NULL where unknown
    truncated_documents INTEGER,
    truncated_query INTEGER,
    blocks INTEGER,                    -- parts that a listwise model read the list in, or NULL
    calls INTEGER,                     -- prompts answered, or requests to a service, or NULL
    malformed INTEGER,                 -- answers that had to be repaired, or NULL
    billed REAL,                       -- units that a service charges, or NULL
    seconds REAL NOT NULL,             -- its share of the batch's time, by documents
    PRIMARY KEY (batch, content)
) WITHOUT ROWID
"""
INSERT = "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
SELECT = """
SELECT content, scores, seconds,
       tokens, truncated_documents, truncated_query, blocks, calls, malformed, billed
FROM scores WHERE batch = ?
"""


@dataclass(frozen=True, slots=True)
class StoredScores:
    """What is kept of one scored unit: float32 scores, usage where known, seconds."""

    scores: NDArray[np.float32]
    usage: Usage | None
    seconds: float


class ScoreStore:
    """One store file, opened for the length of a run. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, path) from error
        self._connection = self._guard(lambda: sqlite3.connect(path, timeout=2))
        self._guard(lambda: self._connection.execute(SCHEMA))

    def __enter__(self) -> ScoreStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def acquire(self) -> None:
        """Take the exclusive lock until the store is closed. Raises StorageError if it is held."""

        def lock() -> None:
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("BEGIN EXCLUSIVE")
            self._connection.commit()

        self._guard(lock)

    def read(self, batch: Batch) -> dict[bytes, StoredScores] | None:
        """Scores of a batch by content hash, or None unless every unit of it is there."""
        rows = self._guard(lambda: self._connection.execute(SELECT, (batch.identity,)).fetchall())
        found = {
            content: StoredScores(
                np.frombuffer(scores, dtype="<f4").astype(np.float32),
                _usage(*counts),
                seconds,
            )
            for content, scores, seconds, *counts in rows
        }
        for unit in batch.units:
            stored = found.get(unit.content)
            if stored is None or len(stored.scores) != len(unit.request.documents):
                return None
        return found

    def write(self, batch: Batch, scored: Sequence[StoredScores]) -> None:
        """Commit the scores of one whole batch, aligned with its units."""
        rows = []
        for unit, result in zip(batch.units, scored, strict=True):
            usage = result.usage
            rows.append(
                (
                    batch.identity,
                    unit.content,
                    result.scores.astype("<f4").tobytes(),
                    usage.tokens if usage else None,
                    usage.truncated_documents if usage else None,
                    usage.truncated_query if usage else None,
                    usage.blocks if usage else None,
                    usage.calls if usage else None,
                    usage.malformed if usage else None,
                    usage.billed if usage else None,
                    result.seconds,
                )
            )

        def commit() -> None:
            with self._connection:
                self._connection.executemany(INSERT, rows)

        self._guard(commit)

    def _guard(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _explain(self, error: sqlite3.Error) -> StorageError:
        text = str(error)
        if "locked" in text:
            what = "Another run is writing this score store."
            step = "wait for it to end, then run the same command: finished work is reused"
        elif "full" in text:
            what = "The disk is full."
            step = "free some space, then run the same command to continue"
        elif any(word in text for word in ("not a database", "malformed", "no such", "has ")):
            what = f"The score store is damaged: {text}."
            step = "delete the file, then run the same command"
        else:
            what = f"The score store cannot be used: {text}."
            step = "check that the cache folder ($JRV3_EVAL_CACHE) is writable"
        return StorageError(what, where=str(self.path), next_step=step)


def _usage(
    tokens: int | None, documents: int | None, query: int | None, *rest: Any
) -> Usage | None:
    """What the columns say, or None where they say nothing."""
    if (tokens, documents, query, *rest) == (None,) * (3 + len(rest)):
        return None
    return Usage(tokens, documents, None if query is None else bool(query), *rest)
