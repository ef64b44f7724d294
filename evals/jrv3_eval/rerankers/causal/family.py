"""Family `causal`: decoders that are asked for yes or no."""

from __future__ import annotations

from collections.abc import Mapping

from ...checkpoint import open_checkpoint
from .._loading import LOGIT_SCORE
from ..protocol import Family, RerankerSettings
from .reranker import FAMILY, CausalReranker, CausalSettings

_GENERATES = "ForCausalLM"
_ONE_LABEL = "ForSequenceClassification"
# Encoders with a classifier read a plain pair; these need the template that they were trained with.
_DECODERS = ("qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "llama", "mistral", "phi3")


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
        listed = config.get("architectures")
        names = [str(name) for name in listed] if isinstance(listed, list) else []
        if any(name.endswith(_GENERATES) for name in names):
            return LOGIT_SCORE in files or "modules.json" not in files
        one = any(name.endswith(_ONE_LABEL) for name in names)
        return one and config.get("model_type") in _DECODERS

    def open(self, target: str, settings: RerankerSettings) -> CausalReranker:
        """The reranker for a folder, package:NAME or hub id; no weights are loaded yet.

        Raises CheckpointError for a bad target, UsageError for bad settings or where no template
        is known.
        """
        chosen = CausalSettings.model_validate(settings.model_dump())
        return CausalReranker(open_checkpoint(target), chosen)


family: Family = CausalFamily()
