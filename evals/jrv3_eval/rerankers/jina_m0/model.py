"""The text path of jina-reranker-m0: Qwen2-VL's language model and a score head of two layers.

Without images the three position axes of Qwen2-VL's rotary embedding (M-RoPE) are equal, and its
language model is a Qwen2. The vision tower is not loaded. Reference: the released modeling.py,
vLLM's jina_vl.py (reranker-models.md, section 5.5).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...checkpoint import Checkpoint
from ...device import quiet_loading, resolve_device, torch_dtype
from ...errors import CheckpointError
from .._loading import cannot_load
from .._tensors import read_tensors

if TYPE_CHECKING:
    import torch

ARCHITECTURE = "JinaVLForRanking"
LOGIT_BIAS = 2.65
# `model.layers` in the release, `model.language_model.layers` as newer transformers saves it
_TEXT = re.compile(r"^model\.(language_model\.)?")
_NOT_TEXT = re.compile(r"(model\.)?visual\.|lm_head\.")
_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
)
_OPTIONS = ("rms_norm_eps", "hidden_act", "use_sliding_window", "sliding_window",
            "max_window_layers")  # fmt: skip
_THETA = 1_000_000.0  # of Qwen2-VL, where the config states none


@dataclass(frozen=True, slots=True)
class TextModel:
    """backbone: a Qwen2 without a language-model head. head: the score head, in float32."""

    backbone: Any
    head: Any

    def score(self, ids: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """float32 [batch]: the value before the released sigmoid, at each prompt's last token.

        ids: int64 [batch, longest], padded on the right, which causal attention never reads.
        last: int64 [batch], the place of the score token.
        """
        import torch

        hidden = self.backbone(input_ids=ids, use_cache=False).last_hidden_state
        rows = torch.arange(len(ids), device=ids.device)
        scored: torch.Tensor = self.head(hidden[rows, last].float()).squeeze(-1) - LOGIT_BIAS
        return scored


def is_jina_m0(config: Mapping[str, object]) -> bool:
    """True if the config's architectures name JinaVLForRanking."""
    names = config.get("architectures")
    return isinstance(names, list) and ARCHITECTURE in names


def text_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Arguments of transformers' Qwen2Config, from a flat config or one with a text_config.

    Raises CheckpointError for a missing size, or rotary positions of another kind.
    """
    nested = checkpoint.config.get("text_config")
    stated = {**checkpoint.config, **(nested if isinstance(nested, dict) else {})}
    where = str(checkpoint.folder / "config.json")
    for key in _SIZES:
        value = stated.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise CheckpointError(
                f"config.json should state a positive {key}, not {value!r}.", where=where
            )
    rope: dict[str, Any] = {}
    for key in ("rope_scaling", "rope_parameters"):
        rope |= stated[key] if isinstance(stated.get(key), dict) else {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "mrope"):
        raise CheckpointError(f"Rotary positions of kind {kind!r} are not read here.", where=where)
    theta = rope.get("rope_theta", stated.get("rope_theta", _THETA))
    options = {k: stated[k] for k in (*_SIZES, *_OPTIONS) if k in stated}
    return {**options, "rope_theta": float(theta), "tie_word_embeddings": False}


def load_text_model(checkpoint: Checkpoint, *, dtype: str, device: str) -> TextModel:
    """Backbone and head on a device, in evaluation mode.

    The head is computed in float32 whatever `dtype` says: it costs nothing, and half precision
    would tie close scores. Raises CheckpointError, naming them, where tensors of the text part
    are missing, unexpected or wrongly shaped.
    """
    import torch
    import transformers

    config = transformers.Qwen2Config(**text_config(checkpoint))
    with torch.device("meta"):
        expected = {n: tuple(t.shape) for n, t in _head(config.hidden_size).state_dict().items()}
        empty = transformers.Qwen2Model(config)
        expected |= {n: tuple(t.shape) for n, t in empty.state_dict().items()}
    tensors = read_tensors(
        checkpoint,
        expected,
        kind="text part of jina-reranker-m0",
        rename=lambda name: _TEXT.sub("", name),
        ignored=lambda name: bool(_NOT_TEXT.match(name)),
    )
    head = _head(config.hidden_size)
    head.load_state_dict({name: tensors.pop(name) for name in head.state_dict()})
    try:
        with quiet_loading():
            backbone: Any = transformers.Qwen2Model.from_pretrained(
                None, config=config, state_dict=tensors, dtype=torch_dtype(dtype)
            )
    except (ValueError, RuntimeError, TypeError) as error:
        raise cannot_load(checkpoint, error) from error
    place = resolve_device(device)
    return TextModel(backbone.to(place).eval(), head.to(place).eval())


def _head(hidden: int) -> torch.nn.Module:
    """The score head under the names of the checkpoint: score.0 and score.2."""
    from torch import nn

    layers = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))
    return nn.Sequential(OrderedDict(score=layers))
