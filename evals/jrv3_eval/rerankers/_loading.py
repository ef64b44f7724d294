"""A tokenizer and a model from a checkpoint: no remote code, no pickles, no random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..checkpoint import Checkpoint
from ..device import (
    computing_versions,
    cpu_instructions,
    quiet_loading,
    resolve_device,
    torch_dtype,
)
from ..errors import CheckpointError
from .protocol import RerankerInfo, RerankerSettings, type_json

LIBRARIES = ("torch", "transformers", "tokenizers")  # whose versions can change a score
LOGIT_SCORE = "1_LogitScore/config.json"  # where sentence-transformers keeps label ids
# transformers 5 builds these anew from the vocabulary, so that characters are read differently from
# what tokenizer.json says (and from transformers 4, which read the file).
_FROM_FILE = (
    "DebertaV2Tokenizer", "DebertaV2TokenizerFast", "XLMRobertaTokenizer",
    "XLMRobertaTokenizerFast",
)  # fmt: skip
_HEADS = ("classifier", "score")  # of transformers' sequence classifiers


def scoring_versions(device: str, dtype: str) -> dict[str, str]:
    """Versions of all that computes a score; half precision on a CPU depends on its kind."""
    found = computing_versions(*LIBRARIES, device=device)
    if found["device"] == "cpu" and dtype != "float32":
        found["instructions"] = cpu_instructions()
    return found


def checkpoint_info(
    family: str,
    checkpoint: Checkpoint,
    settings: RerankerSettings,
    more: Mapping[str, type_json] | None = None,
) -> RerankerInfo:
    """Identity of a pointwise reranker. settings: resolved; more: what they do not say."""
    return RerankerInfo(
        name=checkpoint.name,
        family=family,
        listwise=False,
        revision=checkpoint.revision,
        weights=checkpoint.weights,
        settings={**settings.model_dump(exclude={"device"}), **(more or {})},
        versions=scoring_versions(settings.device, settings.dtype),
    )


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """The checkpoint's fast tokenizer; pads with the end token if it has no padding token.

    Raises CheckpointError where it cannot be loaded or is a slow one.
    """
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    try:
        with quiet_loading():
            tokenizer = AutoTokenizer.from_pretrained(
                str(checkpoint.folder), local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # a damaged file can make any line of it fail
        raise cannot_load(checkpoint, error) from error
    if not tokenizer.is_fast:
        raise CheckpointError(
            f"{checkpoint.name} has no fast tokenizer.",
            where=str(checkpoint.folder),
            next_step="save one beside the weights, as tokenizer.json",
        )
    if type(tokenizer).__name__ in _FROM_FILE and "tokenizer.json" in checkpoint.files:
        written = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
        for part in ("normalizer", "pre_tokenizer"):
            if getattr(written, part) is not None:
                setattr(tokenizer.backend_tokenizer, part, getattr(written, part))
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    checkpoint: Checkpoint,
    auto_class: str,
    *,
    dtype: str,
    device: str,
    needs: str,
    next_step: str,
    unneeded: Callable[[str], bool] = lambda name: False,
    **options: Any,
) -> Any:
    """A model of one of transformers' auto classes, in evaluation mode on its device.

    needs: what the tensors are for, as in "lacks tensors that {needs}". next_step: what to do
    then. unneeded: tensors that may be absent. options: further arguments of from_pretrained.
    Raises CheckpointError where it cannot be loaded or a tensor is missing: transformers would
    score with random numbers in its place.
    """
    import transformers

    try:
        with quiet_loading():
            model, report = getattr(transformers, auto_class).from_pretrained(
                str(checkpoint.folder),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch_dtype(dtype),
                output_loading_info=True,
                **options,
            )
    except Exception as error:  # a damaged file can make any line of it fail
        raise cannot_load(checkpoint, error) from error
    absent = {*report["missing_keys"], *(str(k) for k in report["mismatched_keys"])}
    refuse_absent(checkpoint, [a for a in absent if not unneeded(a)], needs, next_step)
    return model.to(resolve_device(device)).eval()


def refuse_absent(
    checkpoint: Checkpoint, absent: Sequence[str], needs: str, next_step: str
) -> None:
    """Raise CheckpointError if any tensor is absent."""
    if not absent:
        return
    named = sorted(absent)
    raise CheckpointError(
        f"{checkpoint.name} lacks tensors that {needs}: "
        f"{', '.join(named[:8])}{' ...' if len(named) > 8 else ''}.",
        where=str(checkpoint.folder),
        next_step=next_step,
    )


def cannot_load(checkpoint: Checkpoint, error: Exception) -> CheckpointError:
    """The error for a checkpoint on which transformers fails."""
    return CheckpointError(
        f"transformers cannot load {checkpoint.name}: {error}", where=str(checkpoint.folder)
    )


def keep_head_exact(model: Any) -> Any:
    """The model with its classification head in float32, fed with float32.

    In half precision a head has few values between the scores of a hundred candidates, so that
    ties would decide their order (traps.md, 1).
    """
    for name in _HEADS:
        head = getattr(model, name, None)
        if head is not None:
            head.float()
            head.register_forward_pre_hook(lambda _, inputs: tuple(i.float() for i in inputs))
    return model
