"""First stages: from a collection to a candidate set. A SPEC names one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cards import Suite, TaskCard
from ..errors import UsageError, unknown
from .stage import AnyStage, FirstStage, PerTask
from .taking import take_candidates

__all__ = [
    "SPECS",
    "AnyStage",
    "FirstStage",
    "PerTask",
    "check_tasks",
    "open_first_stage",
    "take_candidates",
]

SPECS = {
    "bm25": "bm25 or bm25:k1=0.9,b=0.4",
    "dense": "dense:MODEL or dense:MODEL#prompts=e5,max_length=512",
    "mteb": "mteb:MODEL or mteb:MODEL@REVISION (a dense model of mteb's, with mteb's prompts)",
    "run": "run:FILE or run:FOLDER (TREC, MS MARCO, mteb predictions or Parquet)",
    "candidates": "candidates:FILE or candidates:FOLDER (saved candidate sets)",
    "pool": "pool (the dataset's own candidates)",
    "fusion": "fusion:A+B or fusion:k=10:A+B (reciprocal rank fusion)",
    "paper": "paper (the first stage behind the published numbers)",
}
ALONE = ("bm25", "pool", "paper")


def open_first_stage(spec: str, *, cache: Path, device: str = "auto") -> AnyStage:
    """The first stage that a SPEC names. Raises UsageError on an unknown one."""
    kind, _, rest = spec.partition(":")
    if kind not in SPECS:
        raise unknown("first stage", kind, SPECS)
    if kind not in ALONE and not rest:
        raise UsageError(f"The first stage {kind!r} needs more.", next_step=SPECS[kind])
    if kind in ("pool", "paper") and rest:
        raise UsageError(f"The first stage {kind!r} takes no more.", next_step=SPECS[kind])

    def opener(other: str) -> AnyStage:
        return open_first_stage(other, cache=cache, device=device)

    match kind:
        case "bm25":
            from .bm25 import parse_bm25

            return parse_bm25(rest)
        case "dense":
            from .dense_spec import open_dense

            return open_dense(rest, cache=cache, device=device)
        case "mteb":
            from .mteb_model import open_mteb

            return open_mteb(rest, cache=cache, device=device)
        case "run":
            from .runfile import Runs

            return Runs(_path(rest))
        case "candidates":
            from .saved import SavedSets

            return SavedSets(_path(rest))
        case "pool":
            from .pool import Pool

            return Pool()
        case "fusion":
            from .fusion import parse_fusion

            return parse_fusion(
                rest, lambda part: open_first_stage(part, cache=cache, device=device), cache
            )
        case _:
            from .paper import PaperStage

            return PaperStage(opener)


def check_tasks(stage: AnyStage, suite: Suite, cards: Sequence[TaskCard]) -> None:
    """Raise now, before any dataset is read, what the stage of one of the tasks would raise."""
    if isinstance(stage, PerTask):
        for card in cards:
            stage.for_task(suite, card)


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~somebody who is not there
        raise UsageError(f"The path cannot be found: {error}", where=text) from error
