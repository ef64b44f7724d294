"""The family and its reranker: groups of texts encoded once, MaxSim over their vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...checkpoint import Checkpoint, open_checkpoint
from ...device import check_dtype
from ...embedding import GROUP_TEXTS, Kind
from ...errors import UsageError
from ...hashing import hash_text
from ...paths import cache_root
from .._loading import scoring_versions
from .._pointwise import BatchedSettings, with_batches
from ..protocol import Family, RankingRequest, RerankerInfo, RerankerSettings, Usage, type_json
from .encoder import TokenEncoder
from .layout import Layout, is_late_interaction, positions
from .max_sim import max_sim
from .stored import read_layout
from .vectors import TokenVectorCache, TokenVectors

_CHUNK = 64  # documents whose vectors are in memory at a time


class LateInteractionSettings(BatchedSettings):
    """Settings of the late-interaction family."""

    query_length: int | None = Field(
        None, ge=4, description="tokens a query, its marker included; default: the model's"
    )
    document_length: int | None = Field(
        None, ge=4, description="tokens a document, its marker included; default: the model's"
    )
    query_prompt: str | None = Field(None, description="before a query; default: the model's")
    document_prompt: str | None = Field(None, description="before a document; default: the model's")
    group_documents: int = Field(
        GROUP_TEXTS, ge=1, description="texts that are encoded and stored together"
    )


class LateInteraction:
    """Scores by MaxSim; every distinct document is encoded once.

    `prepare` cuts the distinct texts of the whole work list into groups; a group is encoded,
    through the cache, when a score first needs it. A call with texts that were not prepared
    makes groups of its own.
    """

    def __init__(
        self,
        info: RerankerInfo,
        encoder: TokenEncoder,
        cache: TokenVectorCache,
        group: int,
        *,
        mean: bool = False,
    ) -> None:
        self.info = info
        self._encoder, self._cache, self._size, self._mean = encoder, cache, group, mean
        self._prepared = self._plan(())
        self._latest = (tuple[RankingRequest, ...](), self._prepared)

    def load(self) -> None:
        """Load tokenizer and weights now. Raises CheckpointError if they cannot be."""
        self._encoder.load()

    def prepare(self, requests: Sequence[RankingRequest]) -> None:
        """Plan the groups for a work list; encodes nothing. Replaces an earlier plan."""
        self._prepared = self._plan(requests)

    def score(self, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]:
        """MaxSim as one float32 array a request, aligned with its documents.

        Raises CheckpointError, StorageError as encoder and cache do.
        """
        queries, documents = self._plan_for(requests)
        return [_scores(request, queries, documents, self._mean) for request in requests]

    def usage(self, requests: Sequence[RankingRequest]) -> list[Usage]:
        """Tokens of each query and its documents; a document that queries share counts in each."""
        queries, documents = self._plan_for(requests)
        found = []
        for request in requests:
            query_tokens, query_cut = queries.counts([request.query])
            tokens, cut = documents.counts(request.documents)
            found.append(Usage(query_tokens + tokens, cut, query_cut > 0))
        return found

    def _plan(self, requests: Sequence[RankingRequest]) -> tuple[_Plan, _Plan]:
        queries = (r.query for r in requests)
        documents = (d for r in requests for d in r.documents)
        return (
            _Plan(self._cache, "query", queries, self._size),
            _Plan(self._cache, "document", documents, self._size),
        )

    def _plan_for(self, requests: Sequence[RankingRequest]) -> tuple[_Plan, _Plan]:
        queries, documents = self._prepared
        if all(r.query in queries and all(d in documents for d in r.documents) for r in requests):
            return self._prepared
        called = tuple(requests)
        if self._latest[0] != called:
            self._latest = (called, self._plan(called))
        return self._latest[1]


class _Plan:
    """Distinct texts in order of first appearance, in groups that are encoded when needed."""

    def __init__(
        self, cache: TokenVectorCache, kind: Kind, texts: Iterable[str], size: int
    ) -> None:
        self._cache, self._kind, self._size = cache, kind, size
        distinct: dict[bytes, str] = {}
        for text in texts:
            distinct.setdefault(hash_text(text), text)
        self._place = {digest: place for place, digest in enumerate(distinct)}
        self._texts = list(distinct.values())
        self._hashes = list(distinct)
        self._keys: dict[int, str] = {}
        self._counted: dict[int, tuple[NDArray[np.int32], NDArray[np.bool_]]] = {}

    def __contains__(self, text: str) -> bool:
        return hash_text(text) in self._place

    def places(self, texts: Iterable[str]) -> list[int]:
        return [self._place[hash_text(text)] for text in texts]

    def vectors(self, place: int) -> NDArray[np.float32]:
        return self._group(place // self._size).text(place % self._size)

    def counts(self, texts: Iterable[str]) -> tuple[int, int]:
        """Tokens of the distinct texts, and how many of all the texts were cut."""
        places = self.places(texts)
        tokens = sum(int(self._counts(p)[0][p % self._size]) for p in dict.fromkeys(places))
        return tokens, sum(bool(self._counts(p)[1][p % self._size]) for p in places)

    def _counts(self, place: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        number = place // self._size
        if number not in self._counted:
            self._group(number)
        return self._counted[number]

    def _group(self, number: int) -> TokenVectors:
        """A group, as the cache has it or encodes it now."""
        span = slice(number * self._size, (number + 1) * self._size)
        if number not in self._keys:
            self._keys[number] = self._cache.key(self._kind, self._hashes[span])
        group = self._cache.group(self._keys[number], self._texts[span], self._kind)
        self._counted[number] = (group.tokens, group.truncated)
        return group


def _scores(
    request: RankingRequest, queries: _Plan, documents: _Plan, mean: bool
) -> NDArray[np.float32]:
    if not request.documents:
        return np.zeros(0, dtype=np.float32)
    query = queries.vectors(queries.places([request.query])[0])
    distinct, back = np.unique(documents.places(request.documents), return_inverse=True)
    scores = np.zeros(len(distinct), dtype=np.float32)
    for start in range(0, len(distinct), _CHUNK):
        parts = [documents.vectors(int(place)) for place in distinct[start : start + _CHUNK]]
        offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        scores[start : start + _CHUNK] = max_sim(query, np.concatenate(parts), offsets, mean=mean)
    aligned: NDArray[np.float32] = scores[back]
    return aligned


class LateInteractionFamily:
    """Checkpoints with a vector a token: of ColBERT, PyLate or sentence-transformers."""

    name = "late-interaction"
    models = "models with a vector a token (ColBERTv2, PyLate models: GTE-ModernColBERT, ...)"
    listwise = False
    extra: str | None = None
    settings: type[RerankerSettings] = LateInteractionSettings

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        """True for ColBERT's metadata or class, MultiVectorMask, or Dense without Pooling."""
        return is_late_interaction(config, files)

    def open(self, target: str, settings: RerankerSettings) -> LateInteraction:
        """The reranker for a folder, package:NAME or hub id; no weights are loaded yet.

        Raises CheckpointError for a checkpoint of another kind, RemoteCodeError for one that
        needs its own code (jina-colbert-v2), UsageError for bad settings.
        """
        return open_late_interaction(open_checkpoint(target), settings, cache_root())


