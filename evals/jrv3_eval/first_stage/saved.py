"""`candidates:FILE` or a folder of them: imported sets, refused for another dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..candidates import CandidateSet, load_candidates
from ..cards import Suite, TaskCard
from ..collection import Collection
from ..errors import DataError, UsageError
from .files import file_of_task
from .stage import FirstStage


@dataclass(frozen=True)
class SavedSets:
    """A saved set, or a folder with one a task. Raises DataError where there is nothing."""

    path: Path

    def __post_init__(self) -> None:
        if self.path.is_file():
            load_candidates(self.path)  # its faults before any dataset is read
        elif not self.path.is_dir():
            raise DataError(
                "The candidate file does not exist.",
                where=str(self.path),
                next_step="name a file or folder that `jrv3-eval candidates build` wrote",
            )

    def for_task(self, suite: Suite, card: TaskCard) -> FirstStage:
        """The set of this task."""
        file = self.path
        if file.is_dir():
            file = file_of_task(file, suite, card, (".parquet",))
        return SavedCandidates(file)


class SavedCandidates:
    """One imported set; refused where it was built for another dataset or by another rule."""

    cached: ClassVar[bool] = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._loaded = load_candidates(path)
        self.name = self._loaded.first_stage

    def settings(self, card: TaskCard) -> dict[str, Any]:
        return dict(self._loaded.settings)

    def retrieve(self, collection: Collection, card: TaskCard, depth: int) -> CandidateSet:
        loaded = self._loaded
        if loaded.dataset != collection.fingerprint:
            raise DataError(
                f"The candidates were built for dataset {loaded.dataset[:12]}, "
                f"but task {card.name!r} is {collection.fingerprint[:12]}.",
                where=str(self.path),
                next_step="use the dataset version that they were built for",
            )
        rule = loaded.settings.get("self_retrieval", "keep")
        if rule != card.self_retrieval:
            raise DataError(
                f"The candidates were built with self_retrieval: {rule}, "
                f"but task {card.name!r} says {card.self_retrieval}.",
                where=str(self.path),
                next_step="build the candidates with the same card",
            )
        if loaded.depth < depth:
            raise UsageError(
                f"The candidates reach depth {loaded.depth}, but {depth} was asked for.",
                where=str(self.path),
                next_step=f"--depth {loaded.depth}",
            )
        return loaded.cut(depth)
