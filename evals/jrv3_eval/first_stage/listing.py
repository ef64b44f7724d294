"""From a stage's lists to its candidate set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..candidates import CandidateSet, candidate_set
from ..cards import TaskCard
from ..collection import Collection

if TYPE_CHECKING:
    from . import FirstStage


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
