"""Family `cross-encoder`: a sequence classifier with one label reads query and document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..checkpoint import Checkpoint, open_checkpoint
from ..device import check_dtype
from ..errors import CheckpointError, UsageError
from ._loading import checkpoint_info, keep_head_exact, load_model, load_tokenizer
from ._pairs import Truncation, classify, read_pairs
from ._pointwise import BatchedSettings, Inputs, Pairs, PointwiseReranker, with_batches
from .causal.detection import has_classifier, is_decoder_classifier, labels
from .jina_v2.layout import is_jina_v2
from .protocol import Family, RankingRequest, RerankerInfo, RerankerSettings

_DEFAULT_LENGTH = 512
# Their positions start after the padding index, so two of them are never used.
_OFFSET_MODELS = ("roberta", "camembert", "mpnet", "longformer", "data2vec-text")


class CrossEncoderSettings(BatchedSettings):
    """Settings of the cross-encoder family."""

    max_length: int | None = Field(
        None, ge=8, description="tokens a pair; default: 512, or less if the model reads less"
    )
    truncation: Truncation = Field(
        "longest_first",
        description="longest_first (sentence-transformers), or only_second: cut the document, "
        "and the query to 3/4 of max_length (FlagEmbedding)",
    )


class CrossEncoder(PointwiseReranker):
    """Scores by the float32 logit of `tokenizer(query, document)`; no activation function.

    Pairs of all requests of a call are batched together, longest first. The model loads on
    the first score.
    """

    def __init__(
        self, checkpoint: Checkpoint, settings: CrossEncoderSettings, info: RerankerInfo
    ) -> None:
        super().__init__(info, settings)
        self._checkpoint = checkpoint
        self._settings = settings

    def load(self) -> None:
        """Load tokenizer and weights now. Raises CheckpointError as `score` does."""
        _ = (self._tokenizer, self._model)

    def _read(self, requests: Sequence[RankingRequest]) -> Pairs:
        length = self._settings.max_length or _DEFAULT_LENGTH
        return read_pairs(self._tokenizer, requests, length, self._settings.truncation)

    def _forward(self, inputs: Sequence[Inputs]) -> NDArray[np.float32]:
        return classify(self._model, inputs, self._tokenizer.pad_token_id)

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._checkpoint)

    @cached_property
    def _model(self) -> Any:
        model = load_model(
            self._checkpoint,
            "AutoModelForSequenceClassification",
            dtype=self._settings.dtype,
            device=self._settings.device,
            needs="a cross-encoder needs",
            next_step="choose a trained cross-encoder; for an embedding model use "
            "bi-encoder:TARGET",
        )
        # Decoders find the last token of a padded pair by it.
        model.config.pad_token_id = self._tokenizer.pad_token_id
        return keep_head_exact(model)


class CrossEncoderFamily:
    """Any AutoModelForSequenceClassification checkpoint with one label."""

    name = "cross-encoder"
    models = "sequence classifiers with one label (ms-marco-MiniLM, BGE and mxbai rerankers, ...)"
    listwise = False
    extra: str | None = None
    settings: type[RerankerSettings] = CrossEncoderSettings

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        """True if an architecture in the config ends in ForSequenceClassification.

        Not jina-reranker-v2, which bears the name of XLM-R's class and has other tensors, and
        not a decoder, which was trained with a prompt (family `causal`).
        """
        other = is_jina_v2(config) or is_decoder_classifier(config)
        return has_classifier(config) and not other

    def open(self, target: str, settings: RerankerSettings) -> CrossEncoder:
        """The reranker for a folder, package:NAME or hub id; no weights are loaded yet.

        Raises CheckpointError for a checkpoint without a head or with several labels,
        UsageError for bad settings.
        """
        checkpoint = open_checkpoint(target)
        _check_head(checkpoint)
        chosen = CrossEncoderSettings.model_validate(settings.model_dump())
        check_dtype(chosen.dtype)
        length = _max_length(checkpoint, chosen.max_length)
        chosen = with_batches(chosen.model_copy(update={"max_length": length}))
        info = checkpoint_info(self.name, checkpoint, chosen)
        return CrossEncoder(checkpoint, chosen, info)


def _check_head(checkpoint: Checkpoint) -> None:
    config = checkpoint.config
    if not has_classifier(config) or is_jina_v2(config):
        raise CheckpointError(
            f"{checkpoint.name} has no classification head (architectures: "
            f"{config.get('architectures')}), so it is no cross-encoder.",
            where=str(checkpoint.folder / "config.json"),
            next_step="for an embedding model use bi-encoder:TARGET",
        )
    count = labels(config)
    if count != 1:
        raise CheckpointError(
            f"{checkpoint.name} has {count} labels; a reranker has one, the relevance.",
            where=str(checkpoint.folder / "config.json"),
            next_step="choose a checkpoint that was trained with num_labels=1",
        )


def _max_length(checkpoint: Checkpoint, wanted: int | None) -> int:
    """Tokens a pair: as wanted if the model has the positions, else min(512, its own limit)."""
    limits = [
        checkpoint.config.get("max_position_embeddings"),
        checkpoint.read_json("tokenizer_config.json").get("model_max_length"),
    ]
    positions, tokenizer_limit = (v if isinstance(v, int) and v > 0 else None for v in limits)
    if positions and any(m in str(checkpoint.config.get("model_type")) for m in _OFFSET_MODELS):
        positions -= 2
    if wanted is None:
        return min(v for v in (_DEFAULT_LENGTH, positions, tokenizer_limit) if v)
    endless = checkpoint.config.get("position_biased_input") is False  # DeBERTa's are relative
    if positions and wanted > positions and not endless:
        raise UsageError(
            f"max_length={wanted} is more than the {positions} positions that "
            f"{checkpoint.name} has.",
            next_step=f"set max_length to {positions} or less",
        )
    return wanted


family: Family = CrossEncoderFamily()
