"""The order in which a model sees the candidates of a query, and the way back.

A listwise model may depend on it (jina-reranker-v3 paper, Table 3: descending, ascending and
random). Candidates, first-stage scores, runs and metrics stay in candidate order throughout.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError, unknown
from ..hashing import hash_text

SPECS = ("first-stage", "reverse", "random:SEED")
SEED = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Order:
    """`first-stage` (best first), `reverse` (best last) or `random:SEED`; seed: of random only."""

    kind: Literal["first-stage", "reverse", "random"]
    seed: int | None = None

    @property
    def name(self) -> str:
        """The spec that names it."""
        return self.kind if self.seed is None else f"{self.kind}:{self.seed}"

    def positions(self, qid: str, count: int) -> NDArray[np.int64]:
        """Positions in candidate order, as the model sees them: a permutation, int64 [count]."""
        candidates = np.arange(count, dtype=np.int64)
        if self.kind == "first-stage":
            return candidates
        if self.kind == "reverse":
            return candidates[::-1]
        # From seed and query id alone, so that it is the same in every run. The word before
        # them keeps it apart from the baseline random:SEED: a model that keeps the order it
        # sees would otherwise repeat that baseline.
        entropy = int.from_bytes(hash_text(f"order {self.name}\n{qid}"), "little")
        return np.random.default_rng(entropy).permutation(candidates)

    def restore(self, qid: str, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores in candidate order, from scores in the order that the model saw."""
        restored = np.empty_like(scores)
        restored[self.positions(qid, len(scores))] = scores
        return restored


FIRST_STAGE = Order("first-stage")


def parse_order(spec: str) -> Order:
    """The order that a spec names. Raises UsageError on an unknown name or a bad seed."""
    if spec == "first-stage":
        return FIRST_STAGE
    if spec == "reverse":
        return Order("reverse")
    kind, colon, seed = spec.partition(":")
    if kind != "random":
        raise unknown("order", spec, SPECS)
    if not colon:
        raise UsageError("The order 'random' names no seed.", next_step="random:0")
    if not SEED.fullmatch(seed):
        raise UsageError(
            f"The seed of the order {spec!r} is no whole number of 1 to 18 digits.",
            next_step="random:0",
        )
    return Order("random", int(seed))
