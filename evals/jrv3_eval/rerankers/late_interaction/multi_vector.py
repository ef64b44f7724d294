"""The layout of sentence-transformers' own late-interaction class, MultiVectorEncoder.

Markers are prompts, which are read as a part of the text. Lengths and the expansion of queries
are settings of the Transformer module, the skiplist is of MultiVectorMask. What would change a
score and is not built in is refused.

Source: sentence-transformers 6.2, multi_vector_encoder/model.py, its modules/multi_vector_mask.py,
and base/modules/transformer.py (preprocess).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...checkpoint import Checkpoint
from ...errors import CheckpointError
from .layout import MASK, Layout, Projection, positions
from .modules import INDEX, folders, read_modules, read_projection
from .values import inside, length, senseless, value

SETTINGS = "config_sentence_transformers.json"
_MODULES = ("Transformer", "Dense", "Normalize", MASK)
_TOKENS = "token_embeddings"
_TEXT = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
_PYLATE_KEYS = (  # sentence-transformers mixes them in
    "query_prefix",
    "document_prefix",
    "query_length",
    "document_length",
    "query_expansion",
    "do_query_expansion",
    "attend_to_expansion_tokens",
    "skiplist_words",
)
_UNLIMITED = 1_000_000  # tokens of a text where neither tokenizer nor model has an end


def read_multi_vector(checkpoint: Checkpoint) -> Layout:
    """The layout. Raises CheckpointError for a part of it that is not built in."""
    modules = read_modules(checkpoint, _MODULES)
    (backbone,) = folders(modules, "Transformer")
    _check_unit_length(checkpoint, modules)
    own = checkpoint.read_json(SETTINGS)
    for key in _PYLATE_KEYS:
        if key in own:
            raise _not_built_in(checkpoint, SETTINGS, f"the key {key} of PyLate's layout")
    file = inside(backbone, "sentence_bert_config.json")
    transformer = checkpoint.read_json(file)
    _check_transformer(checkpoint, file, transformer)
    limit = _limit(checkpoint, backbone, transformer)
    queries = _queries(checkpoint, file, transformer, limit)
    masks = folders(modules, MASK)
    skip_in, skiplist = _skiplist(checkpoint, masks) if masks else ((), ())
    prompts = value(checkpoint, SETTINGS, own, "prompts", dict[str, str]())
    return Layout(
        backbone=backbone,
        projections=tuple(_projection(checkpoint, f) for f in folders(modules, "Dense")),
        query_marker="",
        document_marker="",
        query_length=queries.most,
        document_length=length(checkpoint, file, transformer, "document_length", limit),
        # Without a mask module only what is attended to counts.
        expand=queries.expand and (queries.attend or bool(masks)),
        attend=queries.attend,
        skiplist=skiplist,
        query_prompt=value(checkpoint, SETTINGS, prompts, "query", ""),
        document_prompt=value(checkpoint, SETTINGS, prompts, "document", ""),
        lower_case=bool(transformer.get("do_lower_case")),
        expand_to=queries.least,
        expansion_token=queries.token,
        strip=False,
        skip_unknown=False,
        skip_in=skip_in,
        mean=own.get("similarity_fn_name") == "meanmaxsim",
    )


def _check_unit_length(checkpoint: Checkpoint, modules: Sequence[tuple[str, str]]) -> None:
    """Raise CheckpointError unless the vectors are normalised once all projections are through."""
    kinds = []
    for kind, folder in modules:
        config = checkpoint.read_json(inside(folder, "config.json")) if folder else {}
        if kind == "Dense" or (kind == "Normalize" and config.get("module_input_name") == _TOKENS):
            kinds.append(kind)
    if kinds[-1:] != ["Normalize"] or "Dense" in kinds[kinds.index("Normalize") :]:
        raise CheckpointError(
            f"{checkpoint.name} does not normalise its token vectors behind the last Dense "
            "module, and this family compares vectors of unit length.",
            where=str(checkpoint.folder / INDEX),
            next_step="choose a checkpoint that ends with Normalize over token_embeddings",
        )


def _check_transformer(checkpoint: Checkpoint, file: str, transformer: Mapping[str, Any]) -> None:
    """Raise CheckpointError for a transformer that does more than read a text."""
    for key, usual in (("transformer_task", "feature-extraction"), ("module_output_name", _TOKENS)):
        if transformer.get(key, usual) != usual:
            raise _not_built_in(checkpoint, file, f"the {key} {transformer[key]!r}")
    read = transformer.get("modality_config", _TEXT)
    if isinstance(read, Mapping) and "message" in read:
        raise _not_built_in(checkpoint, file, "texts in a chat template (modality_config)")
    if read != _TEXT:
        raise _not_built_in(checkpoint, file, f"the modality_config {read!r}")
    if transformer.get("processing_kwargs"):
        raise _not_built_in(checkpoint, file, "processing_kwargs")


def _limit(checkpoint: Checkpoint, backbone: str, transformer: Mapping[str, Any]) -> int:
    """Tokens that a text may have where no length is written down."""
    file = inside(backbone, "tokenizer_config.json")
    stored = transformer.get("max_seq_length")
    if stored is None:
        stored = checkpoint.read_json(file).get("model_max_length")
    known = [n for n in (stored, positions(checkpoint.config)) if isinstance(n, int | float)]
    return int(min([*known, _UNLIMITED]))


@dataclass(frozen=True)
class _Queries:
    """most: tokens of a query. least: the same, None: as most. The rest as in `Layout`."""

    most: int
    least: int | None = None
    expand: bool = False
    attend: bool = False
    token: str | None = None


def _queries(
    checkpoint: Checkpoint, file: str, transformer: Mapping[str, Any], limit: int
) -> _Queries:
    """How long queries are, and what they are filled up with."""
    most = length(checkpoint, file, transformer, "query_length", limit)
    expansion = value(checkpoint, file, transformer, "query_expansion", dict[str, Any]())
    if not expansion:
        return _Queries(most)
    strategy = expansion.get("strategy")
    if strategy not in ("fixed", "min"):
        raise _not_built_in(checkpoint, file, f"the query_expansion {strategy!r}")
    least = length(checkpoint, file, expansion, "length", 0)
    if transformer.get("query_length") and most < least:
        wanted = f"at least the {least} tokens that queries are expanded to"
        raise senseless(checkpoint, file, "query_length", most, wanted)
    return _Queries(
        most=least if strategy == "fixed" else most,
        least=least if strategy == "min" else None,
        expand=True,
        attend=value(checkpoint, file, expansion, "attend", False),
        token=value(checkpoint, file, expansion, "token", "") or None,
    )


def _skiplist(
    checkpoint: Checkpoint, masks: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The kinds of texts that a skiplist holds for, and its words."""
    if len(masks) > 1:
        raise _not_built_in(checkpoint, INDEX, f"{len(masks)} modules {MASK}")
    file = inside(masks[0], "config.json")
    config = checkpoint.read_json(file)
    if config.get("keep_only_token_ids"):
        raise _not_built_in(checkpoint, file, "keep_only_token_ids")
    words = value(checkpoint, file, config, "skiplist_words", list[str]())
    tasks = value(checkpoint, file, config, "skiplist_tasks", ["document"])
    return tuple(str(t) for t in tasks), tuple(str(w) for w in words)


def _projection(checkpoint: Checkpoint, folder: str) -> Projection:
    file = inside(folder, "config.json")
    config = checkpoint.read_json(file)
    for key in ("module_input_name", "module_output_name"):
        if config.get(key, _TOKENS) != _TOKENS:
            raise _not_built_in(checkpoint, file, f"a Dense module with {key} {config[key]!r}")
    return read_projection(checkpoint, folder)


def _not_built_in(checkpoint: Checkpoint, file: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"{checkpoint.name} has {what}, which is not built in for late interaction.",
        where=str(checkpoint.folder / file),
        next_step="choose another checkpoint, or ask for this",
    )
