"""The model: a causal backbone read at the markers, and the projector over what is read there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .attention import Heads, Kernel, Spans
from .blocks import BlockVectors
from .qwen3 import Qwen3Reader, is_qwen3
from .reading import TokenisedPrompt

PROBED_WINDOW = 2048
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
            self._reader = AnyReader(backbone, kernel)

    @torch.inference_mode()
    def read(self, prompts: Sequence[TokenisedPrompt]) -> list[BlockVectors]:
        """Vectors of some prompts, which share one forward pass without padding."""
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

    Sequences share a pass where the backbone takes its attention from transformers' interface,
    and a probe shows that the result is that of each alone; else they run one at a time.
    """

    def __init__(self, backbone: Any, kernel: Kernel) -> None:
        self._backbone = backbone
        self._own = backbone.config._attn_implementation
        self._packed = _register(kernel)
        self.packs = getattr(backbone, "_supports_attention_backend", False) and self._same()

    def __call__(self, ids: torch.Tensor, spans: Spans, marks: torch.Tensor) -> torch.Tensor:
        """As `Qwen3Reader`: after the final norm, [m, hidden]."""
        run = self._together if self.packs else self._apart
        return run(ids, spans)[marks]

    def _together(self, ids: torch.Tensor, spans: Spans) -> torch.Tensor:
        config = self._backbone.config
        config._attn_implementation = self._packed
        try:
            return self._run(
                ids,
                torch.cat([torch.arange(e - s, device=ids.device) for s, e in spans]),
                cu_seq_lens_q=torch.tensor(spans.bounds, dtype=torch.int32),
            )
        finally:
            config._attn_implementation = self._own

    def _apart(self, ids: torch.Tensor, spans: Spans) -> torch.Tensor:
        places = torch.arange(spans.longest, device=ids.device)
        return torch.cat([self._run(ids[s:e], places[: e - s]) for s, e in spans])

    def _run(self, ids: torch.Tensor, places: torch.Tensor, **extra: Any) -> torch.Tensor:
        output = self._backbone(
            input_ids=ids[None], position_ids=places[None], use_cache=False, **extra
        )
        states: torch.Tensor = output.last_hidden_state[0]
        return states

    @torch.inference_mode()
    def _same(self) -> bool:
        """True if two sequences in one pass come out as each alone, also beyond a window."""
        window = getattr(self._backbone.config, "sliding_window", None) or 0
        if window > PROBED_WINDOW:
            return False
        ids, spans = _probe(self._backbone, [window + 9, 5])
        try:
            together = self._together(ids, spans)
        except (TypeError, ValueError, RuntimeError, KeyError):
            return False
        apart = self._apart(ids, spans)
        tolerance = 1e-4 if apart.dtype == torch.float32 else 0.1
        return bool((together - apart).abs().max() <= tolerance * apart.abs().max())


@torch.inference_mode()
def looks_ahead(backbone: Any) -> bool:
    """True if a token changes the hidden state of an earlier one, so the backbone is not causal."""
    ids, _ = _probe(backbone, [9])
    other = ids.clone()
    other[-1] = (other[-1] + 1) % backbone.config.vocab_size
    before, after = (
        backbone(input_ids=i[None], use_cache=False).last_hidden_state[0, :-1] for i in (ids, other)
    )
    return bool((before - after).abs().max() > 1e-3 * before.abs().max())


def _probe(backbone: Any, lengths: list[int]) -> tuple[torch.Tensor, Spans]:
    spans = Spans.of(lengths)
    ids = torch.arange(spans.tokens) * 7919 % backbone.config.vocab_size
    return ids.to(backbone.device), spans


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
