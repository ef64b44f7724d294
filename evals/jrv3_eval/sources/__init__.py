"""Where collections come from: one module a source, all delivering a `RawDataset`."""

from __future__ import annotations

from pathlib import Path

from ..cards import BeirSource, FolderSource, PySource, Suite, TaskCard
from ..collection import Collection, RawDataset, ingest
from ..errors import DataError, UsageError

__all__ = ["load_collection"]


def load_collection(
    suite: Suite, card: TaskCard, *, cache: Path, data_dir: Path | None = None
) -> Collection:
    """The task's collection: a local copy under `data_dir` if there is one, else its source.

    Raises DataError where counts differ from the card's, and whatever the source raises.
    """
    raw = _open(suite, card, cache, data_dir)
    collection = ingest(raw, join=card.join, split=card.split, cache=cache)
    _verify_counts(suite, card, collection, raw)
    return collection


def _open(suite: Suite, card: TaskCard, cache: Path, data_dir: Path | None) -> RawDataset:
    from .beir import open_beir
    from .folder import open_folder
    from .pysource import open_pysource

    looked_at = _local_copies(suite, card, data_dir)
    for folder in looked_at:
        if folder.is_dir():
            return open_folder(folder, card.split)
    failure: DataError | None = None
    for source in card.sources:
        try:
            match source:
                case FolderSource():
                    return open_folder((suite.folder / source.path).resolve(), card.split)
                case BeirSource():
                    return open_beir(source, card.split, cache)
                case PySource():
                    return open_pysource(source)
        except DataError as error:
            failure = failure or error
    looked = ", ".join(map(str, looked_at)) or "no --data-dir was given"
    if failure is not None and looked_at:
        raise DataError(
            failure.what,
            where=f"{failure.where}; no local copy: {looked}",
            next_step="put a copy at one of these two places, or make the card's source reachable",
        ) from failure
    if failure is not None:
        raise failure
    raise DataError(
        f"Task {card.name!r} of suite {suite.suite!r} has no source of its own.",
        where=looked,
        next_step=f"--data-dir must hold a folder {card.name} or {suite.suite}-{card.name}",
    )


def _local_copies(suite: Suite, card: TaskCard, data_dir: Path | None) -> list[Path]:
    if data_dir is None:
        return []
    if not data_dir.is_dir():
        raise UsageError(
            "The folder given by --data-dir does not exist.",
            where=str(data_dir),
            next_step=f"name a folder that holds {card.name} or {suite.suite}-{card.name}",
        )
    return [data_dir / card.name, data_dir / f"{suite.suite}-{card.name}"]


def _verify_counts(suite: Suite, card: TaskCard, collection: Collection, raw: RawDataset) -> None:
    found = {
        "documents": collection.documents,
        "queries": len(collection.queries),
        "judgements": collection.judgements,
    }
    for name, expected in card.counts.model_dump().items():
        if isinstance(expected, int) and expected != found[name]:
            raise DataError(
                f"Task {card.name!r} of suite {suite.suite!r} should have {expected} {name}, "
                f"but {found[name]} were read.",
                where=raw.locate("document" if name == "documents" else "judgement", ""),
                next_step="use the dataset version that the card names, or correct the card",
            )
