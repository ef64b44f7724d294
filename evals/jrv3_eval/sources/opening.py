"""From a card's source to its raw dataset."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from ..cards import (
    BeirSource,
    FolderSource,
    HubSource,
    IrdsSource,
    MkqaSource,
    PySource,
    Source,
)
from ..collection import RawDataset
from ..errors import DataError, UnavailableError
from ..hashing import digest_file
from ..network import download
from .beir import open_beir
from .folder import open_folder
from .hub import open_hub
from .irds import open_irds
from .mkqa import open_mkqa
from .pysource import open_pysource

MKQA_FILE = "mkqa.jsonl.gz"
GZIP_MAGIC = b"\x1f\x8b"
MKQA_CORPUS = ("nq", "beir-nq")


def open_source(
    source: Source, split: str, base: Path, cache: Path, data_dir: Path | None
) -> RawDataset:
    """The raw dataset of a source. base: the card's folder, to which paths are relative."""
    match source:
        case FolderSource():
            return open_folder((base / source.path).resolve(), split)
        case BeirSource():
            return open_beir(source, split, cache)
        case HubSource():
            return open_hub(source, split)
        case IrdsSource():
            return open_irds(source)
        case PySource():
            return open_pysource(source)
        case MkqaSource():
            corpus = _mkqa_corpus(source, base, cache, data_dir)
            file = _mkqa_questions(source, base, cache, data_dir)
            return open_mkqa(source, file, digest_file(file), corpus)


def _mkqa_corpus(source: MkqaSource, base: Path, cache: Path, data_dir: Path | None) -> RawDataset:
    """The passages: a local copy of the corpus under `data_dir`, else the source's own."""
    for folder in [data_dir / name for name in MKQA_CORPUS] if data_dir else []:
        if folder.is_dir():
            return open_folder(folder, "test")
    return open_source(source.corpus, "test", base, cache, None)


def _mkqa_questions(source: MkqaSource, base: Path, cache: Path, data_dir: Path | None) -> Path:
    """The file of questions: under `data_dir`, beside the card, or fetched into the cache."""
    if data_dir and (data_dir / MKQA_FILE).is_file():
        return _verified(data_dir / MKQA_FILE, source)
    if "://" not in source.url:
        file = (base / source.url).resolve()
        if not file.is_file():
            raise DataError(
                "The file of questions does not exist.",
                where=str(file),
                next_step="correct the card's url, which is relative to the card",
            )
        return _verified(file, source)
    key = hashlib.sha256(source.url.encode()).hexdigest()[:16]
    file = cache / "downloads" / key / PurePosixPath(source.url).name
    if file.is_file() and not _is_what_was_meant(file, source):
        file.unlink()  # damaged since it was fetched
    if not file.is_file():
        download(source.url, file, sha256=source.sha256)
        if not _is_what_was_meant(file, source):
            file.unlink()
            raise UnavailableError(
                "The address gave something else than a gzip file.",
                where=source.url,
                next_step=f"try later, or put the file at DIR/{MKQA_FILE} and give --data-dir DIR",
            )
    return file


def _is_what_was_meant(file: Path, source: MkqaSource) -> bool:
    """By the digest if there is one; else a .gz is gzip, and no page that excuses itself."""
    if source.sha256:
        return digest_file(file) == source.sha256
    with file.open("rb") as stream:
        return not source.url.endswith(".gz") or stream.read(2) == GZIP_MAGIC


def _verified(file: Path, source: MkqaSource) -> Path:
    if source.sha256 and digest_file(file) != source.sha256:
        raise UnavailableError(
            "The file of questions does not have the sha256 that the card says.",
            where=str(file),
            next_step="fetch it again, or correct the card",
        )
    return file
