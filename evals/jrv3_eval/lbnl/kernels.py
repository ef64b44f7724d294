"""Which attention kernel computes: torch's own, blocked products, or one of transformers'."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from ..errors import UsageError
from .attention import Heads, Kernel, Spans, blocked, sdpa

NAMES = ("sdpa", "blocked", "flash_attention_2", "flex_attention")


def find_kernel(name: str, *, device: torch.device, dtype: torch.dtype) -> Kernel:
    """The kernel of that name for this device and precision.

    Raises UsageError where it cannot run here, with what to use instead.
    """
    if name == "flash_attention_2":
        _check_flash(device, dtype)
    if name in ("sdpa", "blocked"):
        return sdpa if name == "sdpa" else blocked
    return Delegated(name)


class Delegated:
    """A kernel of transformers' attention interface, over a pack as one row without padding."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._masks: tuple[Spans, dict[int | None, Any]] = (Spans((0,)), {})

    def __call__(self, heads: Heads, spans: Spans) -> torch.Tensor:
        """Attention [n, heads, d]."""
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        # What the interface reads of the layer that calls it.
        caller = SimpleNamespace(
            config=SimpleNamespace(_attn_implementation=self._name),
            is_causal=True,
            training=False,
            num_key_value_groups=heads.queries.shape[0] // heads.keys.shape[0],
        )
        extra: dict[str, Any] = {}
        mask = None
        if self._name == "flex_attention":
            mask = self._mask(heads, spans)
        else:
            bounds = torch.tensor(spans.bounds, dtype=torch.int32, device=heads.queries.device)
            extra = {
                "cu_seq_lens_q": bounds,
                "cu_seq_lens_k": bounds,
                "max_length_q": spans.longest,
                "max_length_k": spans.longest,
            }
        output, _ = ALL_ATTENTION_FUNCTIONS[self._name](
            caller,
            heads.queries[None],
            heads.keys[None],
            heads.values[None],
            mask,
            scaling=heads.scale,
            dropout=0.0,
            sliding_window=heads.window,
            **extra,
        )
        mixed: torch.Tensor = output[0]
        return mixed

    def _mask(self, heads: Heads, spans: Spans) -> Any:
        """The block mask of a pack, made once for all its layers of one kind."""
        from torch.nn.attention.flex_attention import create_block_mask

        if self._masks[0] != spans:
            self._masks = (spans, {})
        made = self._masks[1]
        if heads.window not in made:
            device = heads.queries.device
            sizes = torch.tensor([end - start for start, end in spans], device=device)
            owner = torch.repeat_interleave(torch.arange(len(sizes), device=device), sizes)
            window = heads.window or spans.tokens

            def visible(_batch: Any, _head: Any, query: Any, key: Any) -> Any:
                near = (key <= query) & (key > query - window)
                return near & (owner[query] == owner[key])

            made[heads.window] = create_block_mask(
                visible, None, None, spans.tokens, spans.tokens, device=device, _compile=True
            )  # not compiled, it would first make the whole square
        return made[heads.window]


def _check_flash(device: torch.device, dtype: torch.dtype) -> None:
    from transformers.utils.import_utils import is_flash_attn_2_available

    if device.type != "cuda" or not is_flash_attn_2_available():
        # Asked without the package, transformers would fetch a kernel from the hub.
        raise UsageError(
            "attention=flash_attention_2 needs an NVIDIA or AMD GPU and the package flash-attn.",
            next_step="pip install flash-attn, or leave --attention out (SDPA has a flash kernel "
            "of its own)",
        )
    if dtype not in (torch.float16, torch.bfloat16):
        raise UsageError(
            "attention=flash_attention_2 computes in half precision only.",
            next_step="add --dtype bfloat16, or leave --attention out",
        )
