"""What a first stage is: one that serves every task, or one that is chosen for each."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from ..candidates import CandidateSet
from ..cards import Suite, TaskCard
from ..collection import Collection


class FirstStage(Protocol):
    """name: shown in tables and paths. settings: all that can change the candidates.

    cached: whether its sets are kept in the cache (not those that come from a file).
    """

    @property
    def name(self) -> str: ...

    @property
    def cached(self) -> bool: ...

    def settings(self, card: TaskCard) -> dict[str, Any]: ...

    def retrieve(self, collection: Collection, card: TaskCard, depth: int) -> CandidateSet: ...


@runtime_checkable
class PerTask(Protocol):
    """A SPEC that means another first stage for each task: a folder of runs, `paper`, a fusion."""

    def for_task(self, suite: Suite, card: TaskCard) -> FirstStage: ...


AnyStage = FirstStage | PerTask
