"""`paper`: the first stage behind the numbers that the task's source published."""

from __future__ import annotations

from collections.abc import Callable

from ..cards import Suite, TaskCard
from ..errors import CheckpointError, UsageError
from .dense_spec import ELSEWHERE
from .stage import AnyStage, FirstStage, PerTask


class PaperStage:
    """Each task's published first stage, opened once a SPEC."""

    def __init__(self, opener: Callable[[str], AnyStage]) -> None:
        self._opener = opener
        self._opened: dict[str, AnyStage] = {}

    def for_task(self, suite: Suite, card: TaskCard) -> FirstStage:
        """Raises UsageError where the card names none, CheckpointError where it cannot run here."""
        spec = suite.first_stage_of_paper(card)
        if spec is None:
            raise UsageError(
                f"Task {card.name!r} of suite {suite.suite!r} names no published first stage.",
                next_step="name one: --first-stage bm25, dense:MODEL or run:FILE",
            )
        if spec not in self._opened:
            try:
                self._opened[spec] = self._opener(spec)
            except CheckpointError as error:
                steps = [step for step in (error.next_step, ELSEWHERE) if step]
                if ELSEWHERE in (error.next_step or ""):
                    steps = steps[:1]
                raise CheckpointError(
                    f"The published first stage {spec} cannot be run here. {error.what}",
                    where=error.where,
                    next_step="; or ".join(steps),
                ) from error
        stage = self._opened[spec]
        return stage.for_task(suite, card) if isinstance(stage, PerTask) else stage
