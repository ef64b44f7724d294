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
from ...paths import cache_root
from .._encoding_once import EncodingOnce, TextGroups
from .._loading import scoring_versions
from .._pointwise import BatchedSettings, with_batches
from ..protocol import Family, RankingRequest, RerankerInfo, RerankerSettings, type_json
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


class LateInteraction(EncodingOnce["_Vectors"]):
    """Scores by MaxSim; every distinct document is encoded once."""

    def __init__(
        self,
        info: RerankerInfo,
        encoder: TokenEncoder,
        cache: TokenVectorCache,
        group: int,
        *,
        mean: bool = False,
    ) -> None:
        self._encoder, self._cache, self._size, self._mean = encoder, cache, group, mean
        super().__init__(info)

    def load(self) -> None:
        """Load tokenizer and weights now. Raises CheckpointError if they cannot be."""
        self._encoder.load()

    def score(self, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]:
        """MaxSim as one float32 array a request, aligned with its documents.

        Raises CheckpointError, StorageError as encoder and cache do.
        """
        queries, documents = self._plan_for(requests)
        return [_scores(request, queries, documents, self._mean) for request in requests]

    def _groups(self, kind: Kind, texts: Iterable[str]) -> _Vectors:
        return _Vectors(self._cache, kind, texts, self._size)


class _Vectors(TextGroups):
    """A vector a token of each text."""

    def __init__(
        self, cache: TokenVectorCache, kind: Kind, texts: Iterable[str], size: int
    ) -> None:
        super().__init__(texts, size)
        self._cache, self._kind = cache, kind
        self._keys: dict[int, str] = {}
        self._counts: dict[int, tuple[NDArray[np.int32], NDArray[np.bool_]]] = {}

    def vectors(self, place: int) -> NDArray[np.float32]:
        return self._group(place // self._size).text(place % self._size)

    def _counted(self, place: int) -> tuple[int, bool]:
        number = place // self._size
        if number not in self._counts:
            self._group(number)
        tokens, cut = self._counts[number]
        return int(tokens[place % self._size]), bool(cut[place % self._size])

    def _group(self, number: int) -> TokenVectors:
        """A group, as the cache has it or encodes it now."""
        span = self._span(number)
        if number not in self._keys:
            self._keys[number] = self._cache.key(self._kind, self._hashes[span])
        group = self._cache.group(self._keys[number], self._texts[span], self._kind)
        self._counts[number] = (group.tokens, group.truncated)
        return group


def _scores(
    request: RankingRequest, queries: _Vectors, documents: _Vectors, mean: bool
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
