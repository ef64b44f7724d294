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
from ..hashing import hash_text
from ..paths import cache_root
from ._loading import LOGIT_SCORE
from .late_interaction.layout import is_late_interaction
from .protocol import Family, RankingRequest, RerankerInfo, RerankerSettings, Usage, type_json


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


class BiEncoder:
    """Scores by cosine or dot product; every distinct document is encoded once.

    `prepare` cuts the distinct texts of the whole work list into groups; a group is encoded,
    through the embedding cache, when a score first needs it. A call with texts that were not
    prepared makes groups of its own.
    """

    def __init__(
        self, info: RerankerInfo, encoder: Encoder, cache: EmbeddingCache, group_documents: int
    ) -> None:
        self.info = info
        self._encoder = encoder
        self._cache = cache
        self._size = group_documents
        self._prepared = self._plan(())
        self._latest = (tuple[RankingRequest, ...](), self._prepared)

    def load(self) -> None:
        """Load the weights now. Raises CheckpointError if they cannot be."""
        self._encoder.load()

    def prepare(self, requests: Sequence[RankingRequest]) -> None:
        """Plan the groups for a work list; encodes nothing. Replaces an earlier plan."""
        self._prepared = self._plan(requests)

    def score(self, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]:
        """Similarities as one float32 array a request, aligned with its documents.

        Products are summed in float64 and rounded once, so a score does not depend on its
        place in the list. Raises CheckpointError, StorageError as encoder and cache do.
        """
        plan = self._plan_for(requests)
        return [_similarities(request, *plan) for request in requests]

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

    def __init__(self, cache: EmbeddingCache, kind: Kind, texts: Iterable[str], size: int) -> None:
        self._cache, self._kind, self._size = cache, kind, size
        distinct: dict[bytes, str] = {}
        for text in texts:
            distinct.setdefault(hash_text(text), text)
        self._place = {digest: place for place, digest in enumerate(distinct)}
        self._texts = list(distinct.values())
        self._hashes = list(distinct)
        self._rows: dict[int, tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_]]] = {}

    def __contains__(self, text: str) -> bool:
        return hash_text(text) in self._place

    def places(self, texts: Sequence[str]) -> NDArray[np.int64]:
        return np.fromiter((self._place[hash_text(t)] for t in texts), np.int64, len(texts))

    def vectors(self, places: Iterable[int]) -> NDArray[np.float32]:
        return np.stack([self._group(p)[0][p % self._size] for p in places])

    def counts(self, texts: Iterable[str]) -> tuple[int, int]:
        """Tokens of the distinct texts, and how many of all the texts were cut."""
        places = [self._place[hash_text(t)] for t in texts]
        tokens = sum(int(self._group(p)[1][p % self._size]) for p in dict.fromkeys(places))
        return tokens, sum(bool(self._group(p)[2][p % self._size]) for p in places)

    def _group(
        self, place: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_]]:
        number = place // self._size
        if number not in self._rows:
            span = slice(number * self._size, (number + 1) * self._size)
            group = self._cache.group(self._texts[span], self._kind, hashes=self._hashes[span])
            self._rows[number] = (group.vectors, group.tokens, group.truncated)
        return self._rows[number]


def _similarities(request: RankingRequest, queries: _Plan, documents: _Plan) -> NDArray[np.float32]:
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
