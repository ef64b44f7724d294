"""Family `bi-encoder`: the similarity of a query vector and a document vector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..checkpoint import Checkpoint, open_checkpoint
from ..embedding import (
    GROUP_TEXTS,
    EmbeddingCache,
    Encoder,
    EncoderSettings,
    Kind,
    similarity_of,
)
from ..paths import cache_root
from ._encoding_once import EncodingOnce, TextGroups
from ._loading import LOGIT_SCORE
from .late_interaction.layout import is_late_interaction
from .protocol import Family, RankingRequest, RerankerInfo, RerankerSettings, type_json


class BiEncoderSettings(RerankerSettings):
    """Settings of the bi-encoder family."""

    max_length: int | None = Field(None, ge=4, description="tokens a text; default: the model's")
    batch_size: int | None = Field(
        None, ge=1, description="texts in one forward pass; default: 8 on a CPU, else 64"
    )
    similarity: Literal["auto", "cosine", "dot"] = Field("auto", description="auto: the model's")
    query_prompt: str | None = Field(None, description="before a query; default: the model's")
    document_prompt: str | None = Field(None, description="before a document; default: the model's")
    group_documents: int = Field(
        GROUP_TEXTS, ge=1, description="texts that are encoded and stored together"
    )


class BiEncoder(EncodingOnce["_Vectors"]):
    """Scores by cosine or dot product; every distinct document is encoded once."""

    def __init__(
        self, info: RerankerInfo, encoder: Encoder, cache: EmbeddingCache, group_documents: int
    ) -> None:
        self._encoder = encoder
        self._cache = cache
        self._size = group_documents
        super().__init__(info)

    def load(self) -> None:
        """Load the weights now. Raises CheckpointError if they cannot be."""
        self._encoder.load()

    def score(self, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]:
        """Similarities as one float32 array a request, aligned with its documents.

        Products are summed in float64 and rounded once, so a score does not depend on its
        place in the list. Raises CheckpointError, StorageError as encoder and cache do.
        """
        plan = self._plan_for(requests)
        return [_similarities(request, *plan) for request in requests]

    def _groups(self, kind: Kind, texts: Iterable[str]) -> _Vectors:
        return _Vectors(self._cache, kind, texts, self._size)


class _Vectors(TextGroups):
    """One vector a text."""

    def __init__(self, cache: EmbeddingCache, kind: Kind, texts: Iterable[str], size: int) -> None:
        super().__init__(texts, size)
        self._cache, self._kind = cache, kind
        self._rows: dict[int, tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_]]] = {}

    def vectors(self, places: Iterable[int]) -> NDArray[np.float32]:
        return np.stack([self._group(p)[0][p % self._size] for p in places])

    def _counted(self, place: int) -> tuple[int, bool]:
        _, tokens, cut = self._group(place)
        return int(tokens[place % self._size]), bool(cut[place % self._size])

    def _group(
        self, place: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_]]:
        number = place // self._size
        if number not in self._rows:
            span = self._span(number)
            group = self._cache.group(self._texts[span], self._kind, hashes=self._hashes[span])
            self._rows[number] = (group.vectors, group.tokens, group.truncated)
        return self._rows[number]


def _similarities(
    request: RankingRequest, queries: _Vectors, documents: _Vectors
) -> NDArray[np.float32]:
    if not request.documents:
        return np.zeros(0, dtype=np.float32)
    query = queries.vectors(queries.places([request.query]))[0].astype(np.float64)
    distinct, back = np.unique(documents.places(request.documents), return_inverse=True)
    scores = documents.vectors(distinct.tolist()).astype(np.float64) @ query
    aligned: NDArray[np.float32] = scores.astype(np.float32)[back]
    return aligned


class BiEncoderFamily:
    """Any dense sentence-transformers checkpoint (it has a modules.json)."""

    name = "bi-encoder"
    models = "sentence-transformers models with one vector a text (MiniLM, E5, BGE, GTE, ...)"
    listwise = False
    extra: str | None = "dense"
    settings: type[RerankerSettings] = BiEncoderSettings

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        """True for a modules.json without a head that scores (cross-encoders have both)."""
        names = config.get("architectures")
        listed = names if isinstance(names, list) else []
        head = any(str(n).endswith("ForSequenceClassification") for n in listed)
        other = head or LOGIT_SCORE in files or is_late_interaction(config, files)
        return "modules.json" in files and not other

    def open(self, target: str, settings: RerankerSettings) -> BiEncoder:
        """The reranker for a folder, package:NAME or hub id; no weights are loaded yet.

        Raises CheckpointError for a checkpoint of another kind, UsageError for bad settings.
        """
        return open_bi_encoder(open_checkpoint(target), settings, cache_root())


def open_bi_encoder(
    checkpoint: Checkpoint, settings: RerankerSettings, cache_folder: Path
) -> BiEncoder:
    """A bi-encoder over a checkpoint, with its vectors cached under `cache_folder`."""
    chosen = BiEncoderSettings.model_validate(settings.model_dump())
    similarity: str = chosen.similarity
    if similarity == "auto":
        similarity = similarity_of(checkpoint)
    encoder = Encoder(
        checkpoint,
        EncoderSettings(
            device=chosen.device,
            dtype=chosen.dtype,
            max_length=chosen.max_length,
            batch_size=chosen.batch_size,
            normalize=similarity == "cosine",
            query_prompt=chosen.query_prompt,
            document_prompt=chosen.document_prompt,
        ),
    )
    recorded: dict[str, type_json] = {
        **{k: v for k, v in encoder.recorded_settings.items() if k != "normalize"},
        "similarity": similarity,
        "group_documents": chosen.group_documents,
        "batch_documents": chosen.batch_documents,
    }
    info = RerankerInfo(
        name=checkpoint.name,
        family=BiEncoderFamily.name,
        listwise=BiEncoderFamily.listwise,
        revision=checkpoint.revision,
        weights=checkpoint.weights,
        settings=recorded,
        versions=encoder.versions,
    )
    return BiEncoder(info, encoder, EmbeddingCache(cache_folder, encoder), chosen.group_documents)


family: Family = BiEncoderFamily()
