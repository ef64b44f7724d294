"""What all rerankers that read one pair at a time share: distinct pairs, batches by length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..device import device_kind
from .protocol import RankingRequest, RerankerInfo, RerankerSettings, Usage

# Small batches stay in a CPU's cache; an accelerator wants large ones (docs/backends.md).
_CPU_TOKENS, _CPU_HALF_TOKENS, _TOKENS = 2_048, 4_096, 16_384
Inputs = Mapping[str, Sequence[int]]  # input_ids, attention_mask, ... of one pair, unpadded


class BatchedSettings(RerankerSettings):
    """Settings of a family that reads texts in padded batches."""

    tokens_per_batch: int | None = Field(
        None,
        ge=1,
        description="padded tokens in one forward pass; default: 2048 on a CPU (4096 in half "
        "precision), else 16384",
    )


S = TypeVar("S", bound=BatchedSettings)


def with_batches(settings: S) -> S:
    """The settings with a number for `tokens_per_batch`; dtype must be a known one."""
    if settings.tokens_per_batch is not None:
        return settings
    tokens = _TOKENS
    if device_kind(settings.device) == "cpu":
        tokens = _CPU_TOKENS if settings.dtype == "float32" else _CPU_HALF_TOKENS
    return settings.model_copy(update={"tokens_per_batch": tokens})


@dataclass(frozen=True)
class Cut:
    """Whether a pair's query and document were cut to fit."""

    query: bool = False
    document: bool = False


@dataclass(frozen=True)
class Pairs:
    """The distinct pairs of some requests, and the way back.

    inputs: what the model reads of each distinct pair. places: int64 a request; the pair of
    each of its documents. usage: one a request.
    """

    inputs: Sequence[Inputs]
    places: Sequence[NDArray[np.int64]]
    usage: Sequence[Usage]


@dataclass(frozen=True)
class Distinct:
    """Every query with each of its distinct documents once, as texts; places as in `Pairs`.

    A document that a request repeats is one pair, so that its scores are equal to the last bit.
    """

    queries: list[str]
    documents: list[str]
    places: list[NDArray[np.int64]]


class PointwiseReranker(ABC):
    """Scores each distinct pair once; pairs of all requests of a call share batches.

    A family says how a pair is tokenised (`_read`) and what a batch scores (`_forward`).
    """

    def __init__(self, info: RerankerInfo, settings: BatchedSettings) -> None:
        self.info = info
        self._budget = with_batches(settings).tokens_per_batch or 1
        self._latest: tuple[tuple[RankingRequest, ...], Pairs] | None = None

    @abstractmethod
    def load(self) -> None:
        """Load tokenizer and weights now. Raises CheckpointError as `score` does."""

    @abstractmethod
    def _read(self, requests: Sequence[RankingRequest]) -> Pairs:
        """Tokenise; no model."""

    @abstractmethod
    def _forward(self, inputs: Sequence[Inputs]) -> NDArray[np.float32]:
        """Scores of one batch. float32 [len(inputs)]."""

    def score(self, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]:
        """One float32 array a request, aligned with its documents.

        Raises CheckpointError if the checkpoint cannot be loaded with all its tensors.
        """
        pairs = self._pairs(requests)
        scores = np.zeros(len(pairs.inputs), dtype=np.float32)
        for batch in batches([len(p["input_ids"]) for p in pairs.inputs], self._budget):
            scores[batch] = self._forward([pairs.inputs[i] for i in batch])
        return [scores[places] for places in pairs.places]

    def usage(self, requests: Sequence[RankingRequest]) -> list[Usage]:
        """Tokens of the pairs of each request; repeated documents are read once."""
        return list(self._pairs(requests).usage)

    def _pairs(self, requests: Sequence[RankingRequest]) -> Pairs:
        called = tuple(requests)
        if self._latest is None or self._latest[0] != called:
            self._latest = (called, self._read(called))
        return self._latest[1]


def distinct_pairs(requests: Sequence[RankingRequest]) -> Distinct:
    """The distinct pairs of each request, in order, with texts that a tokenizer can read."""
    queries: list[str] = []
    documents: list[str] = []
    places = []
    for request in requests:
        first = len(documents)
        distinct = {d: first + i for i, d in enumerate(dict.fromkeys(request.documents))}
        queries += [readable(request.query)] * len(distinct)
        documents += map(readable, distinct)
        places.append(np.asarray([distinct[d] for d in request.documents], dtype=np.int64))
    return Distinct(queries, documents, places)


def readable(text: str) -> str:
    """The text without lone surrogates, which cannot be tokenised."""
    return text.encode("utf-8", "replace").decode()


def usage_of(
    places: Sequence[NDArray[np.int64]], tokens: Sequence[int], cuts: Sequence[Cut]
) -> list[Usage]:
    """Usage of each request. tokens, cuts: of each distinct pair."""
    found = []
    for where in places:
        distinct = np.unique(where).tolist()
        # A document that stands twice is read once, but two places of the list were cut.
        found.append(
            Usage(
                tokens=sum(tokens[i] for i in distinct),
                truncated_documents=sum(cuts[i].document for i in where.tolist()),
                truncated_query=any(cuts[i].query for i in distinct),
            )
        )
    return found


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Positions in batches, longest first, each at most `budget` padded tokens (or one item)."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    found: list[list[int]] = []
    for i in order:
        if found and lengths[found[-1][0]] * (len(found[-1]) + 1) <= budget:
            found[-1].append(i)
        else:
            found.append([i])
    return found
