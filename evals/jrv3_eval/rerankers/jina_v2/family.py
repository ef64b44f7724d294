"""Family `jina-v2`: jina-reranker-v2-base-multilingual without its remote code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...checkpoint import Checkpoint, open_checkpoint
from ...device import check_dtype
from ...errors import UsageError
from .._loading import checkpoint_info, load_tokenizer
from .._pairs import classify, read_pairs
from .._pointwise import BatchedSettings, Inputs, Pairs, PointwiseReranker, with_batches
from ..protocol import Family, RankingRequest, RerankerInfo, RerankerSettings
from .layout import Layout, is_jina_v2, read_layout
from .model import load_model
from .reading import Limits, Pieces, best_pieces, read_pieces

_LENGTH = 1024
_QUERY_LENGTH = 512


class JinaV2Settings(BatchedSettings):
    """Settings of the jina-v2 family; the defaults are those of the released `rerank()`."""

    long_documents: Literal["chunk", "truncate"] = Field(
        "chunk",
        description="chunk: the best of overlapping pieces (the released rerank()); truncate: "
        "cut the pair (the released compute_score(), sentence-transformers)",
    )
    max_length: int | None = Field(
        None, ge=8, description="tokens a pair or piece; default: 1024, or less if the model's"
    )
    max_query_length: int | None = Field(
        None,
        ge=4,
        description="chunk: tokens of the query with its two special tokens, at most half of "
        "max_length; default: 512 or that half",
    )
    overlap_tokens: int = Field(
        80, ge=0, description="chunk: tokens that two pieces share, at most a quarter of a piece"
    )


class JinaV2(PointwiseReranker):
    """Scores by the float32 logit, of which the released code shows the sigmoid.

    Of a document in pieces the highest logit counts. The released code takes the maximum of the
    sigmoids and 0, which is the sigmoid of that logit. The model loads on the first score.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        layout: Layout,
        settings: JinaV2Settings,
        limits: Limits,
        info: RerankerInfo,
    ) -> None:
        super().__init__(info, settings)
        self._checkpoint = checkpoint
        self._layout = layout
        self._settings = settings
        self._limits = limits

    def load(self) -> None:
        """Load tokenizer and weights now. Raises CheckpointError as `score` does."""
        _ = (self._tokenizer, self._model)

    def score(self, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]:
        """One float32 array a request, aligned with its documents; raises as the base does."""
        scores = super().score(requests)
        pairs = self._pairs(requests)
        if not isinstance(pairs, Pieces):
            return scores
        return [best_pieces(s, starts) for s, starts in zip(scores, pairs.starts, strict=True)]

    def _read(self, requests: Sequence[RankingRequest]) -> Pairs:
        if self._settings.long_documents == "truncate":
            return read_pairs(self._tokenizer, requests, self._limits.piece, "longest_first")
        return read_pieces(self._tokenizer, requests, self._limits)

    def _forward(self, inputs: Sequence[Inputs]) -> NDArray[np.float32]:
        return classify(self._model, inputs, self._layout.padding)

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._checkpoint)

    @cached_property
    def _model(self) -> Any:
        return load_model(
            self._checkpoint,
            self._layout,
            dtype=self._settings.dtype,
            device=self._settings.device,
        )


class JinaV2Family:
    """XLM-R classifiers of Jina's flash implementation, which is implemented here."""

    name = "jina-v2"
    models = "jina-reranker-v2-base-multilingual and its fine-tunes"
    listwise = False
    extra: str | None = None
    settings: type[RerankerSettings] = JinaV2Settings

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        """True if the config names XLM-R's classifier of the flash implementation."""
        return is_jina_v2(config)

    def open(self, target: str, settings: RerankerSettings) -> JinaV2:
        """The reranker for a folder, package:NAME or hub id; no weights are loaded yet.

        Raises CheckpointError for another kind of checkpoint, UsageError for bad lengths.
        """
        checkpoint = open_checkpoint(target, allow_auto_map=True)
        layout = read_layout(checkpoint)
        chosen = JinaV2Settings.model_validate(settings.model_dump())
        check_dtype(chosen.dtype)
        limits = _limits(checkpoint, layout, chosen)
        chosen = with_batches(
            chosen.model_copy(update={"max_length": limits.piece, "max_query_length": limits.query})
        )
        info = checkpoint_info(self.name, checkpoint, chosen)
        return JinaV2(checkpoint, layout, chosen, limits, info)


def _limits(checkpoint: Checkpoint, layout: Layout, settings: JinaV2Settings) -> Limits:
    length = settings.max_length or min(_LENGTH, layout.positions)
    if length > layout.positions:
        raise UsageError(
            f"max_length={length} is more than the {layout.positions} positions that "
            f"{checkpoint.name} has.",
            next_step=f"set max_length to {layout.positions} or less",
        )
    query = settings.max_query_length or min(_QUERY_LENGTH, length // 2)
    if settings.long_documents == "chunk" and 2 * query > length:
        raise UsageError(
            f"max_query_length={query} is more than half of max_length={length}.",
            next_step=f"set max_query_length to {length // 2} or less",
        )
    return Limits(piece=length, query=query, overlap=settings.overlap_tokens)


family: Family = JinaV2Family()
