"""Which file of a folder is a task's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cards import HubSource, Suite, TaskCard
from ..errors import DataError


def file_of_task(folder: Path, suite: Suite, card: TaskCard, endings: Sequence[str]) -> Path:
    """The one file named `TASK` or `SUITE-TASK`, or as mteb names its predictions.

    endings: what may follow the former names, such as `.run.gz`. Raises DataError where there is
    none, or more than one.
    """
    mteb = [source.task for source in card.sources if isinstance(source, HubSource) and source.task]
    names = [card.name, f"{suite.suite}-{card.name}"]
    wanted = {f"{name}{ending}" for name in names for ending in endings}
    wanted |= {f"{task}_predictions.json{gz}" for task in mteb for gz in ("", ".gz")}
    found = sorted(path for path in folder.iterdir() if path.name in wanted and path.is_file())
    if len(found) == 1:
        return found[0]
    if not found:
        shown = ", ".join(f"{name}{ending}" for name in names for ending in endings[:2])
        raise DataError(
            f"The folder has no file for task {card.name!r}.",
            where=str(folder),
            next_step=f"it should hold one of {shown}, ...",
        )
    raise DataError(
        f"The folder has {len(found)} files for task {card.name!r}.",
        where=", ".join(map(str, found)),
        next_step="name one of them, or move the others away",
    )
