"""Does a passage contain an answer? As DPR asks it.

Source: `has_answer` with DrQA's SimpleTokenizer (Karpukhin et al. 2020, arXiv 2004.04906), which
the MKQA evaluations of Contriever and FlagEmbedding use too: text and answer are decomposed
(NFD), cut into runs of letters, digits and marks and into single other signs, lower-cased; the
answer's tokens must stand in a row among the passage's.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Any

SEPARATOR = "\0"  # a control character, which is in no token


@cache
def _token_pattern() -> Any:
    import regex

    return regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")


def normalized(text: str) -> str:
    """The tokens of a text between separators; the separator alone where there is none."""
    tokens = _token_pattern().findall(unicodedata.normalize("NFD", text))
    joined = SEPARATOR.join(token.lower() for token in tokens)
    return f"{SEPARATOR}{joined}{SEPARATOR}" if tokens else SEPARATOR


class AnswerMatcher:
    """The answers of one question, ready to be looked for.

    An answer without a token (an empty text, a space) is left out: the reference would find it
    in every passage. A question that has no other answer is never a hit.
    """

    def __init__(self, answers: Iterable[str]) -> None:
        found = dict.fromkeys(map(normalized, answers))
        self._answers = [answer for answer in found if answer != SEPARATOR]

    def in_normalized(self, passage: str) -> bool:
        """Whether a passage that went through `normalized` holds one of the answers."""
        return any(answer in passage for answer in self._answers)

    def matches(self, passage: str) -> bool:
        """Whether a passage holds one of the answers."""
        return self.in_normalized(normalized(passage))
