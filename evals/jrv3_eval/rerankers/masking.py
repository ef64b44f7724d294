"""What a user wrote, without the secrets that may stand in it.

An error, a record and a run's header are shown to others: a key that was given in the wrong
place must not come back in them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

MASK = "***"
# Not `max_tokens` or `tokenizer`, whose values are no secrets.
_SECRET = re.compile(r"key|secret|passw|pwd|credential|auth|bearer|token(?!s|i[sz])", re.IGNORECASE)
# NAME=..., or "NAME": ... as in JSON.
_NAMED = re.compile(r"(?<![\w.-])([\w.-]+)(?:[\"']?\s*=|[\"']\s*:)\s*")
# OPENAI_API_KEY, but not AKIAIOSFODNN7EXAMPLE or SK_4EC39HQLYJ.
_VARIABLE = re.compile(r"[A-Z]{1,16}\d{0,2}(_[A-Z]{1,16}\d{0,2})+")


def is_secret(name: str) -> bool:
    """Whether the value of a setting or option of this name may be a secret."""
    return _SECRET.search(name) is not None


def masked(text: str) -> str:
    """The text with `***` for user names and queries of URLs, and for values of secret names.

    A name that ends in `key_env` keeps its value where that is the name of a variable.
    """
    text = re.sub(r"\S+", lambda found: _masked_urls(found[0]), text)
    for found in _NAMED.finditer(text):
        name, value = found[1], text[found.end() :]
        if value and is_secret(name) and not _names_variable(name, value):
            return f"{text[: found.end()]}{MASK}"
    return text


def masked_value(name: str, value: object) -> str:
    """`name=value` as an error may show it."""
    if is_secret(name) and not _names_variable(name, str(value)):
        return f"{name}={MASK}"
    return f"{name}={masked(str(value))}"


def masked_words(words: Iterable[str]) -> list[str]:
    """The words of a command line; after an option such as `--api-key` the next one is masked."""
    shown: list[str] = []
    hidden = False
    for word in words:
        shown.append(MASK if hidden and not word.startswith("--") else masked(word))
        hidden = word.startswith("-") and "=" not in word and is_secret(word)
    return shown


def _masked_urls(word: str) -> str:
    """A word without the user name, query and fragment of each URL in it."""
    before, *urls = word.split("://")
    shown = [before]
    for url in urls:
        authority = re.split("[/?#]", url, maxsplit=1)[0]
        # A password may hold a slash that should have been escaped; then its end is not known.
        user = url.rpartition("@")[0] if ":" in authority else authority.rpartition("@")[0]
        kept = f"{MASK}{url.removeprefix(user)}" if user else url
        shown.append(re.sub("([?#]).+", rf"\1{MASK}", kept, flags=re.DOTALL))
    return "://".join(shown)


def _names_variable(name: str, value: str) -> bool:
    """Whether the value says where a secret is, and is none itself. Empty: there is none."""
    if not name.lower().endswith("key_env"):
        return False
    known = value.isascii() and value in os.environ
    return not value or known or _VARIABLE.fullmatch(value) is not None
