"""`fusion:A+B`: reciprocal rank fusion of other first stages.

Cormack, Clarke and Büttcher 2009 (SIGIR): a document's score is the sum over the lists that
hold it of 1 / (k + rank), rank from 1; k is 60 there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..candidates import CandidateSet
from ..cards import Suite, TaskCard
from ..collection import Collection
from ..errors import UsageError
from ..metrics import rank_by_rule
from .listing import list_candidates
from .stage import AnyStage, FirstStage, PerTask
from .taking import take_candidates

K = 60
LARGEST_K = 10_000  # above it float32 no longer tells the ranks apart
_OPTION = re.compile(r"k=(?P<k>[^:+]*):")
# A plus parts two SPECs only where another one begins; a path may hold one too.
_PLUS = re.compile(r"\+(?=(?:bm25|dense|mteb|run|candidates|pool|paper|fusion)(?:[:+]|$))")


@dataclass(frozen=True)
class Fusion:
    """The parts of a fusion, not yet of a task."""

    parts: tuple[AnyStage, ...]
    k: int
    cache: Path

    def for_task(self, suite: Suite, card: TaskCard) -> FirstStage:
        """Each part's stage for this task."""
        parts = [p.for_task(suite, card) if isinstance(p, PerTask) else p for p in self.parts]
        return FusedStage(tuple(parts), self.k, suite, self.cache)


@dataclass(frozen=True)
class FusedStage:
    """The fusion of several first stages, each taken to the depth that is asked for."""

    parts: tuple[FirstStage, ...]
    k: int
    suite: Suite
    cache: Path

    @property
    def name(self) -> str:
        return "fusion-" + "-".join(part.name for part in self.parts)

    @property
    def cached(self) -> bool:
        return all(part.cached for part in self.parts)

    def settings(self, card: TaskCard) -> dict[str, Any]:
        """The rule, and each part's name and settings."""
        return {
            "method": "reciprocal rank fusion",
            "k": self.k,
            "parts": [{"first_stage": p.name, "settings": p.settings(card)} for p in self.parts],
            "self_retrieval": card.self_retrieval,
        }

    def retrieve(self, collection: Collection, card: TaskCard, depth: int) -> CandidateSet:
        """The best `depth` of the union of the parts' best `depth`."""
        sets = [
            take_candidates(part, collection, self.suite, card, depth, self.cache)
            for part in self.parts
        ]
        lists = [
            fuse([found.of(index)[0] for found in sets], self.k, depth)
            for index in range(len(collection.queries))
        ]
        return list_candidates(self, collection, card, depth, lists)


def fuse(
    lists: Sequence[Sequence[str]], k: int, depth: int
) -> tuple[list[str], NDArray[np.float32]]:
    """Document ids and scores of ranked lists in one, under the tie rule.

    The sum is rounded once, so that the order of the lists changes nothing.
    """
    parts: dict[str, list[float]] = {}
    for ranked in lists:
        for rank, docid in enumerate(ranked, 1):
            parts.setdefault(docid, []).append(1 / (k + rank))
    docids = list(parts)
    scores = np.asarray([math.fsum(parts[docid]) for docid in docids], np.float32)
    order = rank_by_rule(docids, scores)[:depth]
    return [docids[place] for place in order], scores[order]


def parse_fusion(text: str, opener: Callable[[str], AnyStage], cache: Path) -> Fusion:
    """`A+B` or `k=10:A+B`. Raises UsageError on fewer than two parts, or a bad k."""
    k = K
    if option := _OPTION.match(text):
        text = text[option.end() :]
        if not (option["k"].isdecimal() and 1 <= int(option["k"]) <= LARGEST_K):
            raise UsageError(
                f"The k of a fusion is a whole number from 1 to {LARGEST_K}, not {option['k']!r}.",
                next_step="write for example fusion:k=60:bm25+dense:MODEL",
            )
        k = int(option["k"])
    specs = _PLUS.split(text)
    if len(specs) < 2 or any(spec.startswith("fusion") for spec in specs):
        raise UsageError(
            "A fusion needs two first stages or more, none of them a fusion.",
            where=f"fusion:{text}",
            next_step="write for example fusion:bm25+dense:MODEL",
        )
    return Fusion(tuple(opener(spec) for spec in specs), k, cache)
