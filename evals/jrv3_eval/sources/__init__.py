"""Where collections come from: one module a source, all delivering a `RawDataset`."""

from __future__ import annotations

import sys
from pathlib import Path

from ..cards import MkqaSource, Source, Suite, TaskCard
from ..collection import Collection, RawDataset, ingest
from ..errors import DataError, UnavailableError, UsageError
from ..network import offline
from .opening import MKQA_CORPUS, MKQA_FILE, open_source

__all__ = ["load_collection"]


def load_collection(
    suite: Suite, card: TaskCard, *, cache: Path, data_dir: Path | None = None
) -> Collection:
    """The task's collection: a local copy under `data_dir` if there is one, else its source.

    The card's sources are tried in order; the next one only where one cannot be reached or
    fails its checksum, and standard error says so. Raises UnavailableError where none can be
    read, DataError where counts differ from the card's, and whatever the source raises.
    """
    local = _local_copies(suite, card, data_dir)
    for folder in local:
        if folder.is_dir():
            from .folder import open_folder

            return _ingest(suite, card, open_folder(folder, card.split), cache)
    failures: list[UnavailableError] = []
    for source in card.sources:
        try:
            raw = open_source(source, card.split, suite.folder, cache, data_dir)
            collection = _ingest(suite, card, raw, cache)
        except UnavailableError as error:
            failures.append(error)
            continue
        for failure in failures:
            sys.stderr.write(
                f"{suite.suite}-{card.name}: {failure.what} ({failure.where}); "
                f"read from {_name(source)} instead\n"
            )
        return collection
    raise _none_available(suite, card, failures, local)


def _name(source: Source) -> str:
    return f"the source {source.kind}"


def _ingest(suite: Suite, card: TaskCard, raw: RawDataset, cache: Path) -> Collection:
    collection = ingest(raw, join=card.join, split=card.split, cache=cache)
    _verify_counts(suite, card, collection, raw)
    if (card.relevance == "answer-match") != bool(collection.answers):
        held = "answers" if collection.answers else "judgements"
        raise DataError(
            f"Task {card.name!r} says `relevance: {card.relevance}`, but its source has {held}.",
            where=raw.locate("judgement", ""),
            next_step="correct the card's relevance or its source",
        )
    return collection


def _none_available(
    suite: Suite, card: TaskCard, failures: list[UnavailableError], local: list[Path]
) -> DataError:
    """What to raise where no source could be read: every failure, and where copies may stand."""
    looked = ", ".join(map(str, local)) or "no --data-dir was given"
    if any(isinstance(source, MkqaSource) for source in card.sources):
        looked = f"DIR/{MKQA_CORPUS[0]} and DIR/{MKQA_FILE} with --data-dir DIR"
    if not failures:
        return DataError(
            f"Task {card.name!r} of suite {suite.suite!r} has no source of its own.",
            where=looked,
            next_step=f"--data-dir must hold a folder {card.name} or {suite.suite}-{card.name}",
        )
    fetch = f"jrv3-eval fetch {suite.suite} --tasks {card.name}"
    if offline():
        step = f"where there is a network, run: {fetch}"
    else:
        step = f"make a source reachable, or put a copy there with --data-dir; then: {fetch}"
    places = list(dict.fromkeys(f"{failure.where}" for failure in failures))
    return UnavailableError(
        " ".join(dict.fromkeys(failure.what for failure in failures)),
        where="\n         ".join([*places, f"no local copy: {looked}"]),
        next_step=step,
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
    if any(isinstance(source, MkqaSource) for source in card.sources):
        return []  # their local copies are of the parts: passages and questions
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
