"""Datasets of ir_datasets, by their id there; it downloads and checks the files itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache as once
from importlib.metadata import version
from typing import Any, Literal

from ..cards import IrdsSource
from ..collection import Document, Judgement, RawDataset
from ..errors import DataError, UnavailableError
from ..network import offline


def open_irds(source: IrdsSource) -> RawDataset:
    """The dataset of that id. Nothing is loaded before it is read.

    Reading it raises UnavailableError where ir_datasets cannot get the files, DataError where
    it knows no such dataset.
    """

    @once
    def dataset() -> Any:
        import ir_datasets

        try:
            found = ir_datasets.load(source.dataset)
        except KeyError as error:
            raise DataError(
                f"ir_datasets {version('ir_datasets')} has no dataset {source.dataset!r}.",
                next_step="see https://ir-datasets.com for its ids",
            ) from error
        missing = [kind for kind in ("docs", "queries", "qrels") if not _has(found, kind)]
        if missing:
            raise DataError(
                f"The dataset {source.dataset!r} of ir_datasets has no {' and no '.join(missing)}.",
                next_step="name one with a split, such as beir/nfcorpus/test",
            )
        return found

    def documents() -> Iterator[Document]:
        with _reading(source):
            for doc in dataset().docs_iter():
                # Without a field `text`, ir_datasets' own text holds the title already.
                title = getattr(doc, "title", "") if hasattr(doc, "text") else ""
                yield Document(doc.doc_id, title or "", _text(doc))

    def queries() -> Iterator[tuple[str, str]]:
        with _reading(source):
            for query in dataset().queries_iter():
                yield query.query_id, _text(query)

    def judgements() -> Iterator[Judgement]:
        with _reading(source):
            for line in dataset().qrels_iter():
                yield Judgement(line.query_id, line.doc_id, int(line.relevance))

    def locate(kind: Literal["document", "query", "judgement"], identifier: str) -> str:
        return f"ir_datasets {source.dataset}: {kind} {identifier}".rstrip()

    return RawDataset(
        identity={
            "kind": "irds",
            "dataset": source.dataset,
            "ir_datasets": version("ir_datasets"),
        },
        revision=f"ir_datasets {version('ir_datasets')} {source.dataset}",
        documents=documents,
        queries=queries,
        judgements=judgements,
        locate=locate,
    )


def _has(dataset: Any, kind: str) -> bool:
    return bool(getattr(dataset, f"has_{kind}")())


def _text(item: Any) -> str:
    text = getattr(item, "text", None)
    return str(item.default_text() if text is None else text)


@contextmanager
def _reading(source: IrdsSource) -> Iterator[None]:
    """Its failures to get a file as ours; offline, no download begins."""
    import ir_datasets
    import requests

    download = ir_datasets.util.RequestsDownload
    original = download.__iter__
    log = logging.getLogger("ir_datasets")
    if offline():
        download.__iter__ = _refuse
        log.addFilter(_is_error)  # it would warn of what our own error says
    try:
        yield
    except (OSError, requests.RequestException, RuntimeError) as error:
        raise UnavailableError(
            f"ir_datasets could not get {source.dataset}: {error}",
            where=f"ir_datasets {source.dataset}",
            next_step="try again with internet access, or give a local copy with --data-dir",
        ) from error
    finally:
        download.__iter__ = original
        log.removeFilter(_is_error)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def _refuse(download: Any) -> Iterator[bytes]:
    raise ConnectionError(f"HF_HUB_OFFLINE forbids the download of {download.url}")
