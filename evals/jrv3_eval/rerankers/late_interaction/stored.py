"""The layout of a checkpoint: which one it is, and the readers of ColBERT's and PyLate's.

What is not written down has the default of the library whose layout it is.
"""

from __future__ import annotations

import string

from ...checkpoint import Checkpoint
from ...errors import CheckpointError
from .layout import (
    COLBERT_CLASS,
    METADATA,
    PYLATE_MODULES,
    Layout,
    Projection,
    has_mask,
    is_colbert,
    is_pylate,
)
from .modules import INDEX, folders, read_modules, read_projection
from .multi_vector import SETTINGS, read_multi_vector
from .values import inside, length, value

_PUNCTUATION = tuple(string.punctuation)


def read_layout(checkpoint: Checkpoint) -> Layout:
    """The layout of a checkpoint; that of its modules.json where the files hold ColBERT's, too.

    Raises CheckpointError for another kind of checkpoint or a value that makes no sense,
    RemoteCodeError where a module is of somebody's own class.
    """
    if checkpoint.config.get("is_encoder_decoder"):
        raise CheckpointError(
            f"{checkpoint.name} is an encoder-decoder, which this family does not read.",
            where=str(checkpoint.folder / "config.json"),
            next_step="choose a late-interaction model over an encoder or a decoder",
        )
    kind = checkpoint.read_json(SETTINGS).get("model_type")
    if kind == "MultiVectorEncoder" or (kind != "ColBERT" and has_mask(checkpoint.files)):
        return read_multi_vector(checkpoint)
    own = kind == "ColBERT" and INDEX in checkpoint.files
    if own or is_pylate(checkpoint.config, checkpoint.files):
        return _pylate(checkpoint)
    if is_colbert(checkpoint.config, checkpoint.files):
        return _colbert(checkpoint)
    raise CheckpointError(
        f"{checkpoint.name} is no late-interaction model: it needs {METADATA} or the class "
        f"{COLBERT_CLASS} (ColBERT), a modules.json with an encoder and Dense, and no Pooling "
        "(PyLate), or one with MultiVectorMask (sentence-transformers).",
        where=str(checkpoint.folder),
        next_step="for a model with one vector a text use bi-encoder:TARGET",
    )


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
    punctuation = value(checkpoint, METADATA, own, "mask_punctuation", True)
    return Layout(
        backbone="",
        projections=(Projection(""),),
        query_marker=value(checkpoint, METADATA, own, "query_token_id", "[unused0]"),
        document_marker=value(checkpoint, METADATA, own, "doc_token_id", "[unused1]"),
        query_length=length(checkpoint, METADATA, own, "query_maxlen", 32),
        document_length=length(checkpoint, METADATA, own, "doc_maxlen", 220),
        expand=True,
        attend=value(checkpoint, METADATA, own, "attend_to_mask_tokens", False),
        skiplist=_PUNCTUATION if punctuation else (),
    )


def _pylate(checkpoint: Checkpoint) -> Layout:
    """Source: PyLate 1.6, models/colbert.py and models/Dense.py."""
    modules = read_modules(checkpoint, PYLATE_MODULES)
    if not folders(modules, "Dense"):
        raise CheckpointError(
            f"{checkpoint.name} should have at least one Dense module.",
            where=str(checkpoint.folder / INDEX),
        )
    (backbone,) = folders(modules, "Transformer")
    own = checkpoint.read_json(SETTINGS)
    skiplist = value(checkpoint, SETTINGS, own, "skiplist_words", list(_PUNCTUATION))
    expand = value(checkpoint, SETTINGS, own, "do_query_expansion", True)
    prompts = value(checkpoint, SETTINGS, own, "prompts", dict[str, str]())
    default = prompts.get(str(own.get("default_prompt_name"))) or ""
    transformer = checkpoint.read_json(inside(backbone, "sentence_bert_config.json"))
    return Layout(
        backbone=backbone,
        # Normalize changes nothing: all vectors are normalised at the end
        projections=tuple(read_projection(checkpoint, f) for f in folders(modules, "Dense")),
        query_marker=value(checkpoint, SETTINGS, own, "query_prefix", "[Q] "),
        document_marker=value(checkpoint, SETTINGS, own, "document_prefix", "[D] "),
        query_length=length(checkpoint, SETTINGS, own, "query_length", 32),
        document_length=length(checkpoint, SETTINGS, own, "document_length", 180),
        expand=expand,
        attend=expand and value(checkpoint, SETTINGS, own, "attend_to_expansion_tokens", False),
        skiplist=tuple(str(word) for word in skiplist),
        query_prompt=str(prompts.get("query") or default),
        document_prompt=str(prompts.get("document") or default),
        lower_case=bool(transformer.get("do_lower_case")),
    )
