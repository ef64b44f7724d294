"""BM25 candidates (bm25s' Lucene variant), exact under the tie rule."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..candidates import CandidateSet
from ..cards import TaskCard
from ..collection import Collection
from ..errors import UsageError, unknown
from ..progress import document_bar
from .analysis import VERSION, Analysis, analysis_for
from .bm25_index import BM25Index, open_index
from .listing import list_candidates, ranked_lists
from .top_k import largest, sort_keys


@dataclass(frozen=True)
class BM25:
    """`bm25` or `bm25:k1=0.9,b=0.4`. The defaults are bm25s' and mteb's: k1 1.5, b 0.75."""

    k1: float = 1.5
    b: float = 0.75
    cached: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """`bm25`, with its options where they are not the defaults."""
        default = (self.k1, self.b) == (BM25.k1, BM25.b)
        return "bm25" if default else f"bm25:k1={self.k1:g},b={self.b:g}"

    def settings(self, card: TaskCard) -> dict[str, Any]:
        """All that can change the candidates."""
        return {
            "variant": "lucene",
            "k1": self.k1,
            "b": self.b,
            **_terms_identity(card),
            "self_retrieval": card.self_retrieval,
        }

    def retrieve(self, collection: Collection, card: TaskCard, depth: int) -> CandidateSet:
        """The best `depth` documents a query; documents of score zero are no candidates.

        The index is read shard by shard, so memory grows with queries and depth.
        """
        analysis = analysis_for(card)
        identity = _terms_identity(card)
        index = open_index(collection.corpus, analysis.terms, identity, k1=self.k1, b=self.b)
        own = collection.rows(list(collection.queries))
        if card.self_retrieval == "keep":
            own = np.full(len(own), -1)
        best = _best(index, collection, list(_query_terms(index, collection, analysis)), own, depth)
        return list_candidates(self, collection, card, depth, ranked_lists(collection, best))


def _terms_identity(card: TaskCard) -> dict[str, Any]:
    """All that a text's terms depend on; bm25s has the stop words."""
    return {
        "analysis": analysis_for(card).name,
        "analysis_version": VERSION,
        "bm25s": version("bm25s"),
        "PyStemmer": version("PyStemmer"),
        "regex": version("regex"),
        "unicode": unicodedata.unidata_version,
    }


def _query_terms(
    index: BM25Index, collection: Collection, analysis: Analysis
) -> Iterator[NDArray[np.int64]]:
    """Term ids of each query, repeated as in its text; terms that no document has are gone."""
    words = [analysis.terms(text) for text in collection.queries.values()]
    ids = index.term_ids([word for query in words for word in query])
    start = 0
    for query in words:
        found = ids[start : start + len(query)]
        yield found[found >= 0]
        start += len(query)


def _best(
    index: BM25Index,
    collection: Collection,
    queries: list[NDArray[np.int64]],
    own: NDArray[np.int64],
    depth: int,
) -> list[NDArray[np.uint64]]:
    """The `depth` largest keys of each query, over all shards. own: rows that are left out."""
    best = [np.empty(0, np.uint64) for _ in queries]
    ranks = collection.corpus.rank
    with document_bar("search by BM25", collection.documents) as bar:
        for shard in index.iter_shards():
            rank = np.asarray(ranks[shard.first : shard.first + shard.documents])
            total = np.zeros(shard.documents, np.float32)
            for query, terms in enumerate(queries):
                if not shard.add(terms, total):
                    continue
                if shard.first <= own[query] < shard.first + shard.documents:
                    total[own[query] - shard.first] = 0  # before the cut: another takes its place
                hits = np.flatnonzero(total)
                keys = sort_keys(total[hits], rank[hits])
                best[query] = largest(np.concatenate([best[query], largest(keys, depth)]), depth)
                total[hits] = 0
            bar.advance(shard.documents)
    return best


def parse_bm25(options: str) -> BM25:
    """`k1=0.9,b=0.4` -> BM25. Raises UsageError on an unknown option or a bad number."""
    values: dict[str, float] = {}
    bounds: Mapping[str, tuple[float, float]] = {"k1": (0.0, 100.0), "b": (0.0, 1.0)}
    for part in filter(None, options.split(",")):
        key, _, value = part.partition("=")
        if key not in bounds:
            raise unknown("option of bm25", key, bounds)
        low, high = bounds[key]
        try:
            values[key] = float(value)
        except ValueError:
            values[key] = float("nan")
        if not low <= values[key] <= high:
            raise UsageError(
                f"The bm25 option {part!r} is not a number from {low:g} to {high:g}.",
                next_step="write for example bm25:k1=0.9,b=0.4",
            )
    return BM25(values.get("k1", BM25.k1), values.get("b", BM25.b))
