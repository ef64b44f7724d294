"""DPR's answer matching, written from its description alone: what `relevance` must agree with.

Karpukhin et al. 2020, `has_answer` with DrQA's SimpleTokenizer; token lists are compared one
window after the other, as the reference does.
"""

from __future__ import annotations

import unicodedata

import regex

_PATTERN = regex.compile(
    r"([\p{L}\p{N}\p{M}]+)|([^\p{Z}\p{C}])",
    flags=regex.IGNORECASE | regex.UNICODE | regex.MULTILINE,
)


def words(text: str) -> list[str]:
    """Lower-cased tokens of the decomposed text."""
    decomposed = unicodedata.normalize("NFD", text)
    return [match.group().lower() for match in _PATTERN.finditer(decomposed)]


def plain(passage: str) -> str:
    """FlagEmbedding's preparation of a passage, replacement by replacement."""
    text = passage.lower()
    for code in (*range(1, 9), 14, 15, *range(17, 28), 0xAD):
        text = text.replace(chr(code), "")
    for signs, written in (
        ("\x0b\x0c\x85", " "), ("‐‑⁃‒–—―−－⁻", "-"), ("“”„‟", '"'), ("’՚Ꞌꞌ＇‘‚‛`´′‵", "'"),
        ("″‶", "'" * 2), ("‴‷", "'" * 3), ("⁗", "'" * 4), ("…", "..."), ("⁄∕", "/"),
    ):  # fmt: skip
        for sign in signs:
            text = text.replace(sign, written)
    return text


def has_answer(answers: list[str], text: str) -> bool:
    """Whether the tokens of one of the answers stand in a row in the text."""
    passage = words(text)
    for answer in answers:
        wanted = words(answer)
        for start in range(len(passage) - len(wanted) + 1):
            if wanted == passage[start : start + len(wanted)]:
                return True
    return False
