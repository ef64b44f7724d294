"""`pool`: the candidates that a dataset brings itself, as reranking datasets do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..candidates import CandidateSet
from ..cards import TaskCard
from ..collection import Collection
from ..errors import DataError
from .listing import list_candidates


@dataclass(frozen=True)
class Pool:
    """The dataset's own lists, in its order."""

    cached: ClassVar[bool] = False
    name: ClassVar[str] = "pool"

    def settings(self, card: TaskCard) -> dict[str, Any]:
        """Nothing but the rule that removes a query's own document: the dataset decides."""
        return {"order": "the dataset's", "self_retrieval": card.self_retrieval}

    def retrieve(self, collection: Collection, card: TaskCard, depth: int) -> CandidateSet:
        """The first `depth` of each pool; a query without one has an empty list.

        Scores fall by one a place. Raises DataError where the dataset has no pools.
        """
        if not collection.pools:
            raise DataError(
                f"The dataset of task {card.name!r} brings no candidates of its own.",
                next_step="use another first stage: bm25, dense:MODEL or run:FILE",
            )
        lists = []
        for qid in collection.queries:
            pool = collection.pools.get(qid, ())
            if card.self_retrieval == "remove":
                pool = tuple(docid for docid in pool if docid != qid)  # before the cut
            kept = pool[:depth]
            lists.append((kept, np.arange(len(kept), 0, -1, dtype=np.float32)))
        return list_candidates(self, collection, card, depth, lists)
