"""Taking a key out of what a server says."""

from __future__ import annotations

import base64
import html
import json
import string
from collections.abc import Sequence
from urllib.parse import quote, quote_plus

REDACTED = "[key]"
_SHORTEST = 6  # characters of a key in a row that give it away
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def redact(text: str, key: str | None) -> str:
    """The text without the key: whole or in part, in either case, plain, escaped or encoded.

    Every run of 6 characters that stands in the key (or of all, for a shorter key) is taken out,
    also one with spaces, line breaks or control characters in between (as in UTF-16). A word of
    the message that happens to stand in the key goes with it.
    """
    if not key:
        return text
    windows = _windows(key)
    text = _without(text, range(len(text)), windows)
    return _without(text, [i for i, c in enumerate(text) if not _is_gap(c)], windows)


def one_line(text: str, limit: int) -> str:
    """The text on one line, without control characters, cut to `limit` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else f"{line[: limit - 4]} ..."


def _windows(key: str) -> frozenset[str]:
    """Runs of lower-case characters that give the key away, all of one length."""
    escaped = (quote(key, safe=""), quote_plus(key), html.escape(key), json.dumps(key)[1:-1])
    encoded = base64.b64encode(key.encode()).decode()
    forms = {form.translate(_LOWER) for form in (key, *escaped, encoded)}
    width = min(_SHORTEST, len(key))
    return frozenset(form[i : i + width] for form in forms for i in range(len(form) - width + 1))


def _without(text: str, places: Sequence[int], windows: frozenset[str]) -> str:
    """The text without the windows that its characters at these places spell."""
    spelt = "".join(text[i] for i in places).translate(_LOWER)
    width = len(next(iter(windows)))
    kept = []
    end = after = 0  # of the last run that was taken out: among the places, in the text
    for n, i in enumerate(places):
        if spelt[n : n + width] in windows:
            if n >= end:
                kept += [text[after:i], REDACTED]
            end = n + width
            after = places[end - 1] + 1
    return "".join([*kept, text[after:]])


def _is_gap(character: str) -> bool:
    """Whether it may stand between the characters of a key that is encoded in another way."""
    return character.isspace() or not character.isprintable() or character == "\ufffd"
