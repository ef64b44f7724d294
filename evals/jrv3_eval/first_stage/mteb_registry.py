"""Models of mteb's registry that can be used without running code of a checkpoint.

Source: mteb 2.26, `mteb.get_model_meta`, `ModelMeta`, and the loaders that are named here.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ..errors import RemoteCodeError, UsageError
from .dense_spec import ELSEWHERE

# mteb's loaders that build a sentence-transformers model from the folder and nothing else. Others
# may run code of a checkpoint unasked, open pickles or call a service.
LOADERS = (
    "mteb.models.sentence_transformer_wrapper:SentenceTransformerEncoderWrapper",
    "mteb.models.sentence_transformer_wrapper:sentence_transformers_loader",
    "mteb.models.instruct_wrapper:InstructSentenceTransformerModel",
    "mteb.models.model_implementations.qwen3_models:q3e_instruct_loader",
    "mteb.models.model_implementations.samilpwc_models:instruct_loader",
    "mteb.models.model_implementations.kalm_models:KALMWrapper",
    "mteb.models.model_implementations.uae_models:UAEWrapper",
)
# Those whose own `similarity` is the checkpoint's; the others take the one of mteb's metadata.
CHECKPOINTS_SIMILARITY = (LOADERS[0], LOADERS[1], LOADERS[6])


def find_meta(name: str, revision: str | None) -> Any:
    """mteb's ModelMeta of a dense text model. Nothing is fetched: only its registry is asked.

    Raises UsageError for a model that mteb does not know, has no loader for or has one that is
    not used here; RemoteCodeError for one that mteb loads with code of its checkpoint.
    """
    meta = _meta(name, revision)
    _refuse(meta)
    return meta


def loader_name(loader: Any) -> str:
    """`module:name` of a loader, also of one that `functools.partial` wraps."""
    inner = getattr(loader, "func", loader)
    return f"{inner.__module__}:{inner.__qualname__}"


def _meta(name: str, revision: str | None) -> Any:
    registry = import_module("mteb.models.model_implementations").MODEL_REGISTRY
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a name that mteb has changed still means its model
            return import_module("mteb").get_model_meta(name, revision)
    except KeyError:
        close = difflib.get_close_matches(name, registry, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
        raise UsageError(
            f"The installed mteb knows no model {name!r}.",
            next_step=f"{hint}any other sentence-transformers model is dense:MODEL",
        ) from None
    except ValueError as error:
        raise UsageError(
            f"mteb has no such revision: {error}", next_step=f"leave it out: mteb:{name}"
        ) from error


def _refuse(meta: Any) -> None:
    """What is no dense text model, or could run foreign code."""
    kinds = list(meta.model_type)
    if kinds != ["dense"] or "text" not in meta.modalities:
        raise UsageError(
            f"{meta.name} is no dense text model ({', '.join([*kinds, *meta.modalities])}).",
            next_step="a reranker is named by --model; for others " + ELSEWHERE,
        )
    if _asks_for_code(meta.loader_kwargs):
        raise RemoteCodeError(
            f"mteb loads {meta.name} with trust_remote_code, and code of a checkpoint is never "
            "run here.",
            next_step=ELSEWHERE,
        )
    if meta.loader is None or loader_name(meta.loader) not in LOADERS:
        shown = "no loader" if meta.loader is None else f"the loader {loader_name(meta.loader)}"
        raise UsageError(
            f"mteb has {shown} for {meta.name}, and only those that build a sentence-transformers "
            "model without foreign code are used here.",
            next_step=ELSEWHERE,
        )


def _asks_for_code(kwargs: Mapping[str, Any]) -> bool:
    return any(
        (key == "trust_remote_code" and bool(value))
        or (isinstance(value, Mapping) and _asks_for_code(value))
        for key, value in kwargs.items()
    )
