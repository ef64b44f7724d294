"""Loading jina-reranker-v2: its fused tensors under the names of transformers' own XLM-R.

The released flash implementation computes what transformers' XLMRobertaForSequenceClassification
does: learned absolute positions that start after the padding index, layer norms after each
residual sum, and a head `dense -> tanh -> out_proj` over the hidden state of `<s>`. Only names
differ, and that query, key and value share one matrix, in this order (mha.py: `three h d`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...checkpoint import Checkpoint
from ...device import quiet_loading, resolve_device, torch_dtype
from .._loading import cannot_load, keep_head_exact
from .._tensors import read_tensors
from .layout import ARCHITECTURE, IGNORED, Layout, shapes

if TYPE_CHECKING:
    import torch

_FUSED = "mixer.Wqkv."
_TOKEN_TYPES = "roberta.embeddings.token_type_embeddings.weight"
_NAMES = (  # of the file, of transformers
    (r"^roberta\.emb_ln\.", "roberta.embeddings.LayerNorm."),
    (r"\.encoder\.layers\.", ".encoder.layer."),
    (r"\.mixer\.out_proj\.", ".attention.output.dense."),
    (r"\.norm1\.", ".attention.output.LayerNorm."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
    (r"\.norm2\.", ".output.LayerNorm."),
)


def load_model(checkpoint: Checkpoint, layout: Layout, *, dtype: str, device: str) -> Any:
    """transformers' XLM-R classifier with the checkpoint's tensors, in evaluation mode.

    Raises CheckpointError, naming them, where tensors are missing, unexpected or wrongly shaped.
    """
    import transformers

    tensors = read_tensors(
        checkpoint,
        shapes(layout),
        kind="jina-reranker-v2",
        ignored=lambda name: name in IGNORED,
    )
    try:
        with quiet_loading():
            model = getattr(transformers, ARCHITECTURE).from_pretrained(
                None,
                config=transformers.XLMRobertaConfig(**_options(layout)),
                state_dict=renamed(tensors),
                dtype=torch_dtype(dtype),
            )
    except (ValueError, RuntimeError, TypeError) as error:
        raise cannot_load(checkpoint, error) from error
    return keep_head_exact(model.to(resolve_device(device)).eval())


def _options(layout: Layout) -> dict[str, Any]:
    """Arguments of transformers' XLMRobertaConfig."""
    return {
        "vocab_size": layout.vocabulary,
        "hidden_size": layout.hidden,
        "num_hidden_layers": layout.layers,
        "num_attention_heads": layout.heads,
        "intermediate_size": layout.inner,
        "max_position_embeddings": layout.embedded_positions,
        "type_vocab_size": max(layout.token_types, 1),
        "layer_norm_eps": layout.epsilon,
        "hidden_act": layout.activation,
        "pad_token_id": layout.padding,
        "num_labels": 1,
    }


def renamed(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors under transformers' names; the fused matrices in three."""
    import torch

    found: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        new = name
        for pattern, replacement in _NAMES:
            new = re.sub(pattern, replacement, new)
        if _FUSED in new:
            for part, rows in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                found[new.replace(_FUSED, f"attention.self.{part}.")] = rows.contiguous()
        else:
            found[new] = tensor
    if _TOKEN_TYPES not in found:  # transformers adds one; zeros change nothing
        words = tensors["roberta.embeddings.word_embeddings.weight"]
        found[_TOKEN_TYPES] = torch.zeros(1, words.shape[1], dtype=words.dtype)
    return found
