"""Settings of the family `http`."""

from __future__ import annotations

from pydantic import Field

from ..protocol import RerankerSettings

RESERVED = frozenset({"query", "documents", "texts", "model", "top_n", "top_k"})


class ServiceSettings(RerankerSettings):
    """Settings of the http family. Which service takes which is checked when it is opened."""

    batch_documents: int = Field(
        800, ge=1, description="documents in one unit of commit (whole queries, at least one)"
    )
    endpoint: str | None = Field(
        None, description="base URL of the service; needed for one that you run yourself"
    )
    epoch: str = Field(
        "1", description="any text; another one asks the service again instead of the cache"
    )
    key_env: str | None = Field(
        None,
        description="name of the environment variable that holds the key; empty: send none",
    )
    listwise: bool | None = Field(
        None,
        description="true: all candidates of a query in one call, in order; false: each document "
        "is scored alone, so lists may be split; default: true, but false for tei and infinity, "
        "which only serve models that read one pair at a time",
    )
    batch_limit: int | None = Field(
        None, ge=1, description="documents a call if listwise is false; default: by service"
    )
    truncation: bool = Field(
        True, description="let the service cut long texts; false: it refuses them, where it can"
    )
    max_tokens_per_doc: int | None = Field(
        None, ge=1, description="tokens read of a document (cohere: default 4096; vllm)"
    )
    instruction: str | None = Field(None, description="instruction for the model (vllm)")
    options: str = Field(
        "", description="further fields of the call as a JSON object, sent as they are"
    )
    concurrency: int = Field(4, ge=1, le=256, description="calls at once")
    requests_per_minute: float | None = Field(None, gt=0, description="calls a minute, at most")
    tokens_per_minute: float | None = Field(
        None, gt=0, description="tokens a minute, at most; estimated before a call, then counted"
    )
    timeout: float = Field(120.0, gt=0, le=3600, description="seconds for a whole answer")
    tries: int = Field(5, ge=1, le=20, description="tries of a call before the run ends")
    retry_wait: float = Field(
        1.0, gt=0, le=60, description="seconds before the second try; doubles from there"
    )


# What cannot change a score: no part of a reranker's identity.
UNSCORED = frozenset(
    {
        "device",
        "dtype",
        "endpoint",
        "key_env",
        "concurrency",
        "requests_per_minute",
        "tokens_per_minute",
        "timeout",
        "tries",
        "retry_wait",
    }
)
