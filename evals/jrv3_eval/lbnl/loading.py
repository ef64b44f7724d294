"""Loading a checkpoint: transformers' own backbone, and every tensor accounted for."""

from __future__ import annotations

import re
from typing import Any

import torch
from safetensors import safe_open

from ..checkpoint import Checkpoint
from ..device import quiet_loading
from ..errors import CheckpointError
from .attention import Kernel
from .layout import ARCHITECTURE, BACKBONE_PREFIX, IGNORED, PROJECTOR, RELEASED_MARKERS, Layout
from .model import LbnlModel, looks_ahead
from .qwen3 import is_qwen3
from .reading import marker_ids

# Of the config: where it comes from, what is set here, and what could ask for foreign code.
_NOT_OF_BACKBONE = frozenset(
    (
        *("architectures", "auto_map", "dtype", "torch_dtype", "transformers_version"),
        *("attn_implementation", "_attn_implementation", "_name_or_path"),
    )
)


def load_tokenizer(checkpoint: Checkpoint, layout: Layout) -> Any:
    """The checkpoint's fast tokenizer, which knows both markers.

    Raises CheckpointError where it does not, where their ids are not the released ones in the
    released vocabulary, or where an id has no embedding.
    """
    from transformers import AutoTokenizer

    try:
        with quiet_loading():
            tokenizer = AutoTokenizer.from_pretrained(
                str(checkpoint.folder), local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # tokenizers raises plain Exception
        raise _cannot_load(checkpoint, error) from error
    where = str(checkpoint.folder / "tokenizer.json")
    if not tokenizer.is_fast:
        raise CheckpointError(
            f"{checkpoint.name} has no fast tokenizer.",
            where=str(checkpoint.folder),
            next_step="save one beside the weights, as tokenizer.json",
        )
    try:
        markers = marker_ids(tokenizer)
    except CheckpointError as error:
        raise CheckpointError(error.what, where=where, next_step=error.next_step) from error
    if layout.released and markers != RELEASED_MARKERS:
        raise CheckpointError(
            f"The markers have the ids {markers}, the released ones are {RELEASED_MARKERS}.",
            where=where,
            next_step="use the tokenizer of the release; in Qwen3's own the three special tokens "
            "are added in the order score, embed, rerank",
        )
    vocabulary = checkpoint.config["vocab_size"]
    if max(markers) >= vocabulary or len(tokenizer) > vocabulary:
        raise CheckpointError(
            f"The tokenizer has ids up to {max(len(tokenizer) - 1, *markers)}, but the model "
            f"embeds {vocabulary} tokens only.",
            where=where,
            next_step="use the tokenizer that the model was trained with",
        )
    return tokenizer


def load_model(
    checkpoint: Checkpoint,
    layout: Layout,
    *,
    device: torch.device,
    dtype: torch.dtype,
    kernel: Kernel,
    compiled: bool,
) -> LbnlModel:
    """Backbone and projector on a device, ready to read.

    Raises CheckpointError where transformers cannot load the backbone, where a tensor is
    missing, unexpected or of another shape, or where the backbone is not causal.
    """
    backbone = _load_backbone(checkpoint, layout, dtype)
    if not is_qwen3(backbone) and looks_ahead(backbone):
        raise CheckpointError(
            f"The backbone of {checkpoint.name} ({type(backbone).__name__}) attends to later "
            "tokens; this architecture needs a causal one.",
            where=str(checkpoint.folder / "config.json"),
        )
    projector = torch.nn.Sequential(
        torch.nn.Linear(layout.projector[0][1], layout.projector[0][0], bias=False),
        torch.nn.ReLU(),
        torch.nn.Linear(layout.projector[1][1], layout.projector[1][0], bias=False),
    ).to(dtype)
    with torch.no_grad():
        for name in PROJECTOR:
            with safe_open(checkpoint.folder / layout.tensors[name], framework="pt") as content:
                own = projector.get_parameter(name.removeprefix("projector."))
                own.copy_(content.get_tensor(name))
    return LbnlModel(backbone.to(device), projector.to(device), kernel, compiled=compiled).eval()


def _load_backbone(checkpoint: Checkpoint, layout: Layout, dtype: torch.dtype) -> Any:
    from transformers import AutoConfig, AutoModel

    options = {k: v for k, v in checkpoint.config.items() if k not in _NOT_OF_BACKBONE}
    try:
        with quiet_loading():
            config = AutoConfig.for_model(options.pop("model_type", None), **options)
            backbone, report = AutoModel.from_pretrained(
                str(checkpoint.folder),
                config=config,
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                key_mapping={rf"^{re.escape(BACKBONE_PREFIX)}": ""},
                ignore_mismatched_sizes=True,  # they are reported, and refused below
                output_loading_info=True,
            )
    except Exception as error:  # a config can make any line of it fail
        raise _cannot_load(checkpoint, error) from error
    known = {*PROJECTOR, *IGNORED, *(BACKBONE_PREFIX + name for name in backbone.state_dict())}
    wrong = {
        "lacks": set(report["missing_keys"]),
        "has wrongly shaped": {str(key[0]) for key in report["mismatched_keys"]},
        "has unexpected": set(layout.tensors) - known,  # also in files that nobody else reads
    }
    found = [f"{what} {_some(names)}" for what, names in wrong.items() if names]
    if found:
        raise CheckpointError(
            f"{checkpoint.name} is no {ARCHITECTURE} of its config: it {', '.join(found)}.",
            where=str(checkpoint.folder),
            next_step=f"save the backbone as {BACKBONE_PREFIX}* and the projector as "
            f"{', '.join(PROJECTOR)}, with the config that was trained",
        )
    return backbone.eval()


def _some(names: set[str]) -> str:
    shown = sorted(names)
    return f"{', '.join(shown[:6])}{f' and {len(shown) - 6} more' if len(shown) > 6 else ''}"


def _cannot_load(checkpoint: Checkpoint, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"transformers cannot load {checkpoint.name}: {type(error).__name__}: {error}",
        where=str(checkpoint.folder),
    )
