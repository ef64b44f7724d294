"""Texts as a prompt shows them: repaired, and cut in words until the prompt fits."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...errors import MissingExtraError, UsageError
from .._pointwise import readable
from ..protocol import RankingRequest
from .prompts import Message, Prompt

LONGEST_WORD = 16  # characters; what a cut to N words keeps of a text without spaces is N times it
_FULL_WINDOW = 20  # passages for which passage_words is meant
_QUERY_SHARE = 4  # a query may take one part in four
_NUMBER = re.compile(r"\[(\d+)\]")
Tokens = Callable[[Sequence[Message], str], int]


@dataclass(frozen=True)
class Texts:
    """A request's texts, ready to be shown. documents: the words of each."""

    query: str
    documents: tuple[tuple[str, ...], ...]
    query_cut: bool


@dataclass(frozen=True)
class Fitted:
    """A prompt that fits. cut: the documents that it does not show in full."""

    messages: tuple[Message, ...]
    cut: frozenset[int]


def prepare(request: RankingRequest, prompt: Prompt, tokens: Tokens, room: int) -> Texts:
    """The texts of a request as its prompts show them; a query of more than room/4 is cut.

    Reference: castorini/rank_llm inference_handler.py. It repairs the query with the rendered
    chat; here the chat template is not touched. Raises MissingExtraError if the prompt asks for
    repair and ftfy is not installed.
    """
    documents = tuple(tuple(d.split()) for d in _repaired(request.documents, prompt, html=True))
    (query,) = _repaired([request.query], prompt, html=False)
    words = query.split()

    def fits(count: int) -> bool:
        shown = Message("user", cut_words(words, count))
        return tokens([shown], "") <= room // _QUERY_SHARE

    if tokens([Message("user", query)], "") <= room // _QUERY_SHARE:
        return Texts(query, documents, query_cut=False)
    longest = max(len(words), -(-len(query) // LONGEST_WORD))
    return Texts(cut_words(words, _most(fits, longest)), documents, query_cut=True)


def fit(
    prompt: Prompt,
    texts: Texts,
    shown: Sequence[int],
    passage_words: int,
    tokens: Tokens,
    room: int,
) -> Fitted:
    """The prompt with as many words a passage as fit, `passage_words` of them at most.

    That limit is for 20 passages of a list; fewer share the room of 20, as in RankLLM. Its loop
    takes words away until the prompt fits, and ends at the same number where a word has less than
    four tokens. Raises UsageError if not even one word of each fits.
    """
    limit = passage_words
    if prompt.method == "listwise":
        limit = passage_words * _FULL_WINDOW // len(shown)
    documents = [texts.documents[i] for i in shown]

    def ask(count: int) -> tuple[Message, ...]:
        return prompt.messages(texts.query, [cut_words(d, count) for d in documents])

    def fits(count: int) -> bool:
        return tokens(ask(count), prompt.prefill) <= room

    words = limit if fits(limit) else _most(fits, limit - 1)
    if words < 1:
        raise UsageError(
            f"A prompt with {len(shown)} passages does not fit into {room} tokens.",
            next_step="show fewer at once (window, or children), or raise max_length",
        )
    cut = {i for i, d in zip(shown, documents, strict=True) if cut_words(d, words) != " ".join(d)}
    return Fitted(ask(words), frozenset(cut))


def cut_words(words: Sequence[str], count: int) -> str:
    """The first `count` words. Of a text with few spaces (Japanese), as many characters as long
    words would have.
    """
    return " ".join(words[:count])[: count * LONGEST_WORD]


def _most(fits: Callable[[int], bool], most: int) -> int:
    """The largest number up to `most` that fits, 0 if none does. A smaller one fits better."""
    least = 0
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if fits(middle) else (least, middle - 1)
    return least


def _repaired(texts: Sequence[str], prompt: Prompt, *, html: bool) -> list[str]:
    """Texts that can be tokenised, repaired if the prompt says so. html: also of entities."""
    plain = [readable(text) for text in texts]
    if not prompt.repair:
        return plain
    try:
        from ftfy import fix_text
    except ImportError:
        raise MissingExtraError(f"The prompt {prompt.name}", "generative") from None
    fixed = (fix_text(text, unescape_html="auto" if html else False) for text in plain)
    return [_NUMBER.sub(r"(\1)", text) for text in fixed]
