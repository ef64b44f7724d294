"""Passages as the MKQA evaluation writes them before it looks for answers.

Source: FlagEmbedding's C_MTEB/MKQA (utils/normalize_text.py, after ChemDataExtractor), which lowers
the passages' letters and writes their dashes, quotes, primes and slashes as plain ones. Answers
are left as they are.
"""

from __future__ import annotations

from functools import cache

_GONE = (*range(1, 9), 14, 15, *range(17, 28), 0xAD)  # controls, and the soft hyphen
_PLAIN = {
    " ": "\u000b\u000c\u0085",
    "-": "\u2010\u2011\u2043\u2012\u2013\u2014\u2015\u2212\uff0d\u207b",
    '"': "\u201c\u201d\u201e\u201f",
    "'": "\u2019\u055a\ua78b\ua78c\uff07\u2018\u201a\u201b\u0060\u00b4\u2032\u2035",
    "''": "\u2033\u2036",
    "'''": "\u2034\u2037",
    "''''": "\u2057",
    "...": "\u2026",
    "/": "\u2044\u2215",
}


@cache
def _table() -> dict[int, str | None]:
    plain: dict[int, str | None] = {
        ord(sign): written for written, signs in _PLAIN.items() for sign in signs
    }
    return {**plain, **dict.fromkeys(_GONE)}


def with_plain_signs(passage: str) -> str:
    """The passage in small letters, with plain signs."""
    return passage.lower().translate(_table())
