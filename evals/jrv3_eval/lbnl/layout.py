"""What a checkpoint of this architecture must hold, checked before torch is imported.

Reference: reranker-models.md, sections 1.1, 1.2 and 2.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..checkpoint import Checkpoint
from ..errors import CheckpointError

ARCHITECTURE = "JinaForRanking"
PROJECTOR = ("projector.0.weight", "projector.2.weight")
BACKBONE_PREFIX = "model."
IGNORED = ("lm_head.weight",)  # tied weights that some trainers write out; never read
RELEASED_VOCABULARY = 151_936
RELEASED_HIDDEN = 1024
RELEASED_PROJECTOR = ((512, 1024), (512, 512))
RELEASED_MARKERS = (151_670, 151_671)
OWN = "qwen3"  # the backbone that is computed here, by qwen3.py
# Others that take their whole attention from transformers' interface, so that lists share a pass.
PACKED = ("llama", "mistral", "qwen2", OWN)
# They stretch positions by the longest text seen so far, so a score would depend on other lists.
UNSTEADY_ROPE = ("dynamic", "longrope")
KINDS_OF_LAYER = ("full_attention", "sliding_attention")
_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


@dataclass(frozen=True, slots=True)
class Layout:
    """Shapes and limits of a checkpoint. max_length: tokens of the window that blocks fill.

    released: the vocabulary of the release, so its marker ids hold. sliding: some layers see a
    window only (v3.5). tensors: file of each tensor.
    """

    hidden: int
    projector: tuple[tuple[int, ...], tuple[int, ...]]
    dtype: str
    max_length: int
    released: bool
    sliding: bool
    tensors: Mapping[str, str]


def is_lbnl(config: Mapping[str, object]) -> bool:
    """True if the config names this architecture."""
    names = config.get("architectures")
    return isinstance(names, list) and ARCHITECTURE in names


def read_layout(checkpoint: Checkpoint) -> Layout:
    """The layout of a checkpoint, from its config and the headers of its weight files.

    Raises CheckpointError for another architecture, a missing or wrongly shaped projector, or
    bad layer types.
    """
    config = checkpoint.config
    if not is_lbnl(config):
        raise CheckpointError(
            f"{checkpoint.name} is no {ARCHITECTURE} (architectures: "
            f"{config.get('architectures')}).",
            where=str(checkpoint.folder / "config.json"),
            next_step="leave out lbnl: to let its own family be found",
        )
    hidden = _positive(checkpoint, "hidden_size")
    positions = _positive(checkpoint, "max_position_embeddings")
    vocabulary = _positive(checkpoint, "vocab_size")
    released = vocabulary == RELEASED_VOCABULARY
    tensors, dtypes = _headers(checkpoint)
    projector = _projector(checkpoint, tensors, hidden, strict=released)
    stated = checkpoint.read_json("tokenizer_config.json").get("model_max_length")
    window = stated if isinstance(stated, int) and 0 < stated < positions else positions
    _check_rope(checkpoint)
    return Layout(
        hidden=hidden,
        projector=projector,
        dtype=_dtype(config, dtypes),
        max_length=window,
        released=released,
        sliding="sliding_attention" in _layer_types(checkpoint),
        tensors={name: file for name, (file, _) in tensors.items()},
    )


def _positive(checkpoint: Checkpoint, key: str) -> int:
    value = checkpoint.config.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CheckpointError(
            f"config.json should state a positive {key}, not {value!r}.",
            where=str(checkpoint.folder / "config.json"),
        )
    return value


def _headers(
    checkpoint: Checkpoint,
) -> tuple[dict[str, tuple[str, tuple[int, ...]]], dict[str, int]]:
    """File and shape of every tensor, and how many numbers there are of each kind."""
    from safetensors import SafetensorError, safe_open

    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    kinds: dict[str, int] = {}
    for file in sorted(f for f in checkpoint.files if f.endswith(".safetensors") and "/" not in f):
        try:
            with safe_open(checkpoint.folder / file, framework="numpy") as content:
                for name in content.keys():  # noqa: SIM118 (it is no mapping)
                    part = content.get_slice(name)
                    shape = tuple(part.get_shape())
                    if name in tensors:
                        raise CheckpointError(
                            f"The tensor {name} stands in two weight files.",
                            where=f"{tensors[name][0]}, {file}",
                            next_step="keep one set of weight files in the folder",
                        )
                    tensors[name] = (file, shape)
                    kinds[part.get_dtype()] = kinds.get(part.get_dtype(), 0) + math.prod(shape)
        except SafetensorError as error:
            raise CheckpointError(
                f"The weight file cannot be read: {error}.",
                where=str(checkpoint.folder / file),
                next_step="copy or download the file again",
            ) from error
    return tensors, kinds


def _projector(
    checkpoint: Checkpoint,
    tensors: Mapping[str, tuple[str, tuple[int, ...]]],
    hidden: int,
    *,
    strict: bool,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    absent = [name for name in PROJECTOR if name not in tensors]
    if absent:
        raise CheckpointError(
            f"{checkpoint.name} has no {' and no '.join(absent)}, so it cannot score.",
            where=str(checkpoint.folder),
            next_step="use a checkpoint that was saved with its projector (two weights, no bias)",
        )
    first, second = (tensors[name][1] for name in PROJECTOR)
    fits = len(first) == len(second) == 2 and first[1] == hidden and second[1] == first[0]
    if strict and hidden == RELEASED_HIDDEN:
        fits = fits and (first, second) == RELEASED_PROJECTOR
    if not fits:
        wanted = "512x1024 and 512x512" if strict and hidden == RELEASED_HIDDEN else "chained"
        raise CheckpointError(
            f"The projector has the shapes {first} and {second}; a hidden size of {hidden} "
            f"wants {wanted} ones.",
            where=f"{checkpoint.folder}: {', '.join(PROJECTOR)}",
            next_step="the model card's 256 dimensions are wrong: the released weights have 512",
        )
    return first, second


def _layer_types(checkpoint: Checkpoint) -> list[str]:
    """The kind of each layer, empty where the config leaves it to transformers (all full)."""
    config = checkpoint.config
    listed: Any = config.get("layer_types")
    if listed is None:
        return []
    where = str(checkpoint.folder / "config.json")
    wrong = not isinstance(listed, list) or [x for x in listed if x not in KINDS_OF_LAYER]
    if wrong or len(listed) != config.get("num_hidden_layers"):
        raise CheckpointError(
            f"layer_types should list one of {' or '.join(KINDS_OF_LAYER)} for each of the "
            f"{config.get('num_hidden_layers')} layers.",
            where=where,
        )
    windowed = "sliding_attention" in listed
    asked = config.get("use_sliding_window") or not str(config.get("model_type")).startswith("qwen")
    if windowed and not (asked and isinstance(config.get("sliding_window"), int)):
        # transformers would then give these layers full attention: plausible, wrong scores.
        raise CheckpointError(
            "Some layers are sliding, but use_sliding_window and sliding_window do not say how.",
            where=where,
            next_step="take config.json as the model's authors published it",
        )
    return list(listed)


def _check_rope(checkpoint: Checkpoint) -> None:
    """Rotary positions are stated, and do not depend on what else is read."""
    config = checkpoint.config
    where = str(checkpoint.folder / "config.json")
    stated: Any = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(stated, dict):
        raise CheckpointError(f"rope_scaling should be an object, not {stated!r}.", where=where)
    kind = stated.get("rope_type") or stated.get("type")
    if kind in UNSTEADY_ROPE:
        raise CheckpointError(
            f"Positions of the kind {kind!r} change with the longest text read before, so the "
            "score of a list would depend on other lists.",
            where=where,
            next_step="use a checkpoint with default, linear or yarn positions",
        )
    theta = stated.get("rope_theta") or config.get("rope_theta")
    if config.get("model_type") == OWN and not theta:
        # transformers would take 10,000, and the scores would be plausible and wrong.
        raise CheckpointError(
            "config.json does not state rope_theta.",
            where=where,
            next_step="take config.json as the model's authors published it (1000000 for v3)",
        )


def _dtype(config: Mapping[str, Any], kinds: Mapping[str, int]) -> str:
    """The precision that the config states, else that of most numbers."""
    stated = str(config.get("dtype") or config.get("torch_dtype") or "").removeprefix("torch.")
    if stated in _DTYPES.values():
        return stated
    return _DTYPES.get(max(kinds, key=lambda k: kinds[k]), "float32")
