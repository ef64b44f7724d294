"""Terms of source code."""

from __future__ import annotations

import re

CODE_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")


def split_identifiers(text: str) -> list[str]:
    """`parseHTTPHeader_v2` -> parse, http, header, v, 2; one-letter words are kept."""
    return [word.lower() for word in CODE_WORD.findall(text)]
