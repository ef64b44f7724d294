"""Prompts as data: those beside a family's modules, and a user's own file of the same form."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ..errors import UsageError

M = TypeVar("M", bound=BaseModel)


def is_data_file(name: str) -> bool:
    """Whether a name is that of a YAML file."""
    return name.endswith((".yaml", ".yml"))


def read_shipped(package: str, form: type[M], what: str) -> list[M]:
    """Every YAML file of a package, in order of the file names."""
    found = {p.name: p for p in files(package).iterdir() if is_data_file(p.name)}
    return [_parse(found[n].read_text(encoding="utf-8"), form, what, n) for n in sorted(found)]


def read_own(path: str, form: type[M], what: str) -> M:
    """A user's file. what: template or prompt, for messages.

    Raises UsageError where it cannot be read, is not YAML or does not have the form.
    """
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The {what} cannot be read: {error}.", where=path) from error
    return _parse(text, form, what, path)


def _parse(text: str, form: type[M], what: str, where: str) -> M:
    try:
        return form.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise UsageError(f"The {what} is not YAML: {error}", where=where) from error
    except ValidationError as error:
        found = [(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
        raise UsageError(
            f"The {what} is not valid: " + "; ".join(f"{k}: {m}" if k else m for k, m in found),
            where=where,
            next_step="docs/backends.md shows one",
        ) from error
