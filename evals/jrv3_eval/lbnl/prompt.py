"""The prompt of jina-reranker-v3, as text.

Every literal is the released code's (reference: reranker-models.md, section 1.4), which differs
from the paper's template in its system text, its marker names and its ids from 0.
"""

from __future__ import annotations

from collections.abc import Sequence

DOCUMENT_MARKER = "<|embed_token|>"
QUERY_MARKER = "<|rerank_token|>"
MARKERS = (DOCUMENT_MARKER, QUERY_MARKER)
SPECIAL_TOKENS = ("<|score_token|>", *MARKERS)  # what the release adds to Qwen3's tokenizer

_PREFIX = (
    "<|im_start|>system\n"
    "You are a search relevance expert who can determine a ranking of the passages based on how "
    "relevant they are to the query. If the query is a question, how relevant a passage is "
    "depends on how well it answers the question. If not, try to analyze the intent of the query "
    "and assess how well each passage satisfies the intent. If an instruction is provided, you "
    "should follow the instruction when determining the ranking."
    "<|im_end|>\n<|im_start|>user\n"
)
_SUFFIX = "\n</query><|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


def sanitise(text: str) -> str:
    """The text without marker strings, also those that a removal brings together.

    The released code removes once; a text that hides a marker inside another (so that one is
    left) breaks it. For all other texts the two agree.
    """
    while any(marker in text for marker in MARKERS):
        for marker in MARKERS:
            text = text.replace(marker, "")
    return text


def head(count: int, query: str, instruction: str | None) -> str:
    """All before the first passage of a block of `count` documents."""
    asked = (
        f"I will provide you with {count} passages, each indicated by a numerical identifier. "
        f"Rank the passages based on their relevance to query: {query}\n"
    )
    instruct = f"<instruct>\n{instruction}\n</instruct>\n" if instruction else ""
    return _PREFIX + asked + instruct


def opening(index: int) -> str:
    """What stands before the text of passage `index`."""
    return f'<passage id="{index}">\n'


CLOSING = "\n</passage>\n"  # between a document's marker and what follows it


def tail(query: str) -> str:
    """All from the last document's marker to the query's own marker, both left out."""
    return f"{CLOSING}<query>\n{query}"


def prompt(query: str, documents: Sequence[str], instruction: str | None = None) -> str:
    """The whole prompt of one block, sanitised, ids from 0.

    What follows the query marker cannot change a score, as attention is causal.
    """
    query, clean = sanitise(query), [sanitise(text) for text in documents]
    passages = CLOSING.join(f"{opening(i)}{d}{DOCUMENT_MARKER}" for i, d in enumerate(clean))
    instruction = sanitise(instruction) if instruction else None
    before = head(len(clean), query, instruction)
    return f"{before}{passages}{tail(query)}{QUERY_MARKER}{_SUFFIX}"
