"""BM25 candidates through bm25s (Lucene variant), exact under the tie rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from ..candidates import CandidateSet
from ..cards import TaskCard
from ..collection import Collection
from ..errors import UsageError, unknown
from .analysis import Analysis, analysis_for
from .listing import list_candidates
from .top_k import largest, sort_keys, unpack


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
            "analysis": analysis_for(card).name,
            "self_retrieval": card.self_retrieval,
            "bm25s": version("bm25s"),
            "PyStemmer": version("PyStemmer"),
        }

    def retrieve(self, collection: Collection, card: TaskCard, depth: int) -> CandidateSet:
        """The best `depth` documents a query; documents of score zero are no candidates."""
        analysis = analysis_for(card)
        index, vocabulary = self._index(collection, analysis)
        rank = np.asarray(collection.rank)
        row_of_rank = np.argsort(rank)
        own_rows = collection.rows(list(collection.queries))
        docids = collection.docids.combine_chunks()
        lists = []
        for text, own in zip(collection.queries.values(), own_rows, strict=True):
            terms = [vocabulary[term] for term in analysis.terms(text) if term in vocabulary]
            scores = (
                index.get_scores_from_ids(terms)
                if terms
                else np.zeros(collection.documents, np.float32)
            ).astype(np.float32)
            if card.self_retrieval == "remove" and own >= 0:
                scores[own] = 0  # before the cut, so that another document takes its place
            hits = np.flatnonzero(scores > 0)
            values, ranks = unpack(largest(sort_keys(scores[hits], rank[hits]), depth))
            lists.append((docids.take(pa.array(row_of_rank[ranks])).to_pylist(), values))
        return list_candidates(self, collection, card, depth, lists)

    def _index(self, collection: Collection, analysis: Analysis) -> tuple[Any, dict[str, int]]:
        import bm25s
        from bm25s.tokenization import Tokenized

        vocabulary: dict[str, int] = {}
        ids = [
            [vocabulary.setdefault(term, len(vocabulary)) for term in analysis.terms(text)]
            for texts in collection.iter_texts()
            for text in texts
        ]
        index = bm25s.BM25(method="lucene", k1=self.k1, b=self.b)
        if vocabulary:
            index.index(Tokenized(ids=ids, vocab=dict(vocabulary)), show_progress=False)
        return index, vocabulary


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
