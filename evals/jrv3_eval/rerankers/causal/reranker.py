"""The reranker: prompts in, log-odds of the answers out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...checkpoint import Checkpoint
from ...device import check_dtype
from ...errors import CheckpointError, UsageError
from .._loading import LOGIT_SCORE, checkpoint_info, load_tokenizer
from .._pointwise import BatchedSettings, Inputs, Pairs, PointwiseReranker, with_batches
from ..protocol import RankingRequest
from .detection import has_classifier, labels
from .reading import Labels, PairReader
from .templates import Template, template_for

if TYPE_CHECKING:
    from .model import LabelModel

FAMILY = "causal"


class CausalSettings(BatchedSettings):
    """Settings of the causal family. What is left out is the template's or checkpoint's own."""

    dtype: str = Field("auto", description="float32, bfloat16, float16; auto: the checkpoint's own")
    template: str | None = Field(
        None,
        description="a shipped template's name or a YAML file; default: by the architecture",
    )
    instruction: str | None = Field(
        None, description="a text, or one that the template names (qwen3-reranker: readme, mteb)"
    )
    max_length: int | None = Field(
        None, ge=16, description="tokens, as the template counts them; default: the template's"
    )


class CausalReranker(PointwiseReranker):
    """Asks a decoder whether a document is relevant, and ranks by the float32 log-odds.

    Only the last position and the label rows of the head are computed. Pairs of all requests of
    a call are batched together, longest first. Weights load on the first score.
    """

    def __init__(self, checkpoint: Checkpoint, settings: CausalSettings | None = None) -> None:
        _check_head(checkpoint)
        self._checkpoint = checkpoint
        self._template = template_for(
            (settings or CausalSettings()).template, checkpoint.config, checkpoint.name
        )
        self._settings = _resolve(settings or CausalSettings(), self._template, checkpoint)
        digest = self._template.digest[:16]  # a file's content can change
        info = checkpoint_info(FAMILY, checkpoint, self._settings, {"template_digest": digest})
        super().__init__(info, self._settings)

    def load(self) -> None:
        """Load tokenizer and weights now. Raises CheckpointError as `score` does."""
        _ = (self._reader, self._model)

    def _read(self, requests: Sequence[RankingRequest]) -> Pairs:
        return self._reader.read(requests)

    def _forward(self, inputs: Sequence[Inputs]) -> NDArray[np.float32]:
        return self._model.read([pair["input_ids"] for pair in inputs])

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._checkpoint)

    @cached_property
    def _reader(self) -> PairReader:
        reader = PairReader(
            self._tokenizer,
            self._template,
            instruction=self._settings.instruction,
            max_length=self._settings.max_length or self._template.max_length,
            positions=_positions(self._checkpoint),
        )
        _check_labels(self._checkpoint, reader.labels, self._template)
        return reader

    @cached_property
    def _model(self) -> LabelModel:
        from .model import load_label_model

        return load_label_model(
            self._checkpoint,
            self._reader.labels,
            dtype=self._settings.dtype,
            device=self._settings.device,
            padding=self._tokenizer.pad_token_id or 0,
        )


def _resolve(
    settings: CausalSettings, template: Template, checkpoint: Checkpoint
) -> CausalSettings:
    """The settings with every default and `auto` replaced by what it means here."""
    positions = _positions(checkpoint)
    if settings.max_length and positions and settings.max_length > positions:
        raise UsageError(
            f"max_length={settings.max_length} is more than the {positions} positions that "
            f"{checkpoint.name} has.",
            next_step=f"set max_length to {positions} or less",
        )
    own = checkpoint.config.get("dtype") or checkpoint.config.get("torch_dtype") or "float32"
    resolved = {
        "dtype": check_dtype(str(own) if settings.dtype == "auto" else settings.dtype),
        "template": template.name,
        "instruction": template.instruction_for(settings.instruction),
        "max_length": settings.max_length or min(template.max_length, positions or 2**62),
    }
    return with_batches(settings.model_copy(update=resolved))


def _check_head(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError for a classifier that has several labels."""
    count = labels(checkpoint.config)
    if has_classifier(checkpoint.config) and count != 1:
        raise CheckpointError(
            f"{checkpoint.name} has {count} labels; a reranker has one, the relevance.",
            where=str(checkpoint.folder / "config.json"),
            next_step="choose a checkpoint that was trained with num_labels=1",
        )


def _positions(checkpoint: Checkpoint) -> int | None:
    value = checkpoint.config.get("max_position_embeddings")
    return value if isinstance(value, int) and value > 0 else None


def _check_labels(checkpoint: Checkpoint, labels: Labels, template: Template) -> None:
    """Raise CheckpointError where the checkpoint itself says that other tokens answer."""
    stated = checkpoint.read_json(LOGIT_SCORE)
    if not stated:
        return
    own = (stated.get("true_token_id"), stated.get("false_token_id"))
    if own != (labels.relevant, labels.irrelevant):
        raise CheckpointError(
            f"{checkpoint.name} answers with the tokens {own[0]} and {own[1]}, the template "
            f"{template.name!r} with {labels.relevant} and {labels.irrelevant}.",
            where=str(checkpoint.folder / LOGIT_SCORE),
            next_step="choose the template that it was trained with: --set template=...",
        )
