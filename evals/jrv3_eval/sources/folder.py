"""A dataset in BEIR layout on disk: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv, each also .gz."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, cast

from ..collection import Document, Judgement, RawDataset
from ..errors import DataError
from ..trec import read_qrels


def open_folder(folder: Path, split: str) -> RawDataset:
    """The dataset in this folder. Raises DataError where one of the three files is missing."""
    corpus = _find(folder, "corpus.jsonl")
    queries = _find(folder, "queries.jsonl")
    qrels = _find(folder, f"qrels/{split}.tsv")
    files = {"document": corpus, "query": queries, "judgement": qrels}

    def locate(kind: Literal["document", "query", "judgement"], identifier: str) -> str:
        return _locate(files[kind], kind, identifier)

    return RawDataset(
        identity={"kind": "folder", "files": [_state(file) for file in files.values()]},
        revision=None,
        documents=lambda: _documents(corpus),
        queries=lambda: _queries(queries),
        judgements=lambda: _judgements(qrels),
        locate=locate,
        corpus_identity={"kind": "folder", "files": [_state(corpus)]},
    )


def _state(file: Path) -> list[str | int]:
    """What changes when the file does; ctime, since cp -p and rsync -t keep size and mtime."""
    status = file.stat()
    return [str(file.resolve()), status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    present = sorted(file.name.split(".")[0] for file in (folder / "qrels").glob("*.tsv*"))
    hint = f"splits that are there: {', '.join(present)}" if "qrels" in name and present else None
    raise DataError(
        f"The folder has no {name} (nor {name}.gz).",
        where=str(folder),
        next_step=hint or "a BEIR folder holds corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv",
    )


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Line numbers (from 1) and lines, blank ones left out."""
    try:
        with _open(path) as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, line
    except (EOFError, gzip.BadGzipFile, OSError, zlib.error) as error:
        raise DataError(
            f"The file cannot be read: {error}.", where=str(path), next_step="fetch it again"
        ) from error


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in _lines(path):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:  # also of huge integers, deep nesting
            raise DataError(
                f"The line is not valid JSON: {error}.",
                where=f"{path}:{number}",
                next_step="each line must be one JSON object with _id and text",
            ) from error
        if not isinstance(value, dict):
            raise DataError(
                f"The line is a JSON {type(value).__name__}, not an object.",
                where=f"{path}:{number}",
                next_step="each line must be one JSON object with _id and text",
            )
        yield number, value


def _text_field(value: dict[str, Any], field: str, where: str, *, required: bool) -> str:
    content = value.get(field)
    if content is None and not (required and field not in value):
        return ""
    if not isinstance(content, str):
        raise DataError(
            f"The field {field!r} is {'missing' if content is None else 'not a text'}.",
            where=where,
            next_step="each line must be one JSON object with _id and text",
        )
    # A lone surrogate (from a broken escape) is no character and could not be stored.
    return content if content.isascii() else content.encode("utf-8", "replace").decode()


def _identifier(value: dict[str, Any], where: str) -> str:
    identifier = value.get("_id")
    if isinstance(identifier, int) and not isinstance(identifier, bool):
        return str(identifier)
    if not isinstance(identifier, str) or not identifier or _has_surrogate(identifier):
        raise DataError(
            "The field '_id' is missing, empty or not a text.",
            where=where,
            next_step="give every line an _id",
        )
    return identifier


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def _documents(path: Path) -> Iterator[Document]:
    for number, value in _objects(path):
        where = f"{path}:{number}"
        yield Document(
            _identifier(value, where),
            _text_field(value, "title", where, required=False),
            _text_field(value, "text", where, required=True),
        )


def _queries(path: Path) -> Iterator[tuple[str, str]]:
    for number, value in _objects(path):
        where = f"{path}:{number}"
        yield _identifier(value, where), _text_field(value, "text", where, required=True)


def _judgements(path: Path) -> Iterator[Judgement]:
    qrels = read_qrels(path)
    for qid in qrels.qids:
        for docid, relevance in qrels.of(qid).items():
            yield Judgement(qid, docid, relevance)


def _locate(path: Path, kind: str, identifier: str) -> str:
    """`file:line, file:line` of an id, found by reading the file again (errors only)."""
    if not identifier:
        return str(path)
    if kind == "judgement":
        found = [
            number
            for number, line in _lines(path)
            if line.decode("utf-8", "replace").split("\t")[0] == identifier
        ]
    else:
        found = [
            number
            for number, value in _objects(path)
            if _identifier(value, f"{path}:{number}") == identifier
        ]
    return ", ".join(f"{path}:{number}" for number in found[:3]) or str(path)
