"""Causal attention over several sequences that stand one after the other, without padding.

No kernel here builds a (heads, n, n) tensor on a CPU or a CUDA device, or reads across the border
of two sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

BLOCK = 256  # queries a matrix product of the blocked kernel
# The mathematical fallback, which is not here, would build the (heads, n, n) tensor.
_FUSED = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION]


@dataclass(frozen=True, slots=True)
class Spans:
    """Where sequences lie in a pack. bounds: 0, end of the first, ..., number of tokens."""

    bounds: tuple[int, ...]

    @classmethod
    def of(cls, lengths: list[int]) -> Spans:
        bounds = [0]
        for length in lengths:
            bounds.append(bounds[-1] + length)
        return cls(tuple(bounds))

    @property
    def tokens(self) -> int:
        return self.bounds[-1]

    @property
    def longest(self) -> int:
        return max(end - start for start, end in self)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self.bounds[:-1], self.bounds[1:], strict=True))


@dataclass(frozen=True, slots=True)
class Heads:
    """Rotated queries [heads, n, d], keys and values [key heads, n, d]; heads may be strided.

    scale: of the products. window: how many keys a query sees, itself among them; None: all
    that are not later (transformers' sliding rule: i - window < j <= i).
    """

    queries: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    scale: float
    window: int | None


Kernel = Callable[[Heads, Spans], torch.Tensor]


def sdpa(heads: Heads, spans: Spans) -> torch.Tensor:
    """Attention [n, heads, d] by torch's fused kernels, a sequence at a time."""
    outputs = []
    for start, end in spans:
        part = _part(heads, slice(start, end), slice(start, end))
        if heads.window is None or end - start <= heads.window:
            outputs.append(_fused(part, causal=True))
            continue
        size = max(heads.window, BLOCK)
        for first in range(start, end, size):
            last, low = min(first + size, end), max(start, first - heads.window + 1)
            rows = torch.arange(first, last, device=heads.queries.device)
            mask = visible(rows, low, last, heads.window)
            part = _part(heads, slice(first, last), slice(low, last))
            outputs.append(_fused(part, mask=mask))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def blocked(heads: Heads, spans: Spans) -> torch.Tensor:
    """The same by matrix products over blocks of queries; the queries' memory is overwritten.

    On a CPU, bfloat16 matrix products run at more than twice the rate of torch's fused kernel.
    The products are rounded to the model's precision before the softmax, as they are in
    transformers' eager attention; the softmax itself is computed in float32.
    """
    queries, keys, values = heads.queries, heads.keys.transpose(1, 2), heads.values
    group = queries.shape[0] // keys.shape[0]
    width = min(spans.longest, (heads.window or spans.longest) + BLOCK)
    room = queries.new_empty(2, group * BLOCK * width)
    later = queries.new_full((BLOCK, BLOCK), float("-inf")).triu(1)
    for start, end in spans:
        for head in range(keys.shape[0]):
            own = queries[head * group : (head + 1) * group]
            for first in range(start, end, BLOCK):
                last = min(first + BLOCK, end)
                low = max(start, first - heads.window + 1) if heads.window else start
                rows, columns = last - first, last - low
                shape, size = (group * rows, columns), group * rows * columns
                scaled = (own[:, first:last] * heads.scale).reshape(group * rows, -1)
                products = torch.mm(
                    scaled, keys[head, :, low:last], out=room[0, :size].view(shape)
                ).view(group, rows, columns)
                products[:, :, first - low :] += later[:rows, :rows]
                if heads.window:
                    _hide_left(products, first - low, heads.window)
                weights = torch.softmax(products.view(shape), -1, out=room[1, :size].view(shape))
                mixed = torch.mm(weights, values[head, low:last])
                own[:, first:last] = mixed.view(group, rows, -1)
    return queries.transpose(0, 1)


def at_marks(heads: Heads, marks: torch.Tensor, spans: Spans) -> torch.Tensor:
    """Attention [m, heads, d] of the queries at a few positions only.

    heads.queries: [heads, m, d], those of the positions `marks` (int64 [m], ascending).
    """
    places = marks.tolist()
    outputs, first = [], 0
    for start, end in spans:
        last = first + sum(start <= place < end for place in places[first:])
        if last > first:
            mask = visible(marks[first:last], start, end, heads.window)
            part = _part(heads, slice(first, last), slice(start, end))
            outputs.append(_fused(part, mask=mask))
        first = last
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def visible(rows: torch.Tensor, low: int, high: int, window: int | None) -> torch.Tensor:
    """Which keys low..high-1 the queries at positions `rows` see: bool [rows, high - low]."""
    columns = torch.arange(low, high, device=rows.device)
    mask = columns <= rows[:, None]
    return mask if window is None else mask & (columns > rows[:, None] - window)


def _hide_left(products: torch.Tensor, offset: int, window: int) -> None:
    """Hide the keys that have left the window of later rows of a block."""
    rows = products.shape[1]
    places = torch.arange(rows, device=products.device)[:, None] + offset - window
    columns = torch.arange(min(rows, products.shape[2]), device=products.device)
    products[:, :, : len(columns)].masked_fill_(columns <= places, float("-inf"))


def _part(heads: Heads, rows: slice, columns: slice) -> Heads:
    return Heads(
        heads.queries[:, rows],
        heads.keys[:, columns],
        heads.values[:, columns],
        heads.scale,
        heads.window,
    )


def _fused(heads: Heads, *, causal: bool = False, mask: torch.Tensor | None = None) -> torch.Tensor:
    """torch's fused attention: [rows, heads, d]."""
    queries, keys, values = heads.queries, heads.keys, heads.values
    grouped = queries.shape[0] != keys.shape[0]
    if grouped and not _shares_key_heads(queries, mask):
        group = queries.shape[0] // keys.shape[0]
        keys, values = (x.repeat_interleave(group, dim=0) for x in (keys, values))
        grouped = False
    with sdpa_kernel(_FUSED):
        output = scaled_dot_product_attention(
            queries[None],
            keys[None],
            values[None],
            attn_mask=mask,
            is_causal=causal,
            scale=heads.scale,
            enable_gqa=grouped,
        )
    return output[0].transpose(0, 1)


def _shares_key_heads(queries: torch.Tensor, mask: torch.Tensor | None) -> bool:
    """True if the fused kernel takes fewer key heads than heads.

    On a GPU only flash attention does: without a mask, in half precision, heads of at most 256,
    on an Ampere or newer.
    """
    if queries.device.type != "cuda":
        return queries.device.type == "cpu"
    half = queries.dtype in (torch.float16, torch.bfloat16)
    recent = torch.cuda.get_device_capability(queries.device) >= (8, 0)
    return mask is None and half and recent and queries.shape[-1] <= 256
