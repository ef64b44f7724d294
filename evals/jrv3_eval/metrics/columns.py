"""Judgements and runs as columns: all queries in one flat array a field.

Query i owns the rows offsets[i]:offsets[i + 1]. Strings stay Python strings in object
arrays: they are shared with whoever made them, and their hashes are already computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jrv3_eval.errors import DataError

Strings = NDArray[np.object_]
Offsets = NDArray[np.int64]


class _Lists:
    """What judgements and runs share: query ids and, for each, a slice of documents."""

    qids: tuple[str, ...]
    offsets: Offsets
    docids: Strings

    @cached_property
    def index(self) -> dict[str, int]:
        """Query id -> its position in `qids`."""
        return {qid: i for i, qid in enumerate(self.qids)}

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Documents of each query, int64 of shape (queries,)."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.qids)


@dataclass(frozen=True, eq=False)
class Qrels(_Lists):
    """Relevance judgements.

    offsets: int64 (queries + 1,). docids: str objects (judgements,).
    relevance: int64 (judgements,), as judged: it may be zero or negative.
    all_count: a query counts also where it has no judgement (relevance by answer match).
    """

    qids: tuple[str, ...]
    offsets: Offsets
    docids: Strings
    relevance: NDArray[np.int64]
    all_count: bool = False

    def __post_init__(self) -> None:
        _check_lists("judgements", self.qids, self.offsets, self.docids, len(self.relevance))

    @classmethod
    def from_dict(
        cls, judgements: Mapping[str, Mapping[str, int]], *, all_count: bool = False
    ) -> Qrels:
        """`{qid: {docid: relevance}}`; a relevance is a whole number."""
        values = list(chain.from_iterable(docs.values() for docs in judgements.values()))
        relevance = _numbers(values, "relevance")
        whole = relevance.astype(np.int64)
        if (wrong := np.flatnonzero(whole != relevance)).size:
            raise DataError(f"A relevance is not a whole number: {values[wrong[0]]!r}.")
        return cls(*_flatten(judgements), whole, all_count)

    def of(self, qid: str) -> dict[str, int]:
        """The judgements of one query; empty if it has none."""
        i = self.index.get(qid)
        if i is None:
            return {}
        rows = slice(self.offsets[i], self.offsets[i + 1])
        return dict(zip(self.docids[rows].tolist(), self.relevance[rows].tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Run(_Lists):
    """Scored documents of each query, in any order: only the scores rank them.

    offsets: int64 (queries + 1,). docids: str objects (rows,). scores: float32 (rows,).
    """

    qids: tuple[str, ...]
    offsets: Offsets
    docids: Strings
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        _check_lists("run", self.qids, self.offsets, self.docids, len(self.scores))
        if self.scores.dtype != np.float32:
            raise TypeError(f"scores must be float32, not {self.scores.dtype}")
        if (wrong := np.flatnonzero(~np.isfinite(self.scores))).size:
            row = int(wrong[0])
            qid = self.qids[int(np.searchsorted(self.offsets, row, side="right")) - 1]
            raise DataError(
                f"A score is not a finite float32 number: {self.scores[row]}.",
                where=f"query {qid!r}, document {self.docids[row]!r}",
                next_step="find out why the model gave it: such a list cannot be ranked",
            )

    @classmethod
    def from_dict(cls, scores: Mapping[str, Mapping[str, float]]) -> Run:
        """`{qid: {docid: score}}`, the form of pytrec_eval, ranx and beir."""
        values = list(chain.from_iterable(docs.values() for docs in scores.values()))
        return cls(*_flatten(scores), _float32(_numbers(values, "score")))

    @classmethod
    def from_ranked(cls, qids: Sequence[str], lists: Sequence[tuple[Sequence[str], Any]]) -> Run:
        """One (docids, scores) pair a query, aligned with `qids`; lists may be empty."""
        if len(qids) != len(lists):
            raise DataError(f"{len(qids)} query ids, but {len(lists)} lists.")
        columns = [np.asarray(scores) for _, scores in lists]
        for qid, (docids, _), scores in zip(qids, lists, columns, strict=True):
            if scores.shape != (len(docids),):
                raise DataError(
                    f"{len(docids)} documents, but scores of shape {scores.shape}.",
                    where=f"query {qid!r}",
                )
        return cls(
            tuple(qids),
            _offsets(len(docids) for docids, _ in lists),
            _strings(chain.from_iterable(docids for docids, _ in lists)),
            _float32(np.concatenate(columns)) if columns else np.zeros(0, np.float32),
        )


def _flatten(nested: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, ...], Offsets, Strings]:
    offsets = _offsets(len(docs) for docs in nested.values())
    return tuple(nested), offsets, _strings(chain.from_iterable(nested.values()))


def _offsets(lengths: Iterable[int]) -> Offsets:
    return np.cumsum([0, *lengths], dtype=np.int64)


def _strings(values: Iterable[str]) -> Strings:
    items = list(values)
    column = np.empty(len(items), dtype=object)
    column[:] = items
    return column


def _numbers(values: list[Any], kind: str) -> NDArray[np.float64]:
    try:
        return np.fromiter(values, dtype=np.float64, count=len(values))
    except (TypeError, ValueError) as error:
        raise DataError(f"A {kind} is not a number: {error}.") from error


def _float32(values: NDArray[Any]) -> NDArray[np.float32]:
    # A float64 beyond float32's range becomes inf here, and Run refuses it with its place.
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _check_lists(
    kind: str, qids: tuple[str, ...], offsets: Offsets, docids: Strings, rows: int
) -> None:
    if len(offsets) != len(qids) + 1 or offsets[-1] != len(docids) or rows != len(docids):
        raise ValueError(f"{kind}: the columns do not fit together")
    if len(set(qids)) != len(qids):
        twice = next(qid for i, qid in enumerate(qids) if qid in qids[:i])
        raise DataError(f"A query appears twice in the {kind}.", where=f"query {twice!r}")
    documents, bounds = docids.tolist(), offsets.tolist()
    # An integer id would match no string, and the query would score 0 without a word.
    for column in (qids, documents):
        if any(not issubclass(found, str) for found in set(map(type, column))):
            wrong = next(value for value in column if not isinstance(value, str))
            raise DataError(
                f"An id in the {kind} is not a string: {wrong!r}.", next_step="use str(id)"
            )
    for i, qid in enumerate(qids):
        ids = documents[bounds[i] : bounds[i + 1]]
        if len(set(ids)) != len(ids):
            twice = next(docid for j, docid in enumerate(ids) if docid in ids[:j])
            raise DataError(
                f"A document appears twice for a query in the {kind}.",
                where=f"query {qid!r}, document {twice!r}",
                next_step="keep one of the two: which score counts is otherwise a guess",
            )
