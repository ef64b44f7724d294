"""Filling the cache ahead of a run, and checking what is in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..cards import Suite, TaskCard
from ..collection import Collection, verify_collection
from ..errors import Jrv3EvalError, StorageError
from . import load_collection


@dataclass(frozen=True)
class Fetched:
    """What became of one task. problem: None where it is whole in the cache.

    bytes: of its texts, ids, queries and judgements on disk. revision: which source and version
    was read.
    """

    suite: str
    task: str
    problem: str | None = None
    documents: int | None = None
    queries: int | None = None
    fingerprint: str | None = None
    revision: str | None = None
    bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The value as other tools read it."""
        return asdict(self)


def fetch_tasks(
    suite: Suite,
    cards: Iterable[TaskCard],
    *,
    cache: Path,
    data_dir: Path | None = None,
    verify: bool = False,
) -> Iterator[Fetched]:
    """Bring each task into the cache, one after the other; a failure does not stop the others.

    verify: also read what the cache holds again, and compare it with its fingerprint.
    """
    for card in cards:
        try:
            collection = load_collection(suite, card, cache=cache, data_dir=data_dir)
            if verify:
                verify_collection(collection)
        except StorageError:
            raise  # the next task would fail at the same disk
        except Jrv3EvalError as error:
            yield Fetched(suite.suite, card.name, problem=str(error))
        else:
            yield _fetched(suite, card, collection)


def _fetched(suite: Suite, card: TaskCard, collection: Collection) -> Fetched:
    return Fetched(
        suite=suite.suite,
        task=card.name,
        documents=collection.documents,
        queries=len(collection.queries),
        fingerprint=collection.fingerprint,
        revision=collection.revision,
        bytes=sum(
            file.stat().st_size
            for folder in (collection.folder, collection.corpus.folder)
            for file in folder.iterdir()
            if file.is_file()
        ),
    )
