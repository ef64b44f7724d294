"""First stages: from a collection to a candidate set. A SPEC names one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol

from ..candidates import CandidateSet, load_candidates, save_candidates
from ..cards import Suite, TaskCard
from ..collection import Collection
from ..errors import DataError, UsageError, unknown
from ..hashing import digest_json

__all__ = ["FirstStage", "open_first_stage", "take_candidates"]

FORMAT = 1  # raised when the same settings would give other candidates
SPECS = {
    "bm25": "bm25 or bm25:k1=0.9,b=0.4",
    "dense": "dense:MODEL",
    "run": "run:FILE (a TREC run)",
    "candidates": "candidates:FILE (a saved candidate set)",
}


class FirstStage(Protocol):
    """name: shown in tables and paths. settings: all that can change the candidates.

    cached: whether its sets are kept in the cache (not those that come from a file).
    """

    cached: ClassVar[bool]

    @property
    def name(self) -> str: ...

    def settings(self, card: TaskCard) -> dict[str, Any]: ...

    def retrieve(self, collection: Collection, card: TaskCard, depth: int) -> CandidateSet: ...


def open_first_stage(spec: str, *, cache: Path, device: str = "auto") -> FirstStage:
    """The first stage that a SPEC names. Raises UsageError on an unknown one."""
    kind, _, rest = spec.partition(":")
    if kind not in SPECS:
        raise unknown("first stage", kind, SPECS)
    if kind != "bm25" and not rest:
        raise UsageError(f"The first stage {kind!r} needs more.", next_step=SPECS[kind])
    match kind:
        case "bm25":
            from .bm25 import parse_bm25

            return parse_bm25(rest)
        case "dense":
            from .dense import open_dense

            return open_dense(rest, cache=cache, device=device)
        case "run":
            from .runfile import RunFile

            return RunFile(Path(rest).expanduser())
        case _:
            return SavedCandidates(Path(rest).expanduser())


class SavedCandidates:
    """`candidates:FILE`: an imported set; refused where it was built for another dataset."""

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


def take_candidates(
    stage: FirstStage, collection: Collection, suite: Suite, card: TaskCard, depth: int, cache: Path
) -> CandidateSet:
    """The stage's candidates, from the cache where bm25 or dense computed them before."""
    if not stage.cached:
        return stage.retrieve(collection, card, depth)
    key = digest_json(
        [FORMAT, collection.fingerprint, stage.settings(card), depth, card.self_retrieval]
    )
    path = cache / "candidates" / f"{suite.suite}-{card.name}-{key[:32]}.parquet"
    if path.is_file():
        try:
            return load_candidates(path)
        except DataError:
            path.unlink()  # a damaged cache entry is rebuilt
    candidates = stage.retrieve(collection, card, depth)
    save_candidates(candidates, path, suite=suite.suite, task=card.name)
    return candidates
