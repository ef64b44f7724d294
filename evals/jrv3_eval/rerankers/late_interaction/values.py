"""Values of a checkpoint's JSON files, checked: what makes no sense is an error, not a score."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, TypeVar

from ...checkpoint import Checkpoint
from ...errors import CheckpointError

T = TypeVar("T")


def value(checkpoint: Checkpoint, file: str, stored: Mapping[str, Any], key: str, default: T) -> T:
    """A stored value of the default's type; the default where it is absent or null.

    Raises CheckpointError for a value of another type.
    """
    found = stored.get(key)
    if found is None:
        return default
    if type(found) is not type(default):
        raise senseless(checkpoint, file, key, found, f"of type {type(default).__name__}")
    checked: T = found
    return checked


def length(
    checkpoint: Checkpoint, file: str, stored: Mapping[str, Any], key: str, default: int
) -> int:
    """A stored number of tokens, as `value`. Raises CheckpointError also for less than 4."""
    found = value(checkpoint, file, stored, key, default)
    if found < 4:  # two special tokens, a marker, and one of the text
        raise senseless(checkpoint, file, key, found, "at least 4")
    return found


def senseless(
    checkpoint: Checkpoint, file: str, key: str, found: object, wanted: str
) -> CheckpointError:
    """The error for a value that a file of this kind should not have."""
    return CheckpointError(
        f"{key} of {checkpoint.name} should be {wanted}, and is {found!r}.",
        where=str(checkpoint.folder / file),
        next_step="copy or download the file again",
    )


def inside(folder: str, name: str) -> str:
    """Path of a file in a module's folder, "" for the root."""
    return (PurePosixPath(folder) / name).as_posix()