def open_late_interaction(
    checkpoint: Checkpoint, settings: RerankerSettings, cache_folder: Path
) -> LateInteraction:
    """A late-interaction reranker whose vectors are cached under `cache_folder`."""
    chosen = LateInteractionSettings.model_validate(settings.model_dump())
    check_dtype(chosen.dtype)
    layout = read_layout(checkpoint)
    names = ("query_length", "document_length", "query_prompt", "document_prompt")
    given = {n: v for n in names if (v := getattr(chosen, n)) is not None}
    layout = replace(layout, **given)
    _check_lengths(checkpoint, layout)
    chosen = with_batches(chosen.model_copy(update={n: getattr(layout, n) for n in names}))
    recorded: dict[str, type_json] = chosen.model_dump(exclude={"device"})
    versions = scoring_versions(chosen.device, chosen.dtype)
    encoder = TokenEncoder(
        checkpoint,
        layout,
        device=chosen.device,
        dtype=chosen.dtype,
        tokens_per_batch=chosen.tokens_per_batch or 1,
        # The other two say how work is cut, which the keys of the groups cover.
        identity={
            "weights": checkpoint.weights,
            "settings": {
                k: v for k, v in recorded.items() if k not in ("group_documents", "batch_documents")
            },
            "versions": versions,
        },
    )
    info = RerankerInfo(
        name=checkpoint.name,
        family=LateInteractionFamily.name,
        listwise=LateInteractionFamily.listwise,
        revision=checkpoint.revision,
        weights=checkpoint.weights,
        settings=recorded,
        versions=versions,
    )
    cache = TokenVectorCache(cache_folder, encoder)
    return LateInteraction(info, encoder, cache, chosen.group_documents, mean=layout.mean)


def _check_lengths(checkpoint: Checkpoint, layout: Layout) -> None:
    """Raise UsageError where a text could be longer than the model has positions."""
    places = positions(checkpoint.config)
    if places is None:
        return
    for name in ("query_length", "document_length"):
        length = getattr(layout, name)
        if length > places:
            raise UsageError(
                f"{name}={length} is more than the {places} positions that {checkpoint.name} has.",
                next_step=f"set {name} to {places} or less",
            )


family: Family = LateInteractionFamily()
