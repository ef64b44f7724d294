"""Rerankers made for tests: quick, deterministic, with faults on demand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from jrv3_eval.hashing import hash_text
from jrv3_eval.rerankers.protocol import RankingRequest, RerankerInfo, Usage


def pair_score(query: str, document: str) -> float:
    """A score in [0, 1) that depends on nothing but the pair."""
    return int.from_bytes(hash_text(query + "\0" + document)[:3], "little") / 2**24


class FakeReranker:
    """Scores pairs by hash; remembers its calls; `fault` may change or replace the scores."""

    def __init__(
        self,
        fault: Callable[[list[NDArray[np.float32]]], list[NDArray[np.float32]]] | None = None,
        interrupt_at: int | None = None,
        weights: str = "w" * 64,
    ) -> None:
        self.info = RerankerInfo(
            name="fake",
            family="fake",
            listwise=False,
            revision=None,
            weights=weights,
            settings={"batch_documents": 4},
        )
        self.calls: list[list[str]] = []
        self.fault = fault
        self.interrupt_at = interrupt_at

    def score(self, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]:
        if len(self.calls) == self.interrupt_at:
            raise KeyboardInterrupt
        self.calls.append([request.qid for request in requests])
        scores = [
            np.float32([pair_score(request.query, document) for document in request.documents])
            for request in requests
        ]
        return self.fault(scores) if self.fault else scores

    def usage(self, requests: Sequence[RankingRequest]) -> list[Usage]:
        return [Usage(10 * len(request.documents), 1, False) for request in requests]


class PlanningReranker(FakeReranker):
    """Scores depend, as rounding would, on the work list that it was shown before."""

    plan: tuple[str, ...] = ()

    def prepare(self, requests: Sequence[RankingRequest]) -> None:
        self.plan = tuple(request.qid for request in requests)
