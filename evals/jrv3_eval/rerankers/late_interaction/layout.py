"""How a late-interaction checkpoint is laid out and how it wants its texts read; no weights.

Three layouts. ColBERT's own (colbert-ai: `artifact.metadata`, class HF_ColBERT, the projection as
`linear.weight` beside the encoder), PyLate's (`modules.json` with a Transformer and Dense
modules, the rest in `config_sentence_transformers.json`), and that of sentence-transformers'
MultiVectorEncoder (a MultiVectorMask among the modules, each with a config of its own). `stored`
reads the first two, `multi_vector` the third.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

METADATA = "artifact.metadata"
COLBERT_CLASS = "HF_ColBERT"
MASK = "MultiVectorMask"
PYLATE_MODULES = ("Transformer", "Dense", "Normalize")
_ROOM = re.compile(r"\d+_(\w+)")
# Their positions start after the padding index, so two of them are never used.
_OFFSET_MODELS = ("roberta", "camembert", "mpnet", "longformer", "data2vec-text")


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
    """All that a checkpoint's files say about reading texts and comparing them.

    backbone: folder of the transformer, "" for the root. *_marker: the token that is put after
    the first special token, "" for none. *_length: tokens at most, marker included. expand:
    queries are filled up to query_length with mask tokens, whose vectors count; attend: the
    other tokens see these. skiplist: tokens of documents whose vectors do not count. *_prompt:
    before the text; by default those that a checkpoint names query and document, which PyLate
    itself adds only when asked to. lower_case: the tokenizer lower-cases texts first.

    The rest differs in sentence-transformers' own layout only. expand_to: expanded queries have
    at least so many tokens and at most query_length; None: exactly query_length.
    expansion_token: instead of the mask token. strip: space around a text is no part of it.
    skip_unknown: a skiplist word that is no token stands for the unknown token. skip_in: the
    kinds of texts that the skiplist holds for. mean: a score is divided by the query's vectors.
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
    expand_to: int | None = None
    expansion_token: str | None = None
    strip: bool = True
    skip_unknown: bool = True
    skip_in: tuple[str, ...] = ("document",)
    mean: bool = False


def is_late_interaction(config: Mapping[str, object], files: frozenset[str]) -> bool:
    """True for a checkpoint in one of the three layouts, judged by config.json and file names."""
    return has_mask(files) or is_pylate(config, files) or is_colbert(config, files)


def has_mask(files: frozenset[str]) -> bool:
    """True for a MultiVectorMask, which no other kind of model has."""
    return "modules.json" in files and MASK in _kinds(files)


def is_pylate(config: Mapping[str, object], files: frozenset[str]) -> bool:
    """A transformer with Dense and without Pooling: nothing makes one vector of its tokens."""
    kinds = _kinds(files)
    fits = "Dense" in kinds and kinds <= set(PYLATE_MODULES)
    return "modules.json" in files and fits and "model_type" in config


def is_colbert(config: Mapping[str, object], files: frozenset[str]) -> bool:
    """ColBERT's metadata, or its class."""
    names = config.get("architectures")
    return METADATA in files or (isinstance(names, list) and COLBERT_CLASS in names)


def positions(config: Mapping[str, object]) -> int | None:
    """Tokens that a text may have for the model of this config.json; None where there is no end."""
    found = config.get("max_position_embeddings")
    relative = config.get("position_biased_input") is False  # DeBERTa
    if not isinstance(found, int) or found <= 0 or relative:
        return None
    offset = any(model in str(config.get("model_type")) for model in _OFFSET_MODELS)
    return found - 2 if offset else found


def _kinds(files: frozenset[str]) -> set[str]:
    """Kinds of modules, by the names of their folders."""
    rooms = {PurePosixPath(f).parent.name for f in files if "/" in f}
    return {m[1] if (m := _ROOM.fullmatch(room)) else room for room in rooms}
