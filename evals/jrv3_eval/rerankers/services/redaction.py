"""Taking a key out of what a server says."""

from __future__ import annotations

import base64
import html
import json
import string
from urllib.parse import quote, quote_plus

REDACTED = "[key]"
_SHORTEST = 6  # characters of a key in a row that give it away
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def redact(text: str, key: str | None) -> str:
    """The text without the key: whole or in part, in either case, plain, escaped or encoded.

    Every run of 6 characters that stands in the key (or of all, for a shorter key) is taken out.
    A word of the message that happens to stand in the key goes with it.
    """
    if not key:
        return text
    escaped = (quote(key, safe=""), quote_plus(key), html.escape(key), json.dumps(key)[1:-1])
    encoded = base64.b64encode(key.encode()).decode()
    forms = {form.translate(_LOWER) for form in (key, *escaped, encoded)}
    width = min(_SHORTEST, len(key))
    windows = {form[i : i + width] for form in forms for i in range(len(form) - width + 1)}
    lowered = text.translate(_LOWER)
    kept = []
    end = 0  # of the last run that was taken out
    for i, character in enumerate(text):
        if lowered[i : i + width] in windows:
            if i >= end:
                kept.append(REDACTED)
            end = i + width
        if i >= end:
            kept.append(character)
    return "".join(kept)


def one_line(text: str, limit: int) -> str:
    """The text on one line, without control characters, cut to `limit` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else f"{line[: limit - 4]} ..."
