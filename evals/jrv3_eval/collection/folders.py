"""Cache folders: whole or not there; and ids that a run could hold."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from ..errors import DataError
from ..paths import share, storage_error
from ..trec import is_writable_id
from .raw import RawDataset

PREFIX = ".building."
ABANDONED_SECONDS = 86_400


def build_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a new folder, which then stands at `folder`; or nothing does.

    Another process may build the same at the same time; the first one's stays. Raises
    StorageError where the disk is full or not writable, and what `write` raises.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder.parent)
        work = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder.parent))
        try:
            write(work)
            share(work)
            try:
                work.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process built the same meanwhile
                    raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise storage_error(error, folder) from error


def _remove_abandoned(parent: Path) -> None:
    """What a killed process left, after a day in which nothing was written to it."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            last = max(path.stat().st_mtime for path in [folder, *folder.iterdir()])
        except OSError:  # its process has just ended well
            continue
        if time.time() - last > ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def check_ids(
    raw: RawDataset, kind: Literal["document", "query"], identifiers: Iterable[str]
) -> None:
    """Raise DataError now, and not after hours of scoring, when the run is written."""
    for identifier in identifiers:
        if not is_writable_id(identifier):
            raise DataError(
                f"The {kind} id {identifier!r} could not stand in a TREC run: it has a tab or a "
                "line break, or begins or ends with a space.",
                where=raw.locate(kind, identifier),
                next_step="rename it in the dataset",
            )
