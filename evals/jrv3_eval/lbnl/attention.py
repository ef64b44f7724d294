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

BLOCK = 256  # queries in one block
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
    """The same by matrix products over blocks of queries; the queries' memory is overwritten."""
    group = heads.queries.shape[0] // heads.keys.shape[0]
    attend = BlockAttention(heads.queries, group, spans)
    for first, last, low in query_blocks(spans, heads.window):
        attend(_part(heads, slice(first, last), slice(low, last)))
    return heads.queries.transpose(0, 1)


def query_blocks(spans: Spans, window: int | None) -> Iterator[tuple[int, int, int]]:
    """Blocks of queries first:last, and the first key `low` that any query of a block sees."""
    for start, end in spans:
        for first in range(start, end, BLOCK):
            low = start if window is None else max(start, first - window + 1)
            yield first, min(first + BLOCK, end), low


class BlockAttention:
    """Attention of one block of queries over all keys up to its last, by matrix products.

    On a CPU, bfloat16 matrix products run at more than twice the rate of torch's fused kernel.
    The products are rounded to the model's precision before the softmax, as they are in
    transformers' eager attention; the softmax itself is computed in float32. like: any tensor of
    the pass. group: heads that share a key head.
    """

    def __init__(self, like: torch.Tensor, group: int, spans: Spans) -> None:
        self._room = like.new_empty(2, group * min(BLOCK, spans.longest) * spans.longest)
        self._later = like.new_full((BLOCK, BLOCK), float("-inf")).triu(1)

    def __call__(self, block: Heads) -> None:
        """Put the attention of a block in its queries' place.

        Its keys end with its last query's own.
        """
        rows, columns = block.queries.shape[1], block.keys.shape[1]
        group = block.queries.shape[0] // block.keys.shape[0]
        shape, size = (group * rows, columns), group * rows * columns
        keys = block.keys.transpose(1, 2)
        products, weights = (half[:size].view(shape) for half in self._room)
        each = products.view(group, rows, columns)
        for head in range(len(keys)):
            own = block.queries[head * group : (head + 1) * group]
            scaled = (own * block.scale).reshape(group * rows, -1)
            torch.mm(scaled, keys[head], out=products)
            each[:, :, columns - rows :] += self._later[:rows, :rows]
            if block.window:
                _hide_left(each, columns - rows, block.window)
            torch.softmax(products, -1, out=weights)
            own.copy_(torch.mm(weights, block.values[head]).view(group, rows, -1))


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
