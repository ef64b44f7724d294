"""Family `causal`: decoders that are asked for yes or no."""

from __future__ import annotations

from collections.abc import Mapping

from ...checkpoint import open_checkpoint
from ..protocol import Family, RerankerSettings
from .detection import is_causal
from .reranker import FAMILY, CausalReranker, CausalSettings


class CausalFamily:
    """Decoders with a prompt template, read at the answer's first token."""

    name = FAMILY
    models = "causal models asked for yes or no (Qwen3-Reranker, mxbai-rerank-v2, BGE gemma)"
    listwise = False
    extra: str | None = None
    needs = "a folder or hub id, and a template unless its architecture has one"
    settings: type[RerankerSettings] = CausalSettings

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        """True for a causal model, unless sentence-transformers files say that it embeds."""
        return is_causal(config, files)

    def open(self, target: str, settings: RerankerSettings) -> CausalReranker:
        """The reranker for a folder, package:NAME or hub id; no weights are loaded yet.

        Raises CheckpointError for a bad target, UsageError for bad settings or where no template
        is known.
        """
        chosen = CausalSettings.model_validate(settings.model_dump())
        return CausalReranker(open_checkpoint(target), chosen)


family: Family = CausalFamily()
