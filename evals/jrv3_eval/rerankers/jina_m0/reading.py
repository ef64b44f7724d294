"""The prompt of jina-reranker-m0 and what is cut of it.

Reference: the released modeling.py, formatting_prompts_func and compute_score; vLLM's jina_vl.py
(reranker-models.md, section 5.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._pointwise import Cut, Inputs, Pairs, distinct_pairs, usage_of
from ..protocol import RankingRequest

SCORE_TOKEN = 100  # appended to every prompt; its hidden state is scored


@dataclass(frozen=True)
class Limits:
    """Token limits: of a prompt with its score token, and of a document in it."""

    prompt: int
    document: int


def prompt(query: str, document: str) -> str:
    """The text that the model reads; the document comes first."""
    return f"**Document**:\n{document}\n**Query**:\n{query}"


def read_prompts(tokenizer: Any, requests: Sequence[RankingRequest], limits: Limits) -> Pairs:
    """Tokenise the prompt of every distinct document of each request.

    As released, a document of at least `limits.document` tokens is cut, decoded and read again
    as text; then the whole prompt is cut at its end, which is the query's. The query has no
    limit of its own.
    """
    pairs = distinct_pairs(requests)
    inputs: list[Inputs] = []
    cuts: list[Cut] = []
    if pairs.documents:
        documents, cut = cut_documents(tokenizer, pairs.documents, limits.document)
        texts = [prompt(q, d) for q, d in zip(pairs.queries, documents, strict=True)]
        room = limits.prompt - 1
        for ids, document_cut in zip(_ids(tokenizer, texts), cut, strict=True):
            inputs.append({"input_ids": [*_cut(tokenizer, ids, room), SCORE_TOKEN]})
            cuts.append(Cut(query=len(ids) > room, document=document_cut))
    tokens = [len(pair["input_ids"]) for pair in inputs]
    return Pairs(inputs, pairs.places, usage_of(pairs.places, tokens, cuts))


def cut_documents(
    tokenizer: Any, documents: Sequence[str], length: int
) -> tuple[list[str], list[bool]]:
    """The documents with at most `length` tokens each, and which of them lost any."""
    texts: list[str] = []
    cut: list[bool] = []
    for text, ids in zip(documents, _ids(tokenizer, documents), strict=True):
        long = len(ids) >= length  # one of just this length is decoded too, as released
        texts.append(tokenizer.decode(_cut(tokenizer, ids, length)) if long else text)
        cut.append(len(ids) > length)
    return texts, cut


def _ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    ids: list[list[int]] = tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
    return ids


def _cut(tokenizer: Any, ids: list[int], length: int) -> list[int]:
    return ids[-length:] if tokenizer.truncation_side == "left" else ids[:length]
