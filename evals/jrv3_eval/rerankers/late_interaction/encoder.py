"""Texts to token vectors: transformers' encoder, the checkpoint's projections, unit length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...checkpoint import Checkpoint
from ...device import torch_dtype
from ...embedding import Kind
from ...errors import CheckpointError
from ...hashing import digest_json
from .._loading import LIBRARIES, cannot_load, load_model, load_tokenizer, refuse_absent
from .._pointwise import batches
from .layout import Layout, Projection
from .reading import Reading, ReadText
from .vectors import TokenVectors

if TYPE_CHECKING:
    import torch

__all__ = ["LIBRARIES", "TokenEncoder"]
ENCODING = 2  # raised when the same settings and versions would give other vectors
_NEXT_STEP = "choose a trained late-interaction checkpoint, with its projection as safetensors"


@dataclass(frozen=True)
class Linear:
    """A loaded projection; tensors as torch.nn.Linear has them."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    activation: str
    residual: bool
    residual_weight: torch.Tensor | None

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Source: PyLate 1.6, models/Dense.py."""
        from torch import nn

        output: torch.Tensor = nn.functional.linear(states, self.weight, self.bias)
        output = getattr(nn, self.activation)()(output)
        if not self.residual:
            return output
        if self.residual_weight is not None:
            states = nn.functional.linear(states, self.residual_weight)
        return output + states


class TokenEncoder:
    """A late-interaction checkpoint that turns texts into token vectors. Loads on first use.

    fingerprint: hex digest over all that can change a vector, made by the caller.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        layout: Layout,
        *,
        device: str,
        dtype: str,
        tokens_per_batch: int,
        identity: dict[str, Any],
    ) -> None:
        self._checkpoint = checkpoint
        self._backbone = replace(checkpoint, folder=checkpoint.folder / layout.backbone)
        self._layout = layout
        self._device, self._dtype, self._budget = device, dtype, tokens_per_batch
        self.fingerprint = digest_json({"encoding": ENCODING, **identity})

    def load(self) -> None:
        """Load tokenizer and weights now. Raises CheckpointError if they cannot be."""
        _ = (self._reading, self._model, self._projections)

    def encode(self, texts: Sequence[str], kind: Kind) -> TokenVectors:
        """Token vectors of the texts, which are batched longest first.

        Raises CheckpointError if the checkpoint cannot be loaded with all its tensors.
        """
        read = self._reading.read(texts, kind) if texts else []
        parts: list[NDArray[np.float32]] = [np.zeros((0, 0), np.float32)] * len(read)
        for batch in batches([len(r.ids) for r in read], self._budget):
            for place, vectors in zip(batch, self._forward([read[i] for i in batch]), strict=True):
                parts[place] = vectors
        offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        return TokenVectors(
            vectors=np.concatenate(parts) if parts else np.zeros((0, 0), np.float32),
            offsets=offsets,
            tokens=np.asarray([len(r.ids) for r in read], dtype=np.int32),
            truncated=np.asarray([r.truncated for r in read], dtype=np.bool_),
        )

    def _forward(self, batch: Sequence[ReadText]) -> list[NDArray[np.float32]]:
        """The vectors that count of each text, padded on the right for the model."""
        import torch

        longest = max(len(r.ids) for r in batch)
        padding = self._model.config.pad_token_id or 0
        device = self._model.device
        ids = [[*r.ids, *[padding] * (longest - len(r.ids))] for r in batch]
        seen = [[*r.seen, *[0] * (longest - len(r.ids))] for r in batch]
        with torch.inference_mode():
            states = self._model(
                input_ids=torch.tensor(ids, device=device),
                attention_mask=torch.tensor(seen, device=device),
            ).last_hidden_state
            for projection in self._projections:
                states = projection(states)
            # float32 before the norm, whatever the model computes in
            states = torch.nn.functional.normalize(states.float(), dim=-1).cpu()
        vectors: NDArray[np.float32] = states.numpy()
        return [vectors[i, : len(r.ids)][np.asarray(r.counts)] for i, r in enumerate(batch)]

    @cached_property
    def _reading(self) -> Reading:
        return Reading(self._checkpoint, self._layout, load_tokenizer(self._backbone))

    @cached_property
    def _model(self) -> Any:
        model = load_model(
            self._backbone,
            "AutoModel",
            dtype=self._dtype,
            device=self._device,
            needs="a late-interaction model needs",
            next_step=_NEXT_STEP,
            # Token vectors do not pass through it, and many checkpoints leave it out.
            unneeded=lambda name: name.startswith("pooler."),
        )
        rows = model.get_input_embeddings().weight.shape[0]
        if any(i >= rows for i in self._reading.marker_ids):
            raise CheckpointError(
                f"{self._checkpoint.name} has {rows} embeddings and none for its markers.",
                where=str(self._backbone.folder),
                next_step=_NEXT_STEP,
            )
        return model

    @cached_property
    def _projections(self) -> list[Linear]:
        size = int(self._model.config.hidden_size)
        loaded = []
        for projection in self._layout.projections:
            linear = self._projection(projection)
            if linear.weight.shape[1] != size:
                raise CheckpointError(
                    f"A projection of {self._checkpoint.name} takes vectors of "
                    f"{linear.weight.shape[1]} numbers and is given {size}.",
                    where=str(self._checkpoint.folder / projection.folder),
                )
            size = int(linear.weight.shape[0])
            loaded.append(linear)
        return loaded

    def _projection(self, projection: Projection) -> Linear:
        tensors = self._tensors(projection)
        needed = ["linear.weight", *(["linear.bias"] if projection.bias else [])]
        absent = [name for name in needed if name not in tensors]
        weight = tensors.get("linear.weight")
        resized = weight is not None and weight.shape[0] != weight.shape[1]
        if projection.residual and resized and "residual.weight" not in tensors:
            absent.append("residual.weight")
        refuse_absent(self._checkpoint, absent, "project its token vectors", _NEXT_STEP)
        return Linear(
            weight=tensors["linear.weight"],
            bias=tensors.get("linear.bias") if projection.bias else None,
            activation=projection.activation,
            residual=projection.residual,
            residual_weight=tensors.get("residual.weight") if resized else None,
        )

    def _tensors(self, projection: Projection) -> dict[str, torch.Tensor]:
        """The projection's tensors by name, from any of its folder's safetensors."""
        from safetensors import SafetensorError, safe_open

        found = {}
        folder = self._checkpoint.folder / projection.folder
        try:
            for path in sorted(folder.glob("*.safetensors")):
                with safe_open(path, framework="pt") as file:
                    for name in ("linear.weight", "linear.bias", "residual.weight"):
                        if name in file.keys():  # noqa: SIM118 (not a dict)
                            found[name] = file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise cannot_load(self._checkpoint, error) from error
        dtype, device = torch_dtype(self._dtype), self._model.device
        return {name: tensor.to(device, dtype) for name, tensor in found.items()}
