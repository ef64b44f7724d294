"""What the dense first stage needs of an encoder, and which one a checkpoint takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..checkpoint import Checkpoint
from ..embedding.adapters import MODEL_TYPE, AdapterEncoder
from ..embedding.cache import TextEncoder
from ..embedding.encoder import Encoder, EncoderSettings
from ..embedding.prompts import RetrievalTask
from ..errors import CheckpointError


class DenseEncoder(TextEncoder, Protocol):
    """An encoder that says what it is; versions: of what computes its vectors."""

    checkpoint: Checkpoint
    versions: dict[str, str]

    @property
    def recorded_settings(self) -> Mapping[str, Any]: ...


def encoder_of(
    checkpoint: Checkpoint, settings: EncoderSettings, task: RetrievalTask | None
) -> DenseEncoder:
    """The encoder of a checkpoint, with the prompts and adapters of one of its tasks.

    Without a task the checkpoint's own prompts are used. Raises CheckpointError where the
    checkpoint is no dense model, or has adapters and no task chooses among them.
    """
    if task is not None:
        prompts = {"query_prompt": task.query, "document_prompt": task.document}
        settings = settings.model_copy(update=prompts)
    if checkpoint.config.get("model_type") != MODEL_TYPE:
        return Encoder(checkpoint, settings)
    if task is None or task.adapters is None:
        raise CheckpointError(
            f"{checkpoint.name} is a jina-embeddings-v3, which needs the adapter of a task.",
            where=str(checkpoint.folder),
            next_step="write dense:MODEL#prompts=jina-v3",
        )
    query, document = task.adapters
    return AdapterEncoder(checkpoint, settings, {"query": query, "document": document})
