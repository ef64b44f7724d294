"""From a stage's lists to its candidate set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..candidates import CandidateSet, candidate_set
from ..cards import TaskCard
from ..collection import Collection
from .top_k import unpack

if TYPE_CHECKING:
    from .stage import FirstStage


def ranked_lists(
    collection: Collection, keys: Sequence[NDArray[np.uint64]]
) -> list[tuple[list[str], NDArray[np.float32]]]:
    """Document ids and scores of each query, best first, from its sort keys in any order."""
    unpacked = [unpack(found) for found in keys]
    ranks = [ranks for _, ranks in unpacked]
    places = np.concatenate(ranks) if ranks else np.empty(0, np.int64)
    distinct, inverse = np.unique(places, return_inverse=True)
    corpus = collection.corpus
    names = corpus.docids_at(np.asarray(corpus.row_of_rank[distinct], np.int64))
    ends = np.cumsum([len(found) for found in ranks])
    docids = np.asarray(names, dtype=object)[inverse]
    return [
        (docids[end - len(scores) : end].tolist(), scores)
        for end, (scores, _) in zip(ends, unpacked, strict=True)
    ]


def list_candidates(
    stage: FirstStage,
    collection: Collection,
    card: TaskCard,
    depth: int,
    lists: Iterable[tuple[Sequence[str], NDArray[np.float32]]],
) -> CandidateSet:
    """The set of one (document ids, scores) pair a query, in the order of the collection's queries.

    Raises DataError as `candidate_set` does.
    """
    return candidate_set(
        list(collection.queries),
        lists,
        first_stage=stage.name,
        depth=depth,
        dataset=collection.fingerprint,
        settings=stage.settings(card),
    )
