"""Family `jina-m0`: texts ranked by jina-reranker-m0 without its remote code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...checkpoint import Checkpoint, open_checkpoint
from ...device import check_dtype
from ...errors import CheckpointError, UsageError
from .._loading import checkpoint_info, load_tokenizer
from .._pairs import padded
from .._pointwise import BatchedSettings, Inputs, Pairs, PointwiseReranker, with_batches
from ..protocol import Family, RankingRequest, RerankerInfo, RerankerSettings
from .model import ARCHITECTURE, TextModel, is_jina_m0, load_text_model, text_config
from .reading import SCORE_TOKEN, Limits, read_prompts

_LENGTH = 10_240
_QUERY_LENGTH = 512


class JinaM0Settings(BatchedSettings):
    """Settings of the jina-m0 family; the defaults are those of the released `compute_score()`."""

    max_length: int | None = Field(
        None, ge=16, description="tokens a prompt; default: 10240, or less if the model's"
    )
    max_query_length: int | None = Field(
        None,
        ge=1,
        description="tokens of max_length that no document takes; default: 512, or half of a "
        "max_length below 1024. A longer query is not cut, unless the prompt must be",
    )
    max_doc_length: int | None = Field(
        None, ge=1, description="tokens a document; default: max_length - max_query_length"
    )


class JinaM0(PointwiseReranker):
    """Scores by the float32 value before the released sigmoid: the score head's, less 2.65.

    Prompts are padded on the right and read at their last token, which gives what the released
    left padding does. The model loads on the first score; its vision tower never.
    """

    def __init__(
        self, checkpoint: Checkpoint, settings: JinaM0Settings, limits: Limits, info: RerankerInfo
    ) -> None:
        super().__init__(info, settings)
        self._checkpoint = checkpoint
        self._settings = settings
        self._limits = limits

    def load(self) -> None:
        """Load tokenizer and weights now. Raises CheckpointError as `score` does."""
        _ = (self._tokenizer, self._model)

    def _read(self, requests: Sequence[RankingRequest]) -> Pairs:
        return read_prompts(self._tokenizer, requests, self._limits)

    def _forward(self, inputs: Sequence[Inputs]) -> NDArray[np.float32]:
        """Scores of one batch. float32 [len(inputs)]."""
        import torch

        device = self._model.backbone.device
        ids = padded(inputs, SCORE_TOKEN, device)["input_ids"]
        last = torch.tensor([len(p["input_ids"]) - 1 for p in inputs], device=device)
        with torch.inference_mode():
            scores: NDArray[np.float32] = self._model.score(ids, last).cpu().numpy()
        return scores

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._checkpoint)

    @cached_property
    def _model(self) -> TextModel:
        return load_text_model(
            self._checkpoint, dtype=self._settings.dtype, device=self._settings.device
        )


class JinaM0Family:
    """The text part of JinaVLForRanking checkpoints."""

    name = "jina-m0"
    models = "jina-reranker-m0 on texts (no images)"
    listwise = False
    extra: str | None = None
    settings: type[RerankerSettings] = JinaM0Settings

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        """True if the config's architectures name JinaVLForRanking."""
        return is_jina_m0(config)

    def open(self, target: str, settings: RerankerSettings) -> JinaM0:
        """The reranker for a folder, package:NAME or hub id; no weights are loaded yet.

        Raises CheckpointError for another kind of checkpoint, UsageError for bad lengths.
        """
        checkpoint = open_checkpoint(target, allow_auto_map=True)
        if not is_jina_m0(checkpoint.config):
            raise CheckpointError(
                f"{checkpoint.name} is no {ARCHITECTURE} (architectures: "
                f"{checkpoint.config.get('architectures')}).",
                where=str(checkpoint.folder / "config.json"),
                next_step=f"leave out {self.name}: to let its own family be found",
            )
        text = text_config(checkpoint)
        if text["vocab_size"] <= SCORE_TOKEN:
            raise CheckpointError(
                f"{checkpoint.name} has no token {SCORE_TOKEN}, which is read as the score token.",
                where=str(checkpoint.folder / "config.json"),
            )
        chosen = _resolved(
            JinaM0Settings.model_validate(settings.model_dump()),
            checkpoint.name,
            text["max_position_embeddings"],
        )
        check_dtype(chosen.dtype)
        chosen = with_batches(chosen)
        info = checkpoint_info(self.name, checkpoint, chosen)
        limits = Limits(prompt=chosen.max_length or 0, document=chosen.max_doc_length or 0)
        return JinaM0(checkpoint, chosen, limits, info)


def _resolved(settings: JinaM0Settings, name: str, positions: int) -> JinaM0Settings:
    """The settings with their defaults filled in, as the released compute_score fills them."""
    length = settings.max_length or min(_LENGTH, positions)
    if length > positions:
        raise UsageError(
            f"max_length={length} is more than the {positions} positions that {name} has.",
            next_step=f"set max_length to {positions} or less",
        )
    query = settings.max_query_length or min(_QUERY_LENGTH, length // 2)
    document = settings.max_doc_length or max(length - query, query)
    if query + document > length:
        raise UsageError(
            f"max_query_length={query} and max_doc_length={document} are together more than "
            f"max_length={length}.",
            next_step="lower one of them",
        )
    return settings.model_copy(
        update={"max_length": length, "max_query_length": query, "max_doc_length": document}
    )


family: Family = JinaM0Family()
