"""Task cards: what to rank and by which protocol, read from tasks/*.yaml."""

from .reading import load_suite, read_suite, select_tasks, suite_files
from .schema import Average, Counts, Suite, TaskCard
from .sources import (
    BeirSource,
    FolderSource,
    HubSource,
    IrdsSource,
    MkqaSource,
    PySource,
    Source,
)

__all__ = [
    "Average",
    "BeirSource",
    "Counts",
    "FolderSource",
    "HubSource",
    "IrdsSource",
    "MkqaSource",
    "PySource",
    "Source",
    "Suite",
    "TaskCard",
    "load_suite",
    "read_suite",
    "select_tasks",
    "suite_files",
]
