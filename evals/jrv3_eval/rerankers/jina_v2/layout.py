"""What a jina-reranker-v2 checkpoint holds: its config, and the names and shapes of its tensors.

The names follow from the modules of the released modeling_xlm_roberta.py, embedding.py,
block.py and mha.py (reference: reranker-models.md, section 5.4, where they are unconfirmed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...checkpoint import Checkpoint
from ...errors import CheckpointError

ARCHITECTURE = "XLMRobertaForSequenceClassification"
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh")
_CODE = ("XLMRobertaFlashConfig", f"modeling_xlm_roberta.{ARCHITECTURE}")
# Written by some trainers, read by neither the released forward pass nor this one.
IGNORED = (
    "roberta.embeddings.position_ids",
    "roberta.pooler.dense.weight",
    "roberta.pooler.dense.bias",
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of a checkpoint. positions: tokens that it can read, after the padding index."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    inner: int
    embedded_positions: int
    token_types: int
    padding: int
    epsilon: float
    activation: str

    @property
    def positions(self) -> int:
        return self.embedded_positions - self.padding - 1


def is_jina_v2(config: Mapping[str, object]) -> bool:
    """True if XLM-R's class in the config means the flash implementation, not transformers' own.

    It is known by its remote code (`auto_map`) or, where that was removed, by `use_flash_attn`.
    """
    names = config.get("architectures")
    if not (isinstance(names, list) and ARCHITECTURE in names):
        return False
    code = config.get("auto_map")
    entries = [str(v) for v in code.values()] if isinstance(code, dict) else []
    return "use_flash_attn" in config or any(e.endswith(_CODE) for e in entries)


def read_layout(checkpoint: Checkpoint) -> Layout:
    """The sizes that a config states.

    Raises CheckpointError for another architecture, several labels, adapters, positions that
    are not learned and absolute, or a size that is missing.
    """
    config = checkpoint.config
    where = str(checkpoint.folder / "config.json")
    if not is_jina_v2(config):
        raise CheckpointError(
            f"{checkpoint.name} is no jina-reranker-v2 (architectures: "
            f"{config.get('architectures')}).",
            where=where,
            next_step="for a cross-encoder of transformers' own classes use cross-encoder:TARGET",
        )
    labels = config.get("id2label")
    count = len(labels) if isinstance(labels, dict) else config.get("num_labels", 2)
    wrong = {
        f"{count} labels; a reranker has one": count != 1,
        f"hidden_act {config.get('hidden_act')!r}": config.get("hidden_act") not in ACTIVATIONS,
        "positions that are not absolute": config.get("position_embedding_type", "absolute")
        != "absolute",
        "adapters (lora_adaptations)": bool(config.get("lora_adaptations")),
    }
    for what, found in wrong.items():
        if found:
            raise CheckpointError(f"{checkpoint.name} has {what}.", where=where)
    epsilon = config.get("layer_norm_eps")
    if not isinstance(epsilon, float):
        raise CheckpointError(
            f"config.json should state layer_norm_eps, not {epsilon!r}.", where=where
        )
    return Layout(
        vocabulary=_size(checkpoint, "vocab_size"),
        hidden=_size(checkpoint, "hidden_size"),
        layers=_size(checkpoint, "num_hidden_layers"),
        heads=_size(checkpoint, "num_attention_heads"),
        inner=_size(checkpoint, "intermediate_size"),
        embedded_positions=_size(checkpoint, "max_position_embeddings"),
        token_types=_size(checkpoint, "type_vocab_size", least=0),
        padding=_size(checkpoint, "pad_token_id", least=0),
        epsilon=epsilon,
        activation=str(config["hidden_act"]),
    )


def shapes(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Every tensor that the checkpoint must have, by the name in the file."""
    hidden, inner = layout.hidden, layout.inner
    found: dict[str, tuple[int, ...]] = {
        "roberta.embeddings.word_embeddings.weight": (layout.vocabulary, hidden),
        "roberta.embeddings.position_embeddings.weight": (layout.embedded_positions, hidden),
    }
    if layout.token_types:
        found["roberta.embeddings.token_type_embeddings.weight"] = (layout.token_types, hidden)
    linear = {"classifier.dense": (hidden, hidden), "classifier.out_proj": (1, hidden)}
    norms = ["roberta.emb_ln"]
    for i in range(layout.layers):
        layer = f"roberta.encoder.layers.{i}"
        linear[f"{layer}.mixer.Wqkv"] = (3 * hidden, hidden)
        linear[f"{layer}.mixer.out_proj"] = (hidden, hidden)
        linear[f"{layer}.mlp.fc1"] = (inner, hidden)
        linear[f"{layer}.mlp.fc2"] = (hidden, inner)
        norms += [f"{layer}.norm1", f"{layer}.norm2"]
    for name, shape in linear.items():
        found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        found |= {f"{name}.weight": (hidden,), f"{name}.bias": (hidden,)}
    return found


def _size(checkpoint: Checkpoint, key: str, *, least: int = 1) -> int:
    value = checkpoint.config.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise CheckpointError(
            f"config.json should state {key} as a number of at least {least}, not {value!r}.",
            where=str(checkpoint.folder / "config.json"),
        )
    return value
