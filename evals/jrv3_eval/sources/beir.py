"""Official BEIR zips: download, checksum, safe extraction, then the folder source."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import urllib.error
import urllib.request
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ..cards import BeirSource
from ..collection import RawDataset
from ..errors import DataError
from ..hashing import digest_file
from ..paths import atomic_path, storage_error
from ..progress import download_bar
from .folder import open_folder

CHUNK = 1 << 20
TIMEOUT_SECONDS = 60


def open_beir(source: BeirSource, split: str, cache: Path) -> RawDataset:
    """The dataset in an official zip, downloaded once into the cache.

    Raises DataError on a failed download, a wrong checksum or a zip that would write
    outside its folder.
    """
    home = cache / "downloads" / source.md5
    folder = home / "extracted"
    if not folder.is_dir():
        archive = home / PurePosixPath(source.url).name
        if not (archive.is_file() and digest_file(archive, "md5") == source.md5):
            _download(source, archive)
        _extract(archive, folder)
    inner = [path.parent for path in sorted(folder.rglob("queries.jsonl*"))]
    if not inner:
        raise DataError(
            "The zip holds no queries.jsonl.", where=source.url, next_step="check the card's url"
        )
    raw = open_folder(inner[0], split)
    identity = {"kind": "beir", "md5": source.md5}
    return replace(raw, identity=identity, revision=f"md5:{source.md5}")


def _download(source: BeirSource, archive: Path) -> None:
    offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")
    if offline:
        raise DataError(
            "The dataset is not in the cache, and HF_HUB_OFFLINE forbids the download.",
            where=source.url,
            next_step="run the same command once with internet access, or give --data-dir",
        )
    with atomic_path(archive) as temporary:
        try:
            with urllib.request.urlopen(source.url, timeout=TIMEOUT_SECONDS) as response:
                total = int(response.headers.get("Content-Length") or 0)
                with download_bar(archive.name, total) as bar, temporary.open("wb") as out:
                    while chunk := response.read(CHUNK):
                        out.write(chunk)
                        bar.advance(len(chunk))
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            raise DataError(
                f"The download failed: {error}.",
                where=source.url,
                next_step="try again, or give a local copy with --data-dir",
            ) from error
        actual = digest_file(temporary, "md5")
        if actual != source.md5:
            raise DataError(
                f"The zip has md5 {actual}, but the card says {source.md5}.",
                where=source.url,
                next_step="try again; if it stays so, the published file has changed",
            )


def _extract(archive: Path, folder: Path) -> None:
    """Extract into `folder`, all or nothing; another run may do the same at the same time."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".extracting.", dir=folder.parent))
    except OSError as error:
        raise storage_error(error, folder) from error
    content = work / "content"  # mkdtemp's own folder is closed to others
    try:
        content.mkdir()
        with zipfile.ZipFile(archive) as zipped:
            for member in zipped.infolist():
                _refuse_escape(member, archive)
            zipped.extractall(content)
        content.rename(folder)
    except zipfile.BadZipFile as error:
        raise DataError(
            f"The file is not a zip: {error}.", where=str(archive), next_step="delete it, run again"
        ) from error
    except OSError as error:
        if not folder.is_dir():  # else the other run was first, and its files are as good
            raise storage_error(error, folder) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _refuse_escape(member: zipfile.ZipInfo, archive: Path) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    link = stat.S_ISLNK(member.external_attr >> 16)
    drive = bool(path.parts) and ":" in path.parts[0]
    if path.is_absolute() or ".." in path.parts or link or drive:
        raise DataError(
            f"The zip would write outside its folder: {member.filename!r}.",
            where=str(archive),
            next_step="do not use this file; fetch it from its official address",
        )
