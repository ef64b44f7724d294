"""Which tasks a model declares as its training data: a mark, not a verdict."""

from __future__ import annotations

import json
from functools import cache

from ..paths import shipped
from .mteb_files import tasks_in_mteb
from .schema import plain_model

SIGN = "†"
MEANING = "the model declares this dataset as training data (mteb's model metadata)"


@cache
def _declared() -> dict[str, frozenset[str]]:
    """Plain model name -> mteb's tasks that it was trained on."""
    content = json.loads((shipped("published") / "training/declared.json").read_text("utf-8"))
    found: dict[str, frozenset[str]] = {}
    for model, tasks in content["models"].items():
        name = plain_model(model)
        found[name] = found.get(name, frozenset()) | frozenset(tasks)
    return found


@cache
def _mteb_tasks() -> dict[tuple[str, str], frozenset[str]]:
    """(suite, task) -> mteb's tasks over the same data."""
    found: dict[tuple[str, str], set[str]] = {}
    for (name, _), places in tasks_in_mteb().items():
        for suite, task, _ in places:
            found.setdefault((suite, task), set()).add(name)
    return {place: frozenset(names) for place, names in found.items()}


def declares(model: str, suite: str, task: str) -> bool:
    """Whether the model's authors declare this task as training data, as far as mteb knows."""
    trained = _declared().get(plain_model(model), frozenset())
    return bool(trained & _mteb_tasks().get((suite, task), frozenset()))
