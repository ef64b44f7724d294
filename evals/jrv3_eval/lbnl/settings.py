"""Settings of the lbnl family, and what they mean for one checkpoint."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..checkpoint import Checkpoint
from ..device import check_dtype, device_kind
from ..errors import UsageError
from ..rerankers.protocol import RerankerSettings
from .blocks import BLOCK_DOCUMENTS
from .layout import OWN, PACKED, Layout
from .reading import Limits

Attention = Literal["auto", "sdpa", "blocked", "flash_attention_2", "flex_attention"]


class LbnlSettings(RerankerSettings):
    """Settings of the lbnl family. What is left out is the released code's default."""

    dtype: str = Field("auto", description="float32, bfloat16, float16; auto: the checkpoint's own")
    attention: Attention = Field(
        "auto",
        description="sdpa, blocked, flash_attention_2 or flex_attention; auto: blocked for "
        "bfloat16 on a CPU, else sdpa",
    )
    compile: bool = Field(False, description="compile the elementwise work with torch.compile")
    max_query_length: int | None = Field(
        None, ge=1, description="tokens a query; default: 512 (1024 with sliding layers)"
    )
    max_doc_length: int | None = Field(
        None, ge=1, description="tokens a document; default: 2048 (8192 with sliding layers)"
    )
    max_length: int | None = Field(
        None, ge=16, description="tokens of the window that blocks fill; default: the tokenizer's"
    )
    block_documents: int = Field(BLOCK_DOCUMENTS, ge=1, description="most documents in a block")
    instruction: str | None = Field(None, description="an instruction for every query")
    tokens_per_pass: int = Field(
        16_384, ge=1, description="tokens of several blocks in one forward pass"
    )

    @property
    def limits(self) -> Limits:
        """How much is read; only of settings that `resolve` returned."""
        lengths = (self.max_query_length, self.max_doc_length, self.max_length)
        query, document, window = (length or 0 for length in lengths)
        return Limits(query, document, window, self.block_documents)


def resolve(settings: LbnlSettings, checkpoint: Checkpoint, layout: Layout) -> LbnlSettings:
    """The settings with every default and every `auto` replaced by what it means here.

    Raises UsageError for an unknown dtype or device, a window that the model does not have or
    that holds no document, or what this backbone cannot use.
    """
    dtype = layout.dtype if settings.dtype == "auto" else check_dtype(settings.dtype)
    attention = _attention(settings, checkpoint, dtype)
    positions = checkpoint.config["max_position_embeddings"]
    if settings.max_length and settings.max_length > positions:
        raise UsageError(
            f"max_length={settings.max_length} is more than the {positions} positions that "
            f"{checkpoint.name} has.",
            next_step=f"set max_length to {positions} or less",
        )
    query, document = (1024, 8192) if layout.sliding else (512, 2048)
    query = settings.max_query_length or query
    document = settings.max_doc_length or document
    window = settings.max_length or layout.max_length
    if window - 2 * query <= document:
        raise UsageError(
            f"A window of {window} tokens (max_length) is full with one document of {document} "
            f"(max_doc_length) beside a query of {query} (max_query_length), so every document "
            "would be read alone.",
            next_step=f"set them so that max_doc_length + 2 * max_query_length < {window}",
        )
    return settings.model_copy(
        update={
            "dtype": dtype,
            "attention": attention,
            "max_query_length": query,
            "max_doc_length": document,
            "max_length": window,
        }
    )


def _attention(settings: LbnlSettings, checkpoint: Checkpoint, dtype: str) -> Attention:
    """What `attention` means here. Raises UsageError for a setting that would have no effect."""
    backbone = checkpoint.config.get("model_type")
    if settings.compile and backbone != OWN:
        raise UsageError(
            f"compile works for {OWN} backbones only, and {checkpoint.name} is {backbone}.",
            next_step="leave out --compile",
        )
    if backbone != OWN and backbone not in PACKED:
        if settings.attention not in ("auto", "sdpa"):
            raise UsageError(
                f"{checkpoint.name} is {backbone}, which computes attention as transformers "
                "decides.",
                next_step="leave out --attention",
            )
        return "sdpa"
    if settings.attention != "auto":
        return settings.attention
    on_cpu = device_kind(settings.device) == "cpu"
    return "blocked" if on_cpu and dtype == "bfloat16" else "sdpa"
