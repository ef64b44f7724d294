"""Qwen3's forward pass for a few positions only, in little memory.

The weights are those of transformers' own `Qwen3Model`; what is left out cannot be seen at the
marker positions: the vocabulary head, the hidden states of all layers, and in the last layer
the queries, output projection and MLP of all other positions. Everything between two attentions
works on a few hundred tokens at a time, which stay in a CPU's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from .attention import (
    BlockAttention,
    Heads,
    Kernel,
    Spans,
    at_marks,
    blocked,
    query_blocks,
)

CPU_TOKENS = 256  # tokens that go through an MLP together
GPU_TOKENS = 16_384


def normalise(states: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """RMS norm over the last dimension, rounded where transformers' Qwen3RMSNorm rounds."""
    wide = states.float()
    scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return (wide * scale).to(states.dtype) * weight


def rotate(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary positions, half-split. states: [n, heads, d]; cos, sin: [n, 1, d]."""
    half = states.shape[-1] // 2
    turned = states * cos
    turned[..., :half] -= states[..., half:] * sin[..., :half]
    turned[..., half:] += states[..., :half] * sin[..., half:]
    return turned


def gate(gated: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """SiLU(gated) * up, in place."""
    return torch.nn.functional.silu(gated, inplace=True).mul_(up)


@dataclass(frozen=True, slots=True)
class _Room:
    """Memory that all layers of a pass share, taken and given back as one piece.

    queries: [n, heads, d], or [0, heads, d] where they are computed a block at a time. keys and
    values: [key heads, n, d].
    """

    queries: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor

    @classmethod
    def of(cls, attention: Any, states: torch.Tensor, *, queries: bool) -> _Room:
        tokens, d = len(states), attention.head_dim
        heads, shared = (p.out_features // d for p in (attention.q_proj, attention.k_proj))
        asked = tokens if queries else 0
        sizes = [asked * heads * d, tokens * shared * d, tokens * shared * d]
        own, keys, values = torch.split(states.new_empty(sum(sizes)), sizes)
        shape = (shared, tokens, d)
        return cls(own.view(asked, heads, d), keys.view(shape), values.view(shape))


class Qwen3Reader:
    """Hidden states of a Qwen3Model at marked positions of a pack.

    kernel: attention for all layers but the last. compiled: let torch compile the elementwise
    work.
    """

    def __init__(self, backbone: Any, kernel: Kernel, *, compiled: bool = False) -> None:
        self._backbone = backbone
        self._kernel = kernel
        config = backbone.config
        self._group = config.num_attention_heads // config.num_key_value_heads
        wrap: Any = torch.compile(dynamic=True) if compiled else lambda function: function
        self._normalise, self._rotate, self._gate = wrap(normalise), wrap(rotate), wrap(gate)

    def __call__(self, ids: torch.Tensor, spans: Spans, marks: torch.Tensor) -> torch.Tensor:
        """After the final norm, [m, hidden] in the model's precision.

        ids: int64 [n], the sequences of the pack one after the other. marks: int64 [m],
        ascending positions in the pack.
        """
        backbone = self._backbone
        states = backbone.embed_tokens(ids)
        room = _Room.of(backbone.layers[0].self_attn, states, queries=self._kernel is not blocked)
        attend = BlockAttention(states, self._group, spans) if self._kernel is blocked else None
        places = torch.cat([torch.arange(e - s, device=ids.device) for s, e in spans])
        turns = self._turns(states, places)
        layers = list(backbone.layers[: backbone.config.num_hidden_layers])
        for layer in layers[:-1]:
            if attend is None:
                self._layer(layer, states, turns, spans, room)
            else:
                self._layer_by_blocks(layer, states, turns, spans, room, attend)
        return self._last(layers[-1], states, turns, spans, marks, room)

    def _layer(
        self,
        layer: Any,
        states: torch.Tensor,
        turns: tuple[torch.Tensor, ...],
        spans: Spans,
        room: _Room,
    ) -> None:
        """One layer, in place. turns: cos and sin, [n, 1, d] each."""
        attention = layer.self_attn
        self._project(layer, states, turns, room, queries=True)
        heads = Heads(
            room.queries.transpose(0, 1),
            room.keys,
            room.values,
            attention.scaling,
            attention.sliding_window,
        )
        mixed = self._kernel(heads, spans)
        for rows in self._chunks(states):
            part = states[rows]
            part += attention.o_proj(mixed[rows].flatten(1))
            part += self._mlp(layer, part)

    def _layer_by_blocks(
        self,
        layer: Any,
        states: torch.Tensor,
        turns: tuple[torch.Tensor, ...],
        spans: Spans,
        room: _Room,
        attend: BlockAttention,
    ) -> None:
        """The same, but a block of queries goes through the whole layer before the next one.

        That may be in place, as the keys and values of all tokens are there already.
        """
        attention, window = layer.self_attn, layer.self_attn.sliding_window
        self._project(layer, states, turns, room, queries=False)
        for first, last, low in query_blocks(spans, window):
            part = states[first:last]
            queries = self._queries(attention, self._norm(layer.input_layernorm, part))
            queries = self._rotate(queries, *(t[first:last] for t in turns))
            keys, values = room.keys[:, low:last], room.values[:, low:last]
            attend(Heads(queries.transpose(0, 1), keys, values, attention.scaling, window))
            part += attention.o_proj(queries.flatten(1))
            part += self._mlp(layer, part)

    def _last(
        self,
        layer: Any,
        states: torch.Tensor,
        turns: tuple[torch.Tensor, ...],
        spans: Spans,
        marks: torch.Tensor,
        room: _Room,
    ) -> torch.Tensor:
        """The last layer and the final norm, for the marked positions: [m, hidden]."""
        attention = layer.self_attn
        self._project(layer, states, turns, room, queries=False)
        marked = states[marks]
        queries = self._queries(attention, self._norm(layer.input_layernorm, marked))
        queries = self._rotate(queries, *(t[marks] for t in turns)).transpose(0, 1)
        window = attention.sliding_window
        heads = Heads(queries, room.keys, room.values, attention.scaling, window)
        marked += attention.o_proj(at_marks(heads, marks, spans).flatten(1))
        marked += self._mlp(layer, marked)
        return self._norm(self._backbone.norm, marked)

    def _project(
        self,
        layer: Any,
        states: torch.Tensor,
        turns: tuple[torch.Tensor, ...],
        room: _Room,
        *,
        queries: bool,
    ) -> None:
        """Fill the room with what a layer's attention reads."""
        attention, shape = layer.self_attn, (-1, layer.self_attn.head_dim)
        for rows in self._chunks(states):
            near = [t[rows] for t in turns]
            normed = self._norm(layer.input_layernorm, states[rows])
            if queries:
                room.queries[rows] = self._rotate(self._queries(attention, normed), *near)
            own = self._norm(attention.k_norm, attention.k_proj(normed).unflatten(-1, shape))
            room.keys[:, rows] = self._rotate(own, *near).transpose(0, 1)
            own = attention.v_proj(normed).unflatten(-1, shape)
            room.values[:, rows] = own.transpose(0, 1)

    def _turns(self, states: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """cos and sin of rotary positions, [n, 1, d] each; computed in float32, chunk by chunk."""
        d = self._backbone.layers[0].self_attn.head_dim
        turns = states.new_empty(2, len(states), 1, d)
        for rows in self._chunks(states):
            near = self._backbone.rotary_emb(states[None, rows], places[None, rows])
            for whole, part in zip(turns, near, strict=True):
                whole[rows] = part[0, :, None]
        return turns[0], turns[1]

    def _queries(self, attention: Any, normed: torch.Tensor) -> torch.Tensor:
        own = attention.q_proj(normed).unflatten(-1, (-1, attention.head_dim))
        return self._norm(attention.q_norm, own)

    def _mlp(self, layer: Any, states: torch.Tensor) -> torch.Tensor:
        mlp = layer.mlp
        normed = self._norm(layer.post_attention_layernorm, states)
        gated: torch.Tensor = mlp.down_proj(self._gate(mlp.gate_proj(normed), mlp.up_proj(normed)))
        return gated

    def _norm(self, module: Any, states: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = self._normalise(states, module.weight, module.variance_epsilon)
        return normed

    def _chunks(self, states: torch.Tensor) -> Iterator[slice]:
        size = CPU_TOKENS if states.device.type == "cpu" else GPU_TOKENS
        for start in range(0, len(states), size):
            yield slice(start, start + size)


def is_qwen3(backbone: Any) -> bool:
    """True for transformers' own Qwen3Model with the activation that `gate` computes."""
    from transformers import Qwen3Model

    return type(backbone) is Qwen3Model and backbone.config.hidden_act == "silu"
