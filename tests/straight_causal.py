"""The references' own ways to write a prompt, one pair at a time, and to score it.

Written from their descriptions with nothing of the package: QwenLM/Qwen3-Embedding@f4ad0c43
(README), mixedbread-ai/mxbai-rerank@8e709dca, FlagOpen/FlagEmbedding@7ed43d67.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

QWEN3_PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
)
QWEN3_SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
QWEN3_README = "Given a web search query, retrieve relevant passages that answer the query"
QWEN3_MTEB = "Given the user query, retrieval the relevant passages"
MXBAI_PREFIX = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    "<|im_end|>\n<|im_start|>user\n"
)
MXBAI_TASK = (
    "You are a search relevance expert who evaluates how well documents match search queries. For "
    "each query-document pair, carefully analyze the semantic relationship between them, then "
    "provide your binary relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
)
MXBAI_SUFFIX = "<|im_end|>\n<|im_start|>assistant\n"
BGE_PROMPT = (
    "Given a query A and a passage B, determine whether the passage contains an answer to the "
    "query by providing a prediction of either 'Yes' or 'No'."
)


def tokens(tokenizer: Any, text: str, limit: int | None = None) -> list[int]:
    ids: list[int] = tokenizer(
        text, add_special_tokens=False, truncation=limit is not None, max_length=limit
    )["input_ids"]
    return ids


def qwen3(
    tokenizer: Any, query: str, document: str, *, instruction: str = QWEN3_README, limit: int = 8192
) -> list[int]:
    prefix, suffix = tokens(tokenizer, QWEN3_PREFIX), tokens(tokenizer, QWEN3_SUFFIX)
    content = f"<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}"
    return prefix + tokens(tokenizer, content, limit - len(prefix) - len(suffix)) + suffix


def mxbai(
    tokenizer: Any,
    query: str,
    document: str,
    *,
    instruction: str | None = None,
    limit: int = 8192,
    positions: int = 32_768,
) -> list[int]:
    fixed = [tokens(tokenizer, t) for t in (MXBAI_PREFIX, "\n", MXBAI_TASK, MXBAI_SUFFIX)]
    prefix, sep, task, suffix = fixed
    limit = min(limit, positions - sum(map(len, fixed)))
    asked = f"query: {query}"
    if instruction:
        asked = f"instruction: {instruction}" + "\n" + asked
    first = tokens(tokenizer, asked, limit * 3 // 4)
    room = min(positions - len(first) - sum(map(len, fixed)), limit)
    second = sep + tokens(tokenizer, f"document: {document}", room)
    second = second[: limit - len(first)]  # truncation="only_second"
    return prefix + first + second + sep + task + suffix


def bge_gemma(tokenizer: Any, query: str, document: str, *, limit: int = 512) -> list[int]:
    sep, prompt = tokens(tokenizer, "\n"), tokens(tokenizer, BGE_PROMPT)
    first = tokens(tokenizer, f"A: {query}", limit * 3 // 4)
    if tokenizer.bos_token_id not in (None, tokenizer.pad_token_id):
        first = [tokenizer.bos_token_id, *first]
    second = sep + tokens(tokenizer, f"B: {document}", limit)
    second = second[: limit + len(sep) + len(prompt) - len(first)]
    return first + second + sep + prompt


def scores(
    model: Any, prompts: Sequence[Sequence[int]], relevant: int, irrelevant: int | None
) -> NDArray[np.float32]:
    """Padded on the left, all logits of all positions; float32 [len(prompts)]."""
    import torch

    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + list(p) for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    with torch.inference_mode():
        # Generation code counts positions from the first real token.
        places = (mask.cumsum(1) - 1).clamp(min=0)
        logits = model(input_ids=ids, attention_mask=mask, position_ids=places).logits[:, -1]
    value = logits[:, relevant].float()
    if irrelevant is not None:
        value = value - logits[:, irrelevant].float()
    found: NDArray[np.float32] = value.numpy()
    return found
