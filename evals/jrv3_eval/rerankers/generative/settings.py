"""Settings of the family `generative`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...errors import UsageError
from ..protocol import RerankerSettings, type_json
from .prompts import LABELS, Method, Prompt
from .sorting import Undecided

CONTEXT = 4096  # RankLLM's default


class GenerativeSettings(RerankerSettings):
    """Settings of the generative family."""

    batch_documents: int = Field(
        800, ge=1, description="documents in one unit of commit (whole queries, at least one)"
    )
    dtype: str = Field("auto", description="float32, bfloat16, float16; auto: the checkpoint's own")
    method: Method = Field(
        "listwise",
        description="listwise: an order of a window; setwise: the best of a few; "
        "pairwise: the better of two",
    )
    prompt: str | None = Field(
        None,
        description="rankzephyr, rankgpt, setwise, pairwise, or a YAML file; default: rankzephyr, "
        "or that of the method",
    )
    passage_words: int | None = Field(
        None,
        ge=1,
        description="most words of a passage, fewer if the prompt does not fit; listwise: with 20 "
        "passages, more with fewer; default: the prompt's own (300, or 100)",
    )
    max_length: int | None = Field(
        None,
        ge=64,
        description="tokens of a prompt and its answer; default: 4096, or less if the model "
        "reads less; for a server they are estimated (3 bytes each)",
    )
    window: int = Field(20, ge=2, description="listwise: passages in one prompt")
    stride: int = Field(10, ge=1, description="listwise: passages that a window moves up")
    passes: int = Field(1, ge=1, description="listwise: how often the windows go over the list")
    sort: Literal["heapsort", "bubblesort", "allpair"] = Field(
        "heapsort", description="setwise, pairwise: heapsort, bubblesort; pairwise: allpair"
    )
    top_k: int = Field(
        10, ge=1, description="heapsort, bubblesort: documents that are ranked; the others follow"
    )
    children: int = Field(
        3, ge=1, le=len(LABELS) - 1, description="setwise: passages in one prompt, but for one"
    )
    undecided: Undecided = Field(
        "shown",
        description="heapsort, bubblesort: what is taken for the best where no answer is clear: "
        "shown (what is shown first, as in llm-rankers) or candidates (what stood first there)",
    )
    scoring: Literal["generation", "likelihood"] = Field(
        "generation",
        description="setwise, pairwise: likelihood takes the label with the largest "
        "logit (local models)",
    )
    reasoning_tokens: int = Field(
        0,
        ge=0,
        description="tokens for thoughts before the answer; 0: a local model's chat template is "
        "told to switch thinking off; a server is told nothing (see options)",
    )
    batch_prompts: int = Field(8, ge=1, description="prompts in one batch (local models)")
    model: str | None = Field(None, description="the model's name on a server")
    epoch: str = Field(
        "1", description="any text; another one asks the server again instead of the cache"
    )
    options: str = Field(
        "",
        description="further fields of a server's call as a JSON object, sent as they are, such "
        'as {"chat_template_kwargs": {"enable_thinking": false}} for vLLM and SGLang',
    )
    key_env: str | None = Field(
        None,
        description="name of the environment variable with the server's key; default: "
        "OPENAI_API_KEY at api.openai.com, else none is sent",
    )
    concurrency: int = Field(8, ge=1, le=256, description="calls of a server at once")
    timeout: float = Field(300.0, gt=0, le=3600, description="seconds for a server's whole answer")
    tries: int = Field(5, ge=1, le=20, description="tries of a call before the run ends")
    retry_wait: float = Field(
        1.0, gt=0, le=60, description="seconds before the second try; doubles from there"
    )


_LISTWISE = frozenset({"window", "stride", "passes"})
_CHOOSING = frozenset({"sort", "top_k", "undecided", "scoring"})
_LOCAL = frozenset({"dtype", "batch_prompts"})
_SERVER = frozenset({"model", "epoch", "options"})
# Fields of a call that options may not set: what is asked, of whom, and how it is answered.
RESERVED = frozenset({"model", "messages", "stream", "n"})
_ALL = frozenset({"batch_documents", "method", "max_length", "reasoning_tokens"})


def scored_settings(
    settings: GenerativeSettings, prompt: Prompt, *, server: bool
) -> dict[str, type_json]:
    """What can change a score of this method, with the prompt's content as a digest."""
    names = set(_ALL | (_SERVER if server else _LOCAL))
    names |= _LISTWISE if settings.method == "listwise" else _CHOOSING
    if settings.method == "setwise":
        names.add("children")
    return {
        **settings.model_dump(include=names),
        "prompt": prompt.name,
        "prompt_digest": prompt.digest,
        "passage_words": settings.passage_words or prompt.passage_words,
    }


def check_settings(settings: GenerativeSettings, *, server: bool) -> None:
    """Raise UsageError for settings that do not go together."""
    if settings.method == "listwise" and settings.stride >= settings.window:
        raise UsageError(
            f"stride={settings.stride} is not less than window={settings.window}, so windows do "
            "not overlap and nothing moves up from one to the next.",
            next_step="window - stride documents are ranked for certain: set stride to "
            f"{settings.window // 2}",
        )
    if settings.method == "setwise" and settings.sort == "allpair":
        raise UsageError("sort=allpair is for method=pairwise.", next_step="set sort=heapsort")
    if settings.scoring == "likelihood" and (server or settings.method == "listwise"):
        raise UsageError(
            "scoring=likelihood reads the logits of labels, which "
            + ("a server does not give." if server else "method=listwise has none of."),
            next_step="leave scoring out",
        )
    if settings.scoring == "likelihood" and settings.reasoning_tokens:
        raise UsageError(
            "scoring=likelihood reads the first token of an answer, so there is no room for "
            "thoughts.",
            next_step="leave reasoning_tokens out",
        )
    if server and not (settings.model or "").strip():
        raise UsageError(
            "A server may have several models, and none is named.",
            next_step="--set model=NAME, as the server calls it",
        )
    if not server and settings.model:
        raise UsageError(
            "The setting 'model' names a model on a server, and the target is no URL.",
            next_step="leave model out, or give generative:http://HOST/v1",
        )
    if not server and settings.options:
        raise UsageError(
            "The setting 'options' is for a server, and the target is no URL.",
            next_step="leave options out, or give generative:http://HOST/v1",
        )
