"""Attention over packs: every kernel against plain matrices, also beyond windows and borders."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from jrv3_eval.errors import UsageError
from jrv3_eval.lbnl import attention, kernels
from jrv3_eval.lbnl.attention import Heads, Spans, at_marks, blocked, sdpa
from jrv3_eval.lbnl.kernels import Delegated, find_kernel

CPU = torch.device("cpu")


def heads(tokens: int, window: int | None = None, dtype: torch.dtype = torch.float32) -> Heads:
    """Random heads: four query heads share two key heads of 16 dimensions."""
    torch.manual_seed(tokens)
    queries = torch.randn(tokens, 4, 16, dtype=dtype).transpose(0, 1)
    keys, values = torch.randn(2, 2, tokens, 16, dtype=dtype)
    return Heads(queries, keys, values, 0.3, window)


def plain(given: Heads, spans: Spans) -> torch.Tensor:
    """Attention by the definition, a (heads, n, n) matrix a sequence, in float64."""
    queries, keys, values = (t.double() for t in (given.queries, given.keys, given.values))
    outputs = []
    for start, end in spans:
        own = slice(start, end)
        i, j = torch.arange(end - start)[:, None], torch.arange(end - start)
        seen = (j <= i) & (j > i - (given.window or end))
        shared = keys[:, own].repeat_interleave(2, 0), values[:, own].repeat_interleave(2, 0)
        products = queries[:, own] @ shared[0].transpose(1, 2) * given.scale
        weights = products.masked_fill(~seen, float("-inf")).softmax(-1)
        outputs.append((weights @ shared[1]).transpose(0, 1))
    return torch.cat(outputs)


@pytest.mark.parametrize("kernel", [sdpa, blocked])
@pytest.mark.parametrize("window", [None, 1, 7, 64, 1000])
@pytest.mark.parametrize("lengths", [[1], [300], [40, 1, 259, 8]])
def test_kernels_compute_causal_attention(
    kernel: Any, window: int | None, lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "BLOCK", 32)
    spans = Spans.of(lengths)
    given = heads(spans.tokens, window)
    expected = plain(given, spans)
    torch.testing.assert_close(kernel(given, spans).double(), expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("kernel", [sdpa, blocked])
def test_half_precision_is_near(kernel: Any) -> None:
    spans = Spans.of([200, 57])
    given = heads(257, dtype=torch.bfloat16)
    expected = plain(given, spans)
    assert (kernel(given, spans).double() - expected).abs().max() < 0.03


@pytest.mark.parametrize("window", [None, 7])
def test_marked_positions_see_what_they_would_see_among_all(window: int | None) -> None:
    spans = Spans.of([40, 3, 259])
    given = heads(spans.tokens, window)
    marks = torch.tensor([0, 11, 39, 43, 300])  # none in the second sequence
    some = Heads(given.queries[:, marks], given.keys, given.values, given.scale, window)
    expected = plain(given, spans)[marks]
    torch.testing.assert_close(at_marks(some, marks, spans).double(), expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("kernel", [sdpa, blocked])
def test_no_kernel_builds_a_square_of_tokens_a_head(kernel: Any) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            sizes = [t.numel() for t in (result if isinstance(result, tuple) else (result,))
                     if isinstance(t, torch.Tensor)]  # fmt: skip
            largest = max([largest, *sizes])
            return result

    tokens = 3000
    given = heads(tokens)
    with Watch():
        kernel(given, Spans.of([tokens]))
    assert largest < 4 * tokens * tokens / 4


def test_the_mathematical_fallback_of_sdpa_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.nn.attention import SDPBackend

    assert SDPBackend.MATH not in attention._FUSED


# --- kernels of transformers' interface ---------------------------------------------------------


@pytest.mark.parametrize("window", [None, 7])
def test_flash_attention_is_called_with_the_bounds_of_the_pack(
    window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in with flash attention's varlen meaning, as there is no GPU in the tests."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    def flash(
        module: Any, query: Any, key: Any, value: Any, mask: Any, *, scaling: float,
        dropout: float, sliding_window: int | None, cu_seq_lens_q: Any, cu_seq_lens_k: Any,
        max_length_q: int, max_length_k: int,
    ) -> Any:  # fmt: skip
        assert module.config._attn_implementation == "flash_attention_2"
        assert (mask, dropout, module.is_causal) == (None, 0.0, True)
        assert cu_seq_lens_q.dtype == torch.int32
        assert torch.equal(cu_seq_lens_q, cu_seq_lens_k)
        assert max_length_q == max_length_k == 40
        spans = Spans(tuple(cu_seq_lens_q.tolist()))
        return plain(Heads(query[0], key[0], value[0], scaling, sliding_window), spans)[None], None

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._local_mapping, "flash_attention_2", flash)
    spans = Spans.of([40, 1, 19])
    given = heads(60, window)
    found = Delegated("flash_attention_2")(given, spans)
    torch.testing.assert_close(found, plain(given, spans))


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("window", [None, 7])
def test_flex_attention_masks_windows_and_borders(
    window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.nn.attention import flex_attention as flex
    from transformers.integrations import flex_attention as integration

    # Uncompiled, it computes the same by plain matrices; compiling takes half a minute.
    monkeypatch.setattr(
        integration, "compile_friendly_flex_attention",
        lambda q, k, v, training=False, **options: flex.flex_attention(q, k, v, **options),
    )  # fmt: skip
    made = []
    create = flex.create_block_mask

    def uncompiled(*arguments: Any, _compile: bool, **options: Any) -> Any:
        assert _compile  # else it first makes the whole square
        made.append(1)
        return create(*arguments, **options)

    monkeypatch.setattr(flex, "create_block_mask", uncompiled)
    given = heads(200, window)
    kernel = Delegated("flex_attention")
    for _ in range(2):  # the second layer reuses the mask
        spans = Spans.of([140, 1, 59])
        expected = plain(given, spans)
        torch.testing.assert_close(kernel(given, spans).double(), expected, atol=2e-6, rtol=0)
    assert made == [1]


@pytest.mark.parametrize(
    ("capability", "dtype", "width", "masked", "shares"),
    [
        ((8, 0), torch.bfloat16, 128, False, True),
        ((7, 5), torch.float16, 128, False, False),  # no flash kernel before Ampere
        ((9, 0), torch.float32, 128, False, False),
        ((9, 0), torch.bfloat16, 320, False, False),
        ((9, 0), torch.bfloat16, 128, True, False),
    ],
)
def test_key_heads_are_repeated_where_a_gpu_kernel_cannot_share_them(
    capability: tuple[int, int],
    dtype: torch.dtype,
    width: int,
    masked: bool,
    shares: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    queries: Any = SimpleNamespace(device=torch.device("cuda"), dtype=dtype, shape=(4, 9, width))
    mask = torch.ones(1) if masked else None
    assert attention._shares_key_heads(queries, mask) == shares


def test_flash_attention_needs_a_gpu_and_its_package() -> None:
    with pytest.raises(UsageError, match="needs an NVIDIA or AMD GPU") as caught:
        find_kernel("flash_attention_2", device=CPU, dtype=torch.bfloat16)
    assert "pip install flash-attn" in str(caught.value.next_step)


def test_flash_attention_needs_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.utils import import_utils

    monkeypatch.setattr(import_utils, "is_flash_attn_2_available", lambda: True)
    gpu = torch.device("cuda")
    with pytest.raises(UsageError, match="half precision only"):
        find_kernel("flash_attention_2", device=gpu, dtype=torch.float32)
    assert isinstance(find_kernel("flash_attention_2", device=gpu, dtype=torch.bfloat16), Delegated)


def test_every_name_has_a_kernel() -> None:
    assert kernels.NAMES == ("sdpa", "blocked", "flash_attention_2", "flex_attention")
    own = [find_kernel(n, device=CPU, dtype=torch.float32) for n in kernels.NAMES[:2]]
    assert own == [sdpa, blocked]
    flex = find_kernel("flex_attention", device=CPU, dtype=torch.float32)
    assert isinstance(flex, Delegated)
