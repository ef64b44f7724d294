"""Dense candidates: exact search over cached embeddings, in chunks of the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..candidates import CandidateSet, candidate_set
from ..cards import TaskCard
from ..collection import Collection
from ..embedding.cache import GROUP_TEXTS, EmbeddingCache
from ..embedding.encoder import EncoderSettings, open_encoder
from ..progress import document_bar
from .top_k import largest, sort_keys, unpack

QUERY_BLOCK = 2048


class Dense:
    """`dense:MODEL`: cosine over a sentence-transformers checkpoint's vectors.

    Embeddings are cached by weights and text; the search is exact, and memory grows with the
    candidates, not with the corpus.
    """

    cached: ClassVar[bool] = True

    def __init__(self, target: str, *, cache: Path, device: str) -> None:
        encoder = open_encoder(target, EncoderSettings(device=device))
        self.name = f"dense-{encoder.checkpoint.name}"
        self._encoder = encoder
        self._cache = EmbeddingCache(cache, encoder)

    def settings(self, card: TaskCard) -> dict[str, Any]:
        """All that can change the candidates."""
        checkpoint = self._encoder.checkpoint
        return {
            "model": checkpoint.name,
            "revision": checkpoint.revision,
            "weights": checkpoint.weights,
            **self._encoder.recorded_settings,
            "versions": dict(self._encoder.versions),
        }

    def retrieve(self, collection: Collection, card: TaskCard, depth: int) -> CandidateSet:
        """The best `depth` documents a query by cosine, exact under the tie rule."""
        queries = self._queries(list(collection.queries.values()))
        own = collection.rows(list(collection.queries))
        if card.self_retrieval == "keep":
            own = np.full(len(own), -1)
        best = [
            np.empty((min(QUERY_BLOCK, len(queries) - start), 0), np.uint64)
            for start in range(0, len(queries), QUERY_BLOCK)
        ]
        rank = np.asarray(collection.rank)
        first = 0
        texts = (text for chunk in collection.iter_texts() for text in chunk)
        with document_bar(f"embed {card.name}", collection.documents) as bar:
            for group in self._cache.groups(texts, "document", GROUP_TEXTS):
                rows = np.arange(first, first + len(group.vectors))
                for block, keys in enumerate(best):
                    start = block * QUERY_BLOCK
                    best[block] = _merge(
                        keys,
                        queries[start : start + QUERY_BLOCK] @ np.asarray(group.vectors).T,
                        rank[rows],
                        own[start : start + QUERY_BLOCK] - first,
                        depth,
                    )
                first += len(rows)
                bar.advance(len(rows))
        return self._set(collection, card, depth, np.concatenate(best))

    def _queries(self, texts: list[str]) -> NDArray[np.float32]:
        groups = self._cache.groups(texts, "query", GROUP_TEXTS)
        return np.concatenate([np.asarray(group.vectors) for group in groups])

    def _set(
        self, collection: Collection, card: TaskCard, depth: int, keys: NDArray[np.uint64]
    ) -> CandidateSet:
        row_of_rank = np.argsort(np.asarray(collection.rank))
        docids = collection.docids.combine_chunks()
        lists = []
        for row in keys:
            scores, ranks = unpack(row[row > 0])  # key 0: a query's own document, removed
            lists.append((docids.take(pa.array(row_of_rank[ranks])).to_pylist(), scores))
        return candidate_set(
            list(collection.queries),
            lists,
            first_stage=self.name,
            depth=depth,
            dataset=collection.fingerprint,
            settings=self.settings(card),
        )


def _merge(
    best: NDArray[np.uint64],
    scores: NDArray[np.float32],
    rank: NDArray[np.int32],
    own: NDArray[np.int64],
    depth: int,
) -> NDArray[np.uint64]:
    """The `depth` largest keys of those so far (uint64 [q, k]) and a chunk's (float32 [q, c])."""
    keys = sort_keys(scores, rank)
    inside = np.flatnonzero((own >= 0) & (own < keys.shape[1]))
    keys[inside, own[inside]] = 0  # before the cut, so that another document takes its place
    return largest(np.concatenate([best, keys], axis=1), depth)


def open_dense(target: str, *, cache: Path, device: str) -> Dense:
    """The dense first stage for a folder, `package:NAME` or hub id."""
    return Dense(target, cache=cache, device=device)
