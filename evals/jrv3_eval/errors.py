"""Every error that a user can meet.

Jrv3EvalError
 +- UsageError          the command line names something that is not there
 |   +- MissingExtraError   a feature needs an optional dependency
 +- DataError           a dataset, run or candidate file is not what it should be
 |   +- CardError           a task card is not valid
 |   +- UnavailableError    a source cannot be reached or fails its checksum; another may do
 +- CheckpointError     a model cannot be loaded, or must not be
 |   +- RemoteCodeError     it needs code that the checkpoint carries, which is never run
 +- ScoreError          a reranker broke its contract (wrong length, NaN)
 +- StorageError        something could not be written or is locked

An error says what is wrong, where, and what to do next. The command line prints it
without a traceback and exits with 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Jrv3EvalError(Exception):
    """Base of all errors shown to the user.

    what: one sentence. where: file, line or id. next_step: what the user can do.
    """

    def __init__(
        self, what: str, *, where: str | None = None, next_step: str | None = None
    ) -> None:
        self.what = what
        self.where = where
        self.next_step = next_step
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.next_step:
            lines.append(f"  next:  {self.next_step}")
        return "\n".join(lines)


class UsageError(Jrv3EvalError):
    """The user named something that does not exist or does not fit."""


class MissingExtraError(UsageError):
    """An optional dependency is not installed; the message names the extra."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs an optional dependency that is not installed.",
            next_step=f"pip install 'jrv3-eval[{extra}]'",
        )


class DataError(Jrv3EvalError):
    """A dataset, judgement, run or candidate file is not what it should be."""


class CardError(DataError):
    """A task card is not valid YAML or does not follow the schema."""


class UnavailableError(DataError):
    """A source of a dataset cannot be reached, or is not the file that the card means."""


class CheckpointError(Jrv3EvalError):
    """A model checkpoint cannot be loaded, or must not be (pickles, remote code)."""


class RemoteCodeError(CheckpointError):
    """A model checkpoint asks for code that it carries, which is never run here."""


class ScoreError(Jrv3EvalError):
    """A reranker returned scores that break its contract."""


class StorageError(Jrv3EvalError):
    """A file could not be written, or another process holds it."""


def unknown(kind: str, name: str, known: Iterable[str], *, where: str | None = None) -> UsageError:
    """A UsageError for a name that is not known, with the closest known names."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(c) for c in close)}? " if close else ""
    return UsageError(
        f"Unknown {kind} {name!r}.",
        where=where,
        next_step=f"{hint}known: {', '.join(names) if names else 'none'}",
    )
