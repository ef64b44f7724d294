"""How a late-interaction checkpoint is laid out and how it wants its texts read; no weights.

Two layouts. ColBERT's own (colbert-ai: `artifact.metadata`, class HF_ColBERT, the projection as
`linear.weight` beside the encoder) and PyLate's (`modules.json` with a Transformer and Dense
modules, the rest in `config_sentence_transformers.json`). What is not written down has the
default of the library whose layout it is.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

from ...checkpoint import Checkpoint
from ...errors import CheckpointError, RemoteCodeError

METADATA = "artifact.metadata"
COLBERT_CLASS = "HF_ColBERT"
# torch.nn classes without settings of their own; any other name could be anything.
ACTIVATIONS = ("Identity", "ReLU", "GELU", "SiLU", "Tanh")
_MODULES = ("Transformer", "Dense", "Normalize")
_OWN_CODE = ("sentence_transformers.", "pylate.")
_PUNCTUATION = tuple(string.punctuation)
_ROOM = re.compile(r"\d+_(\w+)")
T = TypeVar("T")


@dataclass(frozen=True)
class Projection:
    """One linear layer over token vectors.

    folder: where its safetensors are, "" for the root. activation: name of a torch.nn class.
    residual: the layer's input is added to its output, through `residual.weight` where the two
    differ in size.
    """

    folder: str
    bias: bool = False
    activation: str = "Identity"
    residual: bool = False


@dataclass(frozen=True)
class Layout:
    """All that a checkpoint's files say about reading texts.

    backbone: folder of the transformer, "" for the root. *_marker: the token that is put after
    the first special token, "" for none. *_length: tokens at most, marker included. expand:
    queries are filled up to query_length with mask tokens, whose vectors count; attend: the
    other tokens see these. skiplist: document tokens whose vectors do not count. *_prompt:
    before the text; by default those that a PyLate checkpoint names query and document, which
    PyLate itself adds only when asked to. lower_case: texts are lower-cased before the
    tokenizer sees them.
    """

    backbone: str
    projections: tuple[Projection, ...]
    query_marker: str
    document_marker: str
    query_length: int
    document_length: int
    expand: bool
    attend: bool
    skiplist: tuple[str, ...]
    query_prompt: str = ""
    document_prompt: str = ""
    lower_case: bool = False


def is_late_interaction(config: Mapping[str, object], files: frozenset[str]) -> bool:
    """True for a checkpoint in one of the two layouts, judged by config.json and file names."""
    return _is_pylate(config, files) or _is_colbert(config, files)


def read_layout(checkpoint: Checkpoint) -> Layout:
    """The layout of a checkpoint, PyLate's where the files hold both.

    Raises CheckpointError for another kind of checkpoint or a value that makes no sense,
    RemoteCodeError where a module is of somebody's own class.
    """
    if checkpoint.config.get("is_encoder_decoder"):
        raise CheckpointError(
            f"{checkpoint.name} is an encoder-decoder, which this family does not read.",
            where=str(checkpoint.folder / "config.json"),
            next_step="choose a late-interaction model over an encoder or a decoder",
        )
    if _is_pylate(checkpoint.config, checkpoint.files):
        return _pylate(checkpoint)
    if _is_colbert(checkpoint.config, checkpoint.files):
        return _colbert(checkpoint)
    raise CheckpointError(
        f"{checkpoint.name} is no late-interaction model: it needs {METADATA} or the class "
        f"{COLBERT_CLASS} (ColBERT), or a modules.json with an encoder and Dense, and no "
        "Pooling (PyLate).",
        where=str(checkpoint.folder),
        next_step="for a model with one vector a text use bi-encoder:TARGET",
    )


def _is_colbert(config: Mapping[str, object], files: frozenset[str]) -> bool:
    names = config.get("architectures")
    return METADATA in files or (isinstance(names, list) and COLBERT_CLASS in names)


def _is_pylate(config: Mapping[str, object], files: frozenset[str]) -> bool:
    """A transformer with Dense and without Pooling: nothing makes one vector of its tokens."""
    rooms = {PurePosixPath(f).parent.name for f in files if "/" in f}
    kinds = {m[1] if (m := _ROOM.fullmatch(room)) else room for room in rooms}
    fits = "Dense" in kinds and kinds <= set(_MODULES)
    return "modules.json" in files and fits and "model_type" in config


def _colbert(checkpoint: Checkpoint) -> Layout:
    """Source: colbert-ai, infra/config/settings.py (the defaults) and modeling/colbert.py."""
    own = checkpoint.read_json(METADATA)
    for key, known in (("similarity", "cosine"), ("interaction", "colbert")):
        if own.get(key, known) != known:
            raise CheckpointError(
                f"{checkpoint.name} was trained with {key} {own[key]!r}, which is not built in.",
                where=str(checkpoint.folder / METADATA),
                next_step=f"choose a checkpoint with {key} {known!r}",
            )
    return Layout(
        backbone="",
        projections=(Projection(""),),
        query_marker=_value(checkpoint, METADATA, own, "query_token_id", "[unused0]"),
        document_marker=_value(checkpoint, METADATA, own, "doc_token_id", "[unused1]"),
        query_length=_length(checkpoint, METADATA, own, "query_maxlen", 32),
        document_length=_length(checkpoint, METADATA, own, "doc_maxlen", 220),
        expand=True,
        attend=_value(checkpoint, METADATA, own, "attend_to_mask_tokens", False),
        skiplist=_PUNCTUATION
        if _value(checkpoint, METADATA, own, "mask_punctuation", True)
        else (),
    )


def _pylate(checkpoint: Checkpoint) -> Layout:
    """Source: PyLate 1.6, models/colbert.py and models/Dense.py."""
    backbone, projections = _modules(checkpoint)
    file = "config_sentence_transformers.json"
    own = checkpoint.read_json(file)
    skiplist = _value(checkpoint, file, own, "skiplist_words", list(_PUNCTUATION))
    expand = _value(checkpoint, file, own, "do_query_expansion", True)
    prompts = _value(checkpoint, file, own, "prompts", dict[str, str]())
    default = prompts.get(str(own.get("default_prompt_name"))) or ""
    transformer = checkpoint.read_json(_in(backbone, "sentence_bert_config.json"))
    return Layout(
        backbone=backbone,
        projections=projections,
        query_marker=_value(checkpoint, file, own, "query_prefix", "[Q] "),
        document_marker=_value(checkpoint, file, own, "document_prefix", "[D] "),
        query_length=_length(checkpoint, file, own, "query_length", 32),
        document_length=_length(checkpoint, file, own, "document_length", 180),
        expand=expand,
        attend=expand and _value(checkpoint, file, own, "attend_to_expansion_tokens", False),
        skiplist=tuple(str(word) for word in skiplist),
        query_prompt=str(prompts.get("query") or default),
        document_prompt=str(prompts.get("document") or default),
        lower_case=bool(transformer.get("do_lower_case")),
    )


def _modules(checkpoint: Checkpoint) -> tuple[str, tuple[Projection, ...]]:
    """The transformer's folder and the projections in order. Class names are read, not imported."""
    where = str(checkpoint.folder / "modules.json")
    backbones, projections = [], []
    for module in checkpoint.read_list("modules.json"):
        name = str(module.get("type"))
        if not name.startswith(_OWN_CODE):
            raise RemoteCodeError(
                f"{checkpoint.name} needs remote code ({name}), which is never run here.",
                where=where,
                next_step="use a checkpoint whose modules are of PyLate or sentence-transformers",
            )
        kind = name.rpartition(".")[2]
        if kind not in _MODULES:
            raise CheckpointError(
                f"{checkpoint.name} has a module {kind}, which a late-interaction model has not.",
                where=where,
                next_step="for a model with one vector a text use bi-encoder:TARGET",
            )
        if kind == "Transformer":
            backbones.append(str(module["path"]))
        elif kind == "Dense":  # Normalize changes nothing: all vectors are normalised at the end
            projections.append(_projection(checkpoint, str(module["path"])))
    if len(backbones) != 1 or not projections:
        raise CheckpointError(
            f"{checkpoint.name} should have one Transformer and at least one Dense module.",
            where=where,
        )
    return backbones[0], tuple(projections)


