"""`dense:MODEL` and `dense:MODEL#prompts=e5,max_length=512`: from a SPEC to the stage of a task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..cards import Suite, TaskCard
from ..checkpoint import Checkpoint, open_checkpoint, refuse_remote_code
from ..embedding.adapters import MODEL_TYPE
from ..embedding.encoder import EncoderSettings, similarity_of
from ..embedding.prompts import PromptSet, RetrievalTask, check_task, prompts_for
from ..errors import RemoteCodeError, UsageError, unknown
from .dense import Dense
from .dense_model import encoder_of

OPTIONS = ("prompts", "task", "similarity", "max_length", "dtype", "batch_size")
ELSEWHERE = (
    "import candidates that were made elsewhere (jrv3-eval candidates import FILE) and use "
    "--first-stage candidates:FOLDER, or run:FILE"
)
# The same weights for a class that transformers has.
NATIVE = {"jinaai/jina-embeddings-v3": "jinaai/jina-embeddings-v3-hf"}


class DenseModel:
    """A dense model; each task may want another of its prompts, adapters and similarities."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        prompts: PromptSet | None,
        options: dict[str, str],
        settings: EncoderSettings,
        cache: Path,
    ) -> None:
        self._checkpoint, self._prompts, self._options = checkpoint, prompts, options
        self._settings, self._cache = settings, cache
        self._stages: dict[tuple[str | None, str], Dense] = {}
        self._stage(None, None)  # its faults before any dataset is read

    def for_task(self, suite: Suite, card: TaskCard) -> Dense:
        """The stage with the prompts of the card's `dense_task` and its similarity.

        What the SPEC says wins. Tasks that want the same share one loaded model.
        """
        return self._stage(card.dense_task, card.similarity)

    def _stage(self, dense_task: str | None, similarity: str | None) -> Dense:
        name: str | None = None
        task: RetrievalTask | None = None
        if self._prompts is not None:
            name, task = self._prompts.task(self._options.get("task") or dense_task)
        chosen = self._options.get("similarity") or similarity or self._own_similarity()
        key = (name, chosen)
        if key not in self._stages:
            unit = self._settings.model_copy(update={"normalize": chosen == "cosine"})
            encoder = encoder_of(self._checkpoint, unit, task)
            self._stages[key] = Dense(encoder, chosen, name, self._cache)
        return self._stages[key]

    def _own_similarity(self) -> str:
        if self._checkpoint.config.get("model_type") == MODEL_TYPE:
            return "cosine"
        return similarity_of(self._checkpoint)


def open_dense(text: str, *, cache: Path, device: str) -> DenseModel:
    """The dense first stage for a folder, `package:NAME` or hub id, with its options.

    Raises UsageError on a bad option, CheckpointError where the model cannot be run here.
    """
    target, _, listed = text.partition("#")
    options = _options(listed)
    prompts = prompts_for(target.partition("@")[0], options.get("prompts"))
    check_task(prompts, options.get("task"))
    settings = _settings(options, device)
    checkpoint = open_checkpoint(target, allow_auto_map=True)
    try:
        refuse_remote_code(checkpoint)
        return DenseModel(checkpoint, prompts, options, settings, cache)
    except RemoteCodeError as error:
        native = NATIVE.get(checkpoint.name)
        use = f"use dense:{native}, the same weights without code; or " if native else ""
        raise RemoteCodeError(error.what, where=error.where, next_step=use + ELSEWHERE) from error


def _options(listed: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in filter(None, listed.split(",")):
        key, equals, value = part.partition("=")
        if key not in OPTIONS:
            raise unknown("option of dense", key, OPTIONS)
        if not equals or not value:
            raise UsageError(
                f"The dense option {part!r} is not key=value.",
                next_step="write for example dense:MODEL#prompts=e5,max_length=512",
            )
        options[key] = value
    if options.get("similarity", "cosine") not in ("cosine", "dot"):
        raise unknown("similarity", options["similarity"], ("cosine", "dot"))
    return options


def _settings(options: dict[str, str], device: str) -> EncoderSettings:
    chosen: dict[str, Any] = {
        key: options[key] for key in ("max_length", "dtype", "batch_size") if key in options
    }
    try:
        return EncoderSettings.model_validate({"device": device, **chosen})
    except ValidationError as error:
        problem = error.errors()[0]
        raise UsageError(
            f"The dense option {problem['loc'][0]}: {problem['msg']}.",
            next_step="write for example dense:MODEL#max_length=512,dtype=bfloat16",
        ) from error
