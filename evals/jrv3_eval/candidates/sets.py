"""Candidate sets: what a first stage hands to a reranker, as an immutable, hashed artifact."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import DataError


@dataclass(frozen=True)
class CandidateSet:
    """Per query the ordered candidate documents and their first-stage scores.

    qids: n queries. offsets: int64 [n + 1]; query i has the entries offsets[i]:offsets[i+1]
    of docids (Arrow strings) and scores (float32), best first under the tie rule (score
    descending, then document id descending). Lists may be short or empty.
    depth: how many were asked for. dataset: fingerprint of the collection.
    """

    qids: tuple[str, ...]
    offsets: NDArray[np.int64]
    docids: pa.Array
    scores: NDArray[np.float32]
    first_stage: str
    depth: int
    dataset: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.qids)

    def of(self, index: int) -> tuple[list[str], NDArray[np.float32]]:
        """Document ids and scores of the query at `index`, best first."""
        start, end = int(self.offsets[index]), int(self.offsets[index + 1])
        return self.docids.slice(start, end - start).to_pylist(), self.scores[start:end]

    @cached_property
    def hash(self) -> str:
        """Hex SHA-256 over query ids and ordered document ids: what a reranker is given.

        First-stage scores are left out: they differ in the last bit between machines, and
        no reranker sees them.
        """
        sha = hashlib.sha256()
        for index, qid in enumerate(self.qids):
            docids, _ = self.of(index)
            for part in (qid, *docids):
                sha.update(part.encode("utf-8", "surrogatepass") + b"\0")
            sha.update(b"\n")
        return sha.hexdigest()

    def select(self, qids: Sequence[str]) -> CandidateSet:
        """The same set for these queries only, in this order."""
        position = {qid: index for index, qid in enumerate(self.qids)}
        lists = (self.of(position[qid]) for qid in qids)
        return self._with_lists(qids, lists, self.depth)

    def cut(self, depth: int) -> CandidateSet:
        """The best `depth` of every list."""
        if depth == self.depth:
            return self
        lists = ((ids[:depth], scores[:depth]) for ids, scores in map(self.of, range(len(self))))
        return self._with_lists(self.qids, lists, depth)

    def _with_lists(
        self,
        qids: Sequence[str],
        lists: Iterable[tuple[Sequence[str], NDArray[np.float32]]],
        depth: int,
    ) -> CandidateSet:
        return candidate_set(
            qids,
            lists,
            first_stage=self.first_stage,
            depth=depth,
            dataset=self.dataset,
            settings=self.settings,
        )


def candidate_set(
    qids: Sequence[str],
    lists: Iterable[tuple[Sequence[str], NDArray[np.float32]]],
    *,
    first_stage: str,
    depth: int,
    dataset: str,
    settings: Mapping[str, Any],
) -> CandidateSet:
    """Build a set from one (document ids, scores) pair a query, best first.

    Raises DataError where a list repeats a document or is not in the order of the tie rule.
    """
    docids: list[str] = []
    scores: list[NDArray[np.float32]] = []
    offsets = [0]
    for qid, (ids, values) in zip(qids, lists, strict=True):
        _check_list(qid, ids, values)
        docids.extend(ids)
        scores.append(np.asarray(values, dtype=np.float32))
        offsets.append(len(docids))
    return CandidateSet(
        qids=tuple(qids),
        offsets=np.asarray(offsets, dtype=np.int64),
        docids=pa.array(docids, pa.string()),
        scores=np.concatenate(scores) if scores else np.empty(0, np.float32),
        first_stage=first_stage,
        depth=depth,
        dataset=dataset,
        # In one order, so that a set from the cache leaves the same record as a new one.
        settings=json.loads(json.dumps(dict(settings), sort_keys=True)),
    )


def _check_list(qid: str, ids: Sequence[str], scores: NDArray[np.float32]) -> None:
    if len(set(ids)) != len(ids):
        repeated = next(docid for docid in ids if list(ids).count(docid) > 1)
        raise DataError(f"Document {repeated!r} is twice among the candidates of query {qid!r}.")
    if not np.isfinite(scores).all():
        raise DataError(f"A candidate of query {qid!r} has a score that is not a number.")
    pairs = zip(scores.tolist(), ids, strict=True)
    if any(a < b for a, b in _neighbours(pairs)):
        raise DataError(f"The candidates of query {qid!r} are not ordered by score, then id.")


def _neighbours(
    pairs: Iterable[tuple[float, str]],
) -> Iterator[tuple[tuple[float, str], tuple[float, str]]]:
    iterator = iter(pairs)
    previous = next(iterator, None)
    for current in iterator:
        assert previous is not None
        yield previous, current
        previous = current
