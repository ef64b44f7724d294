"""Official BEIR zips: download, checksum, safe extraction, then the folder source."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from functools import cache as once
from pathlib import Path, PurePosixPath

from ..cards import BeirSource
from ..collection import RawDataset
from ..errors import DataError
from ..hashing import digest_file
from ..network import download
from ..paths import storage_error
from .folder import open_folder


def open_beir(source: BeirSource, split: str, cache: Path) -> RawDataset:
    """The dataset in an official zip, downloaded into the cache when it is first read.

    Reading it raises UnavailableError on a failed download or a wrong checksum, DataError on
    a zip that would write outside its folder or holds no dataset.
    """

    @once
    def folder() -> RawDataset:
        return open_folder(_dataset_folder(source, cache), split)

    identity = {"kind": "beir", "md5": source.md5}
    inside = {"inside": source.inside} if source.inside else {}
    return RawDataset(
        identity=identity | inside,
        revision=f"md5:{source.md5}",
        documents=lambda: folder().documents(),
        queries=lambda: folder().queries(),
        judgements=lambda: folder().judgements(),
        locate=lambda kind, identifier: folder().locate(kind, identifier),
        corpus_identity=identity | inside,
    )


def _dataset_folder(source: BeirSource, cache: Path) -> Path:
    home = cache / "downloads" / source.md5
    extracted = home / "extracted"
    if not extracted.is_dir():
        archive = home / PurePosixPath(source.url).name
        if archive.is_file() and digest_file(archive, "md5") != source.md5:
            archive.unlink()  # damaged since it was fetched
        if not archive.is_file():
            download(source.url, archive, md5=source.md5)
        _extract(archive, extracted)
    if source.inside is not None:
        inside = extracted / source.inside
        if not inside.is_dir():
            raise DataError(
                f"The zip has no folder {source.inside}.",
                where=source.url,
                next_step="check the card's `inside`",
            )
        return inside
    inner = [path.parent for path in sorted(extracted.rglob("queries.jsonl*"))]
    if len(inner) != 1:
        raise DataError(
            f"The zip holds {len(inner)} files queries.jsonl, not one.",
            where=source.url,
            next_step="check the card's url, or let it say which folder with `inside`",
        )
    return inner[0]


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
