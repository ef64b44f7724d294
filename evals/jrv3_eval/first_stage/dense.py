"""Dense candidates: exact search over cached embeddings, in chunks of the corpus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..candidates import CandidateSet
from ..cards import TaskCard
from ..collection import Collection
from ..embedding.cache import GROUP_TEXTS, EmbeddingCache
from ..progress import document_bar
from .dense_model import DenseEncoder
from .listing import list_candidates, ranked_lists
from .top_k import largest, sort_keys

QUERY_BLOCK = 2048


class Dense:
    """`dense:MODEL` for one task: cosine or dot over its vectors.

    Embeddings are cached by weights and text; the search is exact. Memory grows with the
    candidates, and by some 100 bytes a document, by which copies of a text are found.
    """

    cached: ClassVar[bool] = True

    def __init__(self, encoder: DenseEncoder, similarity: str, task: str | None, cache: Path):
        self.name = f"dense-{encoder.checkpoint.name}"
        self._similarity, self._task = similarity, task
        self.encoder = encoder
        self._cache = EmbeddingCache(cache, encoder)

    def settings(self, card: TaskCard) -> dict[str, Any]:
        """All that can change the candidates."""
        checkpoint = self.encoder.checkpoint
        return {
            "model": checkpoint.name,
            "revision": checkpoint.revision,
            "weights": checkpoint.weights,
            "similarity": self._similarity,
            **({"task": self._task} if self._task else {}),
            "self_retrieval": card.self_retrieval,
            **self.encoder.recorded_settings,
            "versions": dict(self.encoder.versions),
        }

    def retrieve(self, collection: Collection, card: TaskCard, depth: int) -> CandidateSet:
        """The best `depth` documents a query, exact under the tie rule.

        Documents with the same text are encoded and compared once, so that they tie: the same
        text in another batch would differ in the last bit.
        """
        queries = self._queries(list(collection.queries.values()))
        own = collection.rows(list(collection.queries))
        if card.self_retrieval == "keep":
            own = np.full(len(own), -1)
        best = [
            np.empty((min(QUERY_BLOCK, len(queries) - start), 0), np.uint64)
            for start in range(0, len(queries), QUERY_BLOCK)
        ]
        rank = np.asarray(collection.corpus.rank)
        copies = _Copies(collection.corpus.distinct_texts())
        done = 0
        with document_bar(f"embed {card.name}", len(copies.rows)) as bar:
            for group in self._cache.groups(_texts(collection, copies), "document", GROUP_TEXTS):
                vectors = np.asarray(group.vectors)
                column, rows = copies.of(done, done + len(vectors))
                for block, keys in enumerate(best):
                    start = block * QUERY_BLOCK
                    scores = queries[start : start + QUERY_BLOCK] @ vectors.T
                    mine = own[start : start + QUERY_BLOCK]
                    best[block] = _merge(keys, scores[:, column], rank, rows, mine, depth)
                done += len(vectors)
                bar.advance(len(vectors))
        return self._set(collection, card, depth, np.concatenate(best))

    def _queries(self, texts: list[str]) -> NDArray[np.float32]:
        groups = self._cache.groups(texts, "query", GROUP_TEXTS)
        return np.concatenate([np.asarray(group.vectors) for group in groups])

    def _set(
        self, collection: Collection, card: TaskCard, depth: int, keys: NDArray[np.uint64]
    ) -> CandidateSet:
        # Key 0: a query's own document, removed.
        lists = ranked_lists(collection, [row[row > 0] for row in keys])
        return list_candidates(self, collection, card, depth, lists)


class _Copies:
    """Distinct texts in row order, and the rows that hold each of them."""

    def __init__(self, first: NDArray[np.int64]) -> None:
        self.rows = np.flatnonzero(first == np.arange(len(first)))
        place = np.searchsorted(self.rows, first)
        self._by_place = np.argsort(place, kind="stable")
        self._starts = np.searchsorted(place[self._by_place], np.arange(len(self.rows) + 1))

    def of(self, start: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For distinct texts start:end, all rows that hold them, and the text of each row."""
        rows = self._by_place[self._starts[start] : self._starts[end]]
        return np.repeat(np.arange(end - start), np.diff(self._starts[start : end + 1])), rows


def _texts(collection: Collection, copies: _Copies) -> Iterator[str]:
    start = 0
    for texts in collection.iter_texts():
        low, high = np.searchsorted(copies.rows, [start, start + len(texts)])
        yield from (texts[row - start] for row in copies.rows[low:high])
        start += len(texts)


def _merge(
    best: NDArray[np.uint64],
    scores: NDArray[np.float32],
    rank: NDArray[np.int32],
    rows: NDArray[np.int64],
    own: NDArray[np.int64],
    depth: int,
) -> NDArray[np.uint64]:
    """The `depth` largest keys of those so far (uint64 [q, k]) and of rows (float32 [q, c])."""
    keys = sort_keys(scores, rank[rows])
    keys[own[:, None] == rows] = 0  # before the cut, so that another document takes its place
    return largest(np.concatenate([best, keys], axis=1), depth)
