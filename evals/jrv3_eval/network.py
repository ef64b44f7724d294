"""Whether the network may be asked, and a file from it: resumable, verified, all or nothing."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .errors import UnavailableError
from .hashing import digest_file
from .paths import share, storage_error
from .progress import Bar, download_bar

CHUNK = 1 << 20
TIMEOUT_SECONDS = 60
TRIES = 4
OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")


def offline() -> bool:
    """Whether HF_HUB_OFFLINE (or `--offline`, which sets it) forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")


def go_offline() -> None:
    """Forbid the network for this process; to be called before a hub library is imported."""
    for variable in OFFLINE_VARIABLES:
        os.environ[variable] = "1"


def download(
    url: str,
    target: Path,
    *,
    md5: str | None = None,
    sha256: str | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Fetch `url` to `target`; what an interrupted call left in `target`.part is continued.

    A part is continued only where the server says that the file is still the same (ETag), or
    where a digest shows it in the end. A busy or broken connection is tried again a few times.
    Raises UnavailableError on a failed download or a wrong digest, StorageError on a full disk.
    """
    if offline():
        raise UnavailableError(
            "The file is not in the cache, and HF_HUB_OFFLINE forbids the download.",
            where=url,
            next_step="run the same command once with internet access, or give --data-dir",
        )
    part = target.with_name(f"{target.name}.part")
    digest = ("md5", md5) if md5 else ("sha256", sha256) if sha256 else None
    with _locked(part) as stream:
        if target.is_file():  # another process was quicker
            return
        continued = part.stat().st_size > 0
        if not (digest and continued and _has(part, digest)):  # else killed before the renaming
            _fetch(url, part, stream, digest is not None, wait)
        if digest and continued and not _has(part, digest):  # the part was of another file
            os.truncate(part, 0)
            _fetch(url, part, stream, True, wait)
        if digest and not _has(part, digest):
            actual = digest_file(part, digest[0])
            _forget(part)
            raise UnavailableError(
                f"The file has {digest[0]} {actual}, but the card says {digest[1]}.",
                where=url,
                next_step="try again; if it stays so, the published file has changed",
            )
        share(part)
        part.replace(target)
        _note(part).unlink(missing_ok=True)


def _has(part: Path, digest: tuple[str, str]) -> bool:
    return digest_file(part, digest[0]) == digest[1]


@contextmanager
def _locked(part: Path) -> Iterator[IO[bytes]]:
    """The part, opened for appending, while no other process writes it."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with _open_locked(part) as stream:
            try:
                yield stream
            finally:
                if part.exists() and part.stat().st_size == 0:
                    part.unlink()
    except OSError as error:
        raise storage_error(error, part) from error


def _open_locked(part: Path) -> IO[bytes]:
    """Wait for the file; again where the process before has moved or deleted it meanwhile."""
    while True:
        stream = part.open("ab")
        fcntl.flock(stream, fcntl.LOCK_EX)
        try:
            if os.fstat(stream.fileno()).st_ino == part.stat().st_ino:
                return stream
        except FileNotFoundError:
            pass
        stream.close()


def _note(part: Path) -> Path:
    """Beside the part: the ETag that the server gave for it."""
    return part.with_name(f"{part.name}.json")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _fetch(
    url: str, part: Path, stream: IO[bytes], verified: bool, wait: Callable[[float], None]
) -> None:
    """Append to the part until it is whole."""
    for attempt in range(TRIES):
        try:
            with _request(url, part, verified) as response:
                _append(response, part, stream)
            return
        except (
            urllib.error.URLError,
            TimeoutError,
            ConnectionError,
            http.client.HTTPException,
        ) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code == 416:
                os.truncate(part, 0)  # the part is no beginning of this file
            elif not _worth_another_try(error) or attempt == TRIES - 1:
                raise UnavailableError(
                    f"The download failed: {error}.",
                    where=url,
                    next_step="try again (what is there is kept), or give a local copy with "
                    "--data-dir",
                ) from error
            wait(2.0**attempt)
    raise UnavailableError(f"The download failed {TRIES} times.", where=url, next_step="try later")


def _worth_another_try(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code in (408, 429) or error.code >= 500
    return not isinstance(getattr(error, "reason", None), ValueError)


@contextmanager
def _request(url: str, part: Path, verified: bool) -> Iterator[Any]:
    request = urllib.request.Request(url, headers={"User-Agent": "jrv3-eval"})
    have, etag = part.stat().st_size, _etag(part)
    if have and (verified or etag):
        request.add_header("Range", f"bytes={have}-")
        if etag:
            request.add_header("If-Range", etag)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.URLError:
        raise
    except OSError as error:  # no route, a broken handshake: the network's, not the disk's
        raise ConnectionError(str(error)) from error
    with response:
        yield response


def _etag(part: Path) -> str | None:
    try:
        etag = json.loads(_note(part).read_text(encoding="utf-8"))["etag"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return etag if isinstance(etag, str) else None


def _append(response: Any, part: Path, stream: IO[bytes]) -> None:
    continued = response.status == 206
    if not continued:
        os.truncate(part, 0)
        _note(part).unlink(missing_ok=True)  # it was of other bytes
        etag = response.headers.get("ETag", "")
        if etag and not etag.startswith("W/"):  # a weak one does not promise the same bytes
            _note(part).write_text(json.dumps({"etag": etag}), encoding="utf-8")
    have = part.stat().st_size
    length = response.headers.get("Content-Length")
    total = have + int(length) if length else 0
    name = part.name.removesuffix(".part")
    with download_bar(name, total) as bar:
        bar.reused(have)
        _copy(response, stream, bar)
    if total and part.stat().st_size != total:
        raise http.client.IncompleteRead(b"", total - part.stat().st_size)


def _copy(response: Any, stream: IO[bytes], bar: Bar) -> None:
    while chunk := _read(response):
        stream.write(chunk)
        stream.flush()
        bar.advance(len(chunk))


def _read(response: Any) -> bytes:
    try:
        content: bytes = response.read(CHUNK)
    except OSError as error:  # also of TLS, and of a route that is gone
        raise ConnectionError(str(error)) from error
    return content
