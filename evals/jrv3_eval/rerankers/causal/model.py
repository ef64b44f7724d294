"""A decoder that is read at the last position only, by the label rows of its head only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...checkpoint import Checkpoint
from ...errors import CheckpointError
from .._loading import load_model
from .detection import has_classifier
from .reading import Labels


class LabelModel:
    """Scores prompts: float32 logit of the relevant answer, minus that of the irrelevant one.

    The prompts are padded on the right, which no real token sees under causal attention; no
    mask is needed then, and the positions are those of a prompt read alone.
    """

    def __init__(self, model: Any, rows: torch.Tensor, bias: torch.Tensor, padding: int) -> None:
        self._decoder = model.base_model
        self._scale = _Scale(model.config)
        self._rows, self._bias = rows.float(), bias.float()
        if len(rows) == 2 and not self._scale.capped:
            # One row: the rounding of two large logits would be lost in their difference.
            self._rows = self._rows[:1] - self._rows[1:]
            self._bias = self._bias[:1] - self._bias[1:]
        self._padding = padding

    @torch.inference_mode()
    def read(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Scores of one batch. float32 [len(prompts)]."""
        lengths = [len(prompt) for prompt in prompts]
        longest = max(lengths)
        device = self._rows.device
        ids = torch.tensor(
            [[*p, *[self._padding] * (longest - len(p))] for p in prompts], device=device
        )
        hidden = self._decoder(input_ids=ids, use_cache=False).last_hidden_state
        places = torch.tensor(lengths, device=device) - 1
        last = hidden[torch.arange(len(prompts), device=device), places].float()
        logits = self._scale(last @ self._rows.T + self._bias)
        score = logits[:, 0] - logits[:, 1] if logits.shape[1] == 2 else logits[:, 0]
        column: NDArray[np.float32] = score.cpu().numpy()
        return column


class _Scale:
    """What some heads do to a logit before it is compared (Gemma 2, Granite, Cohere)."""

    def __init__(self, config: Any) -> None:
        divisor = getattr(config, "logits_scaling", None) or 1.0
        self._factor = (getattr(config, "logit_scale", None) or 1.0) / divisor
        self._cap = getattr(config, "final_logit_softcapping", None)

    @property
    def capped(self) -> bool:
        """Whether it is no mere factor, so that two logits cannot be subtracted before."""
        return bool(self._cap)

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        scaled = logits * self._factor
        return torch.tanh(scaled / self._cap) * self._cap if self._cap else scaled


def load_label_model(
    checkpoint: Checkpoint, labels: Labels, *, dtype: str, device: str, padding: int
) -> LabelModel:
    """The decoder and the rows of its head that score: of the labels, or a classifier's only one.

    Raises CheckpointError where it cannot be loaded with all its tensors, or where a label has
    no row.
    """
    one = has_classifier(checkpoint.config)
    model = load_model(
        checkpoint,
        "AutoModelForSequenceClassification" if one else "AutoModelForCausalLM",
        dtype=dtype,
        device=device,
        needs="a causal reranker needs",
        next_step="use the checkpoint that training saved, with its head",
    )
    head = model.score if one else model.get_output_embeddings()
    wanted = [0] if one else [i for i in (labels.relevant, labels.irrelevant) if i is not None]
    if max(wanted) >= head.weight.shape[0]:
        raise CheckpointError(
            f"The tokenizer gives an answer the id {max(wanted)}, but {checkpoint.name} has "
            f"{head.weight.shape[0]} tokens.",
            where=str(checkpoint.folder),
            next_step="use the tokenizer that the model was trained with",
        )
    rows = head.weight.detach()[wanted].clone()
    bias = torch.zeros(len(wanted), device=rows.device)
    if getattr(head, "bias", None) is not None:
        bias = head.bias.detach()[wanted].clone()
    return LabelModel(model, rows, bias, padding)
