"""Candidates of a task, from the cache where they were computed before."""

from __future__ import annotations

from pathlib import Path

from ..candidates import CandidateSet, load_candidates, save_candidates
from ..cards import Suite, TaskCard
from ..collection import Collection
from ..errors import DataError
from ..hashing import digest_json
from .stage import AnyStage, PerTask

FORMAT = 3  # raised when the same settings would give other candidates


def take_candidates(
    stage: AnyStage, collection: Collection, suite: Suite, card: TaskCard, depth: int, cache: Path
) -> CandidateSet:
    """The stage's candidates, from the cache where it computed them before."""
    if isinstance(stage, PerTask):
        stage = stage.for_task(suite, card)
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
