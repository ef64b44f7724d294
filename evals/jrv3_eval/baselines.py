"""Baselines over the candidates and judgements: first-stage order, oracle, random.

They are no rerankers: they read no text, and never enter the score store.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .candidates import CandidateSet
from .errors import UsageError
from .hashing import hash_text
from .metrics import oracle_scores

SPEC = re.compile(r"^(none|oracle|random(?::(?P<seed>\d+))?)$")


@dataclass(frozen=True)
class Baseline:
    """`none` (first-stage order), `oracle` (best possible order) or `random:SEED`."""

    kind: Literal["none", "oracle", "random"]
    seed: int | None = None

    @property
    def name(self) -> str:
        return self.kind if self.seed is None else f"{self.kind}:{self.seed}"

    def scores(
        self, candidates: CandidateSet, qrels: Mapping[str, Mapping[str, int]]
    ) -> list[NDArray[np.float32]]:
        """One float32 array a query, aligned with its candidates, without ties."""
        return [
            self._of(qid, candidates.of(index)[0], qrels[qid])
            for index, qid in enumerate(candidates.qids)
        ]

    def _of(
        self, qid: str, docids: list[str], judgements: Mapping[str, int]
    ) -> NDArray[np.float32]:
        count = len(docids)
        if self.kind == "oracle":
            return oracle_scores(judgements, docids)
        descending = np.arange(count, 0, -1, dtype=np.float32)
        if self.kind == "none":
            return descending
        # The order derives from seed and query id alone, so that it is the same in every run.
        entropy = [self.seed or 0, int.from_bytes(hash_text(qid), "little")]
        return np.random.default_rng(entropy).permutation(descending)


def parse_baseline(spec: str) -> Baseline | None:
    """The baseline that a model SPEC names, or None if it names a model."""
    match = SPEC.match(spec)
    if match is None:
        if spec.startswith("random:"):
            raise UsageError(f"The seed in {spec!r} is no whole number.", next_step="random:0")
        return None
    if match["seed"] is None and spec != "random":
        return Baseline("none" if spec == "none" else "oracle")
    return Baseline("random", int(match["seed"] or 0))
