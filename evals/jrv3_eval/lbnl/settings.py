"""Settings of the lbnl family, and what they mean for one checkpoint."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..checkpoint import Checkpoint
from ..device import check_dtype, device_kind
from ..errors import UsageError
from ..rerankers.protocol import RerankerSettings
from .blocks import BLOCK_DOCUMENTS
from .layout import Layout
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

    Raises UsageError for an unknown dtype or device, or a window that the model does not have.
    """
    dtype = layout.dtype if settings.dtype == "auto" else check_dtype(settings.dtype)
    attention: Attention = settings.attention
    if attention == "auto":
        on_cpu = device_kind(settings.device) == "cpu"
        attention = "blocked" if on_cpu and dtype == "bfloat16" else "sdpa"
    positions = checkpoint.config["max_position_embeddings"]
    if settings.max_length and settings.max_length > positions:
        raise UsageError(
            f"max_length={settings.max_length} is more than the {positions} positions that "
            f"{checkpoint.name} has.",
            next_step=f"set max_length to {positions} or less",
        )
    query, document = (1024, 8192) if layout.sliding else (512, 2048)
    return settings.model_copy(
        update={
            "dtype": dtype,
            "attention": attention,
            "max_query_length": settings.max_query_length or query,
            "max_doc_length": settings.max_doc_length or document,
            "max_length": settings.max_length or layout.max_length,
        }
    )
