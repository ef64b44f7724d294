"""Where things are on disk: the cache, and the data that ships with the package."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import StorageError

CACHE_VARIABLE = "JRV3_EVAL_CACHE"


def cache_root() -> Path:
    """The cache folder: $JRV3_EVAL_CACHE, or the platform's cache folder. Not created here."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("jrv3-eval")


def shipped(room: str) -> Path:
    """Folder of shipped data (`tasks` or `published`).

    A wheel carries it inside the package; an editable install reads the repository's own.
    """
    inside = Path(__file__).parent / "data" / room
    if inside.is_dir():
        return inside
    repository = Path(__file__).parents[2]
    return repository / ("results/published" if room == "published" else room)


def storage_error(error: OSError, path: Path) -> StorageError:
    """The StorageError that tells a user what an OSError while writing `path` means."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what, step = "The disk is full.", "free some space, then run the same command to continue"
    else:
        reason = error.strerror or str(error)
        what, step = f"Cannot write: {reason}.", "check that the folder exists and is writable"
    return StorageError(what, where=str(path), next_step=step)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, else it is removed.

    Raises StorageError where the folder is not writable or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise storage_error(error, path) from error
    temporary = Path(name)
    try:
        yield temporary
        share(temporary)
        temporary.replace(path)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def share(path: Path) -> None:
    """Give a temporary file or folder the permissions that the user's umask allows."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)


def check_writable(folder: Path) -> None:
    """Raise StorageError now, before hours of work, if results could not be written there."""
    with atomic_path(folder / ".writable"):
        pass
    (folder / ".writable").unlink(missing_ok=True)
