"""Which checkpoints are read through a prompt template, by their config and files."""

from __future__ import annotations

from collections.abc import Mapping

from .._loading import LOGIT_SCORE

_GENERATES = "ForCausalLM"
_ONE_LABEL = "ForSequenceClassification"
# Encoders with a classifier read a plain pair; these need the template that they were trained with.
_DECODERS = (
    "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "llama", "mistral", "phi3", "smollm3",
)  # fmt: skip


def is_causal(config: Mapping[str, object], files: frozenset[str]) -> bool:
    """True for a causal model, unless sentence-transformers files say that it embeds."""
    if config.get("auto_map"):
        return False
    generates = any(name.endswith(_GENERATES) for name in _architectures(config))
    if generates:
        return LOGIT_SCORE in files or "modules.json" not in files
    return is_decoder_classifier(config)


def is_decoder_classifier(config: Mapping[str, object]) -> bool:
    """True for a decoder whose head was cut down to a classifier's, as conversions do."""
    return has_classifier(config) and config.get("model_type") in _DECODERS


def has_classifier(config: Mapping[str, object]) -> bool:
    """Whether the head is a classifier's and not a language model's."""
    return any(name.endswith(_ONE_LABEL) for name in _architectures(config))


def labels(config: Mapping[str, object]) -> int:
    """Labels of a classifier, as its config counts them (transformers' default is 2)."""
    named, count = config.get("id2label"), config.get("num_labels", 2)
    if isinstance(named, dict):
        return len(named)
    return count if isinstance(count, int) else 2


def _architectures(config: Mapping[str, object]) -> list[str]:
    listed = config.get("architectures")
    return [str(name) for name in listed] if isinstance(listed, list) else []
