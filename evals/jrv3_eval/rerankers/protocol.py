"""What a reranker is: one small protocol that every backend implements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..hashing import digest_json

SCORING = 5  # raised when the same settings and versions would give other scores
type_json = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class RankingRequest:
    """One unit of work: a query with its whole candidate list, as the model is to see it.

    The documents stand in candidate order, or in another that the run asks for (`--order`).
    """

    qid: str
    query: str
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """What scoring one request took: tokens read by the model, and what was cut.

    blocks: parts that a listwise model read the list in; 1: the whole list in one context.
    None where documents are read one by one. calls: prompts that a generating model answered,
    or requests that a service did. malformed: answers of these that had to be repaired. billed:
    units that a service charges. None where there is no such thing or it is not known.
    """

    tokens: int | None
    truncated_documents: int | None
    truncated_query: bool | None
    blocks: int | None = None
    calls: int | None = None
    malformed: int | None = None
    billed: float | None = None


@dataclass(frozen=True)
class RerankerInfo:
    """Identity of a reranker: all that can change a score, and its display name.

    weights: hex digest of the weight files. settings: what the user can change.
    versions: versions of the libraries and the device kind that compute the scores. pinned:
    False for a service whose model can change unseen; `weights` then is a digest of what names it.
    """

    name: str
    family: str
    listwise: bool
    revision: str | None
    weights: str
    settings: Mapping[str, type_json] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    pinned: bool = True

    @property
    def fingerprint(self) -> str:
        """Hex digest over everything that can change a score (not the name or revision)."""
        return digest_json(
            {
                "scoring": SCORING,
                "family": self.family,
                "weights": self.weights,
                "settings": dict(self.settings),
                "versions": dict(self.versions),
            }
        )


class RerankerSettings(BaseModel):
    """Settings that every family shares; a family adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    dtype: str = Field("float32", description="float32, bfloat16 or float16")
    batch_documents: int = Field(
        200, ge=1, description="documents in one unit of commit (whole queries, at least one)"
    )


class Reranker(Protocol):
    """Scores documents for queries.

    `score` returns one float32 array a request, same length and order as its documents,
    finite. Backends may pack requests for speed; within 1e-5 in float32 the scores must
    not depend on how.
    """

    @property
    def info(self) -> RerankerInfo: ...

    def score(self, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]: ...


@runtime_checkable
class LoadsWeights(Protocol):
    """A reranker whose weights load late; the engine calls `load` before it takes the time."""

    def load(self) -> None: ...


@runtime_checkable
class PlansAhead(Protocol):
    """A reranker that wants to see the whole work list before the first batch.

    What it derives from the list (groups of documents to encode together) must be a pure
    function of the list, so that a resumed run computes the same bytes.
    """

    def prepare(self, requests: Sequence[RankingRequest]) -> None: ...


@runtime_checkable
class CountsTokens(Protocol):
    """A reranker that can say what a request takes; called after `score` with the same requests."""

    def usage(self, requests: Sequence[RankingRequest]) -> list[Usage]: ...


@runtime_checkable
class WorksAhead(Protocol):
    """A reranker that can prepare (tokenise) what comes next while it scores.

    `expect` is a hint: these requests will be scored next, in this order. It must return at once
    and change no score.
    """

    def expect(self, requests: Sequence[RankingRequest]) -> None: ...


class Family(Protocol):
    """A kind of reranker, registered under the entry-point group `jrv3_eval.rerankers`.

    Importing the module that defines a family must stay light: no torch at import.
    models: one line, what it runs. extra: of the package that brings the family. It may also have
    `needs`, a line that says what a target is where that is no checkpoint.
    """

    name: str
    models: str
    listwise: bool
    extra: str | None
    settings: type[RerankerSettings]

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        """True if a checkpoint with this config.json and these file names is of this family."""
        ...

    def open(self, target: str, settings: RerankerSettings) -> Reranker:
        """A reranker for a folder, package:NAME or hub id; cheap: no weights are loaded yet."""
        ...