def _projection(checkpoint: Checkpoint, folder: str) -> Projection:
    file = _in(folder, "config.json")
    config = checkpoint.read_json(file)
    activation = str(config.get("activation_function"))
    kind = activation.rpartition(".")[2]
    if kind not in ACTIVATIONS or not activation.startswith("torch.nn."):
        raise CheckpointError(
            f"{checkpoint.name} has a Dense module with the activation {activation}; "
            f"built in are {', '.join(ACTIVATIONS)} of torch.nn.",
            where=str(checkpoint.folder / file),
            next_step="choose another checkpoint, or ask for this activation",
        )
    return Projection(
        folder,
        bias=_value(checkpoint, file, config, "bias", True),
        activation=kind,
        residual=_value(checkpoint, file, config, "use_residual", False),
    )


def _value(checkpoint: Checkpoint, file: str, stored: dict[str, Any], key: str, default: T) -> T:
    """A stored value of the default's type; the default where it is absent or null."""
    value = stored.get(key)
    if value is None:
        return default
    if type(value) is not type(default):
        raise _senseless(checkpoint, file, key, value, f"of type {type(default).__name__}")
    found: T = value
    return found


def _length(
    checkpoint: Checkpoint, file: str, stored: dict[str, Any], key: str, default: int
) -> int:
    length = _value(checkpoint, file, stored, key, default)
    if length < 4:  # two special tokens, a marker, and one of the text
        raise _senseless(checkpoint, file, key, length, "at least 4")
    return length


def _senseless(
    checkpoint: Checkpoint, file: str, key: str, value: object, wanted: str
) -> CheckpointError:
    return CheckpointError(
        f"{key} of {checkpoint.name} should be {wanted}, and is {value!r}.",
        where=str(checkpoint.folder / file),
        next_step="copy or download the file again",
    )


def _in(folder: str, name: str) -> str:
    return (PurePosixPath(folder) / name).as_posix()
