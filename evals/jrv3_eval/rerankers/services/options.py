"""Further fields of a call, as a user gives them in one setting: a JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ...errors import UsageError

# Of field names as lower-case letters and digits. They would stand in every record.
_SECRETS = frozenset({"auth", "bearer", "credential", "credentials", "key", "passwd", "token"})
_SECRET_ENDS = (
    "accesskey",
    "accesstoken",
    "apikey",
    "apitoken",
    "authkey",
    "authorization",
    "authtoken",
    "bearertoken",
    "password",
    "secret",
    "secretkey",
)


def read_options(text: str, reserved: frozenset[str]) -> str:
    """The same object in one spelling, so that equal options have equal fingerprints.

    Empty for no options. reserved: fields that they may not set. Raises UsageError, without
    showing the text, for what is no JSON object of finite numbers, and for a field that looks
    like a secret at any depth.
    """
    if not text.strip():
        return ""
    try:
        value: Any = json.loads(text, parse_constant=_refuse)
        spelt = json.dumps(value, sort_keys=True, allow_nan=False)  # 1e999 is read as infinite
        secrets = [name for name in _names(value) if _is_secret(name)]
    except (ValueError, RecursionError):
        raise _bad("it is no JSON", 'for example --set options=\'{"user": "me"}\'') from None
    if not isinstance(value, dict):
        raise _bad("it is no JSON object", 'for example --set options=\'{"user": "me"}\'')
    if taken := reserved & value.keys():
        raise _bad(f"it may not set {', '.join(sorted(taken))}", "leave that out")
    if secrets:
        raise _bad(
            f"it may not set {secrets[0]}, since options are part of every record",
            "export MY_KEY=..., and give the variable's name: --set key_env=MY_KEY",
        )
    return spelt if value else ""


def _bad(why: str, next_step: str) -> UsageError:
    return UsageError(f"Bad value for the setting 'options': {why}.", next_step=next_step)


def _names(value: Any) -> Iterator[str]:
    """The names of all fields, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)


def _is_secret(name: str) -> bool:
    plain = "".join(c for c in name.lower() if c.isalnum())
    return plain in _SECRETS or plain.endswith(_SECRET_ENDS)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
