"""The model: a causal backbone read at the markers, and the projector over what is read there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..errors import UsageError
from .attention import Heads, Kernel, Spans
from .blocks import BlockVectors
from .layout import PACKED
from .qwen3 import Qwen3Reader, is_qwen3
from .reading import TokenisedPrompt

# On a CPU, torch's matrix library keeps some 0.6 MB of machine code for each new shape. So a
# prompt is filled up to a few shapes, behind its query marker, where nothing looks.
CPU_STEP = 64


class LbnlModel(torch.nn.Module):
    """Backbone and projector of one checkpoint, for inference.

    projector: Linear, ReLU, Linear, without bias (reference: reranker-models.md, section 1.2).
    kernel, compiled: as `Qwen3Reader` takes them; other backbones run through transformers.
    """

    def __init__(
        self, backbone: Any, projector: torch.nn.Sequential, kernel: Kernel, *, compiled: bool
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.projector = projector
        self._reader: Qwen3Reader | AnyReader
        if is_qwen3(backbone):
            self._reader = Qwen3Reader(backbone, kernel, compiled=compiled)
        else:
            packs = backbone.config.model_type in PACKED
            self._reader = AnyReader(backbone, kernel, packs=packs)

    @torch.inference_mode()
    def read(self, prompts: Sequence[TokenisedPrompt]) -> list[BlockVectors]:
        """Vectors of some prompts, which share one forward pass."""
        device = self.backbone.device
        step = CPU_STEP if device.type == "cpu" else 1
        padded = [np.pad(p.ids, (0, -len(p.ids) % step)) for p in prompts]
        spans = Spans.of([len(ids) for ids in padded])
        ids = np.concatenate(padded).astype(np.int64)
        starts = spans.bounds[:-1]
        marks = np.concatenate([p.marks + s for p, s in zip(prompts, starts, strict=True)])
        states = self._reader(
            torch.from_numpy(ids).to(device), spans, torch.from_numpy(marks).to(device)
        )
        projected = self.projector(states)
        found = []
        for vectors in projected.split([len(p.marks) for p in prompts]):
            documents, query = vectors[:-1], vectors[-1]
            cosines = torch.nn.functional.cosine_similarity(query[None], documents)
            parts = (query, documents, cosines)
            found.append(BlockVectors(*(p.float().cpu().numpy() for p in parts)))
        return found


class AnyReader:
    """Hidden states at marked positions, of any causal backbone of transformers.

    packs: sequences share a pass, with `kernel` as their attention. Else they run one at a time,
    as transformers itself computes them.
    """

    def __init__(self, backbone: Any, kernel: Kernel, *, packs: bool) -> None:
        self._backbone = backbone
        self.packs = packs
        if packs:
            backbone.config._attn_implementation = _register(kernel)

    def __call__(self, ids: torch.Tensor, spans: Spans, marks: torch.Tensor) -> torch.Tensor:
        """As `Qwen3Reader`: after the final norm, [m, hidden].

        Raises UsageError for a prompt with more tokens than the backbone has positions.
        """
        positions = self._backbone.config.max_position_embeddings
        if spans.longest > positions:
            raise UsageError(
                f"A prompt has {spans.longest} tokens, but the backbone has {positions} positions.",
                next_step="lower max_length, max_doc_length or block_documents (--set)",
            )
        if self.packs:
            places = torch.cat([torch.arange(e - s, device=ids.device) for s, e in spans])
            bounds = torch.tensor(spans.bounds, dtype=torch.int32)
            return self._run(ids, places, cu_seq_lens_q=bounds)[marks]
        places = torch.arange(spans.longest, device=ids.device)
        return torch.cat([self._run(ids[s:e], places[: e - s]) for s, e in spans])[marks]

    def _run(self, ids: torch.Tensor, places: torch.Tensor, **extra: Any) -> torch.Tensor:
        output = self._backbone(
            input_ids=ids[None], position_ids=places[None], use_cache=False, **extra
        )
        states: torch.Tensor = output.last_hidden_state[0]
        return states


@torch.inference_mode()
def looks_ahead(backbone: Any) -> bool:
    """True if a token changes the hidden state of an earlier one, so the backbone is not causal."""
    ids = torch.arange(9, device=backbone.device) * 7919 % backbone.config.vocab_size
    other = ids.clone()
    other[-1] = (other[-1] + 1) % backbone.config.vocab_size
    before, after = (
        backbone(input_ids=i[None], use_cache=False).last_hidden_state[0, :-1] for i in (ids, other)
    )
    return bool((before - after).abs().max() > 1e-3 * before.abs().max())


def _register(kernel: Kernel) -> str:
    """Make a kernel known to transformers, under a name of its own."""
    from transformers import AttentionInterface

    name = f"jrv3_eval_{getattr(kernel, '__name__', None) or id(kernel)}"

    def attend(
        _module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        _mask: Any,
        scaling: float | None = None,
        sliding_window: int | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        unknown = [k for k in ("softcap", "s_aux", "position_bias") if kwargs.get(k) is not None]
        if unknown:
            raise ValueError(f"attention with {unknown} is not computed here")
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        heads = Heads(query[0], key[0], value[0], scale, sliding_window)
        return kernel(heads, Spans(tuple(kwargs["cu_seq_lens_q"].tolist())))[None], None

    AttentionInterface.register(name, attend)
    return name
