"""Datasets of the Hugging Face hub at one commit, as mteb reads them.

The hub's libraries keep their own copy under HF_HOME; what is read from it streams from their
memory-mapped files into the cache.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache as once
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from ..cards import HubSource
from ..collection import Document, Judgement, RawDataset
from ..errors import DataError, UnavailableError
from ..paths import storage_error

READ_ROWS = 4096


@dataclass(frozen=True)
class _Loaded:
    """mteb's own form of a split. corpus, queries: datasets.Dataset; the rest by query id."""

    corpus: Any
    queries: Any
    relevant: Mapping[str, Mapping[str, int]]
    pools: Mapping[str, Iterable[str]] | None


def open_hub(source: HubSource, split: str) -> RawDataset:
    """The dataset at its commit, with its own candidates if it has some.

    Nothing is loaded before it is read. Reading raises UnavailableError where the hub cannot be
    reached, or has no such dataset, commit, configuration or split.
    """
    wanted = source.split or split
    where = f"{source.path}@{source.revision[:8]}"

    @once
    def loaded() -> _Loaded:
        with _reading(source):
            return _load_task(source, wanted) if source.task else _load_layout(source, wanted)

    def documents() -> Iterator[Document]:
        with _reading(source):
            for row in _rows(loaded().corpus, where):
                yield Document(str(row["id"]), row.get("title") or "", row.get("text") or "")

    def queries() -> Iterator[tuple[str, str]]:
        with _reading(source):
            for row in _rows(loaded().queries, where):
                yield str(row["id"]), row.get("text") or ""

    def judgements() -> Iterator[Judgement]:
        for qid, judged in loaded().relevant.items():
            for docid, relevance in judged.items():
                yield Judgement(str(qid), str(docid), int(relevance))

    def own_pools() -> Iterator[tuple[str, tuple[str, ...]]]:
        for qid, docids in (loaded().pools or {}).items():
            yield str(qid), tuple(map(str, docids))

    def locate(kind: Literal["document", "query", "judgement"], identifier: str) -> str:
        return f"{source.path}@{source.revision[:8]} {source.subset}: {kind} {identifier}".rstrip()

    return RawDataset(
        identity={"kind": "hub", "split": wanted, "mteb": version("mteb"), **_identity(source)},
        revision=source.revision,
        documents=documents,
        queries=queries,
        judgements=judgements,
        locate=locate,
        pools=own_pools,
    )


def _identity(source: HubSource) -> dict[str, Any]:
    return source.model_dump(exclude={"kind", "split"})


def _load_task(source: HubSource, split: str) -> _Loaded:
    """Through mteb's task, whose loader knows the dataset's quirks, at the card's commit."""
    import mteb

    subsets = None if source.subset == "default" else [source.subset]
    task: Any = mteb.get_task(str(source.task), hf_subsets=subsets, eval_splits=[split])
    pinned = {"path": source.path, "revision": source.revision}
    # On the instance only: the installed mteb may have moved to another commit.
    task.metadata = task.metadata.model_copy(update={"dataset": pinned})
    task.load_data()
    task.convert_v1_dataset_format_to_v2(num_proc=None)  # of tasks with a loader of their own
    return _from_mteb(task.dataset[source.subset][split])


def _load_layout(source: HubSource, split: str) -> _Loaded:
    """A dataset in mteb's own layout: configs `corpus`, `queries`, `default` or `qrels`."""
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalDatasetLoader

    loader = RetrievalDatasetLoader(
        source.path, source.revision, trust_remote_code=False, split=split, config=source.subset
    )
    return _from_mteb(loader.load())


def _from_mteb(data: Mapping[str, Any]) -> _Loaded:
    return _Loaded(data["corpus"], data["queries"], data["relevant_docs"], data.get("top_ranked"))


def _rows(dataset: Any, where: str) -> Iterator[dict[str, Any]]:
    """Rows of a datasets.Dataset, some thousands of them in memory at a time."""
    missing = {"id", "text"} - set(dataset.column_names)
    if missing:
        raise DataError(
            f"The hub's dataset has no column {' and no '.join(sorted(missing))}.",
            where=where,
            next_step="name a dataset in mteb's layout, or a task of mteb's that reads this one",
        )
    columns = [name for name in ("id", "title", "text") if name in dataset.column_names]
    for batch in dataset.select_columns(columns).iter(READ_ROWS):
        for values in zip(*(batch[name] for name in columns), strict=True):
            yield dict(zip(columns, values, strict=True))


@contextmanager
def _reading(source: HubSource) -> Iterator[None]:
    """The libraries' failures as ours, and their bars only in a terminal."""
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    # The HTTP library under huggingface_hub changed twice; its errors are the first base.
    transport = HfHubHTTPError.__bases__[0]
    failures: tuple[type[Exception], ...] = (
        OSError,
        ValueError,
        LookupError,
        RuntimeError,
        transport,
        datasets.exceptions.DatasetsError,
    )
    try:
        yield
    except failures as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES):
            raise storage_error(error, Path(error.filename or "HF_HOME")) from error
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise UnavailableError(
            f"The hub's dataset {source.path} could not be read: {reason}",
            where=f"{source.path}@{source.revision}, {source.task or source.subset}",
            next_step="try again with internet access, or give a local copy with --data-dir",
        ) from error
