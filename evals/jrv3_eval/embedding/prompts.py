"""Which prompts and adapters a dense model wants: data in prompts.yaml, read here."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from ..errors import UsageError, unknown


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RetrievalTask(_Strict):
    """One of a model's own tasks. adapters: folders of the query's and the document's, if any."""

    query: str
    document: str
    adapters: tuple[str, str] | None = None


class PromptSet(_Strict):
    """The prompts of one family of models. ids: the hub ids that use it unasked."""

    name: str
    source: str
    ids: tuple[str, ...] = ()
    tasks: dict[str, RetrievalTask] = Field(min_length=1)

    def task(self, wanted: str | None) -> tuple[str, RetrievalTask]:
        """The wanted task's name and prompts, or the first one where the model has no such task."""
        name = wanted if wanted in self.tasks else next(iter(self.tasks))
        return name, self.tasks[name]


@cache
def prompt_sets() -> dict[str, PromptSet]:
    """All sets by name."""
    text = files(__package__).joinpath("prompts.yaml").read_text(encoding="utf-8")
    content: list[dict[str, Any]] = yaml.safe_load(text)
    return {one["name"]: PromptSet.model_validate(one) for one in content}


def prompts_for(hub_id: str, chosen: str | None = None) -> PromptSet | None:
    """The set that was chosen by name, else that of a hub id; None where nobody knows one.

    A folder's name tells nothing, so a local copy needs the name. Raises UsageError on an
    unknown name.
    """
    sets = prompt_sets()
    if chosen is not None:
        if chosen not in sets:
            raise unknown("set of prompts", chosen, sets)
        return sets[chosen]
    return next((one for one in sets.values() if hub_id in one.ids), None)


def check_task(prompts: PromptSet | None, task: str | None) -> None:
    """Raise UsageError where a task was asked for by name that the set has not."""
    if task is None:
        return
    if prompts is None:
        raise UsageError(
            f"The task {task!r} was asked for, but no set of prompts is known for this model.",
            next_step=f"name one as well, prompts=NAME: {', '.join(prompt_sets())}",
        )
    if task not in prompts.tasks:
        raise unknown(f"task of the prompts {prompts.name!r}", task, prompts.tasks)
