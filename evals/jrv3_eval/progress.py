"""Progress on standard error: a bar with rate and time left in a terminal, else silence."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import ProgressColumn


class Bar:
    """Counts work; this one shows nothing."""

    def reused(self, count: int) -> None:
        """So much was there already: it counts as done, but not towards the rate."""

    def advance(self, count: int) -> None:
        """So much was done now."""


@contextmanager
def download_bar(name: str, total: int) -> Iterator[Bar]:
    """A bar in bytes. total 0: unknown."""
    with _bar(f"fetch {name}", total, "bytes") as bar:
        yield bar


@contextmanager
def document_bar(name: str, total: int) -> Iterator[Bar]:
    """A bar in documents with documents/s and time left. total 0: unknown."""
    with _bar(name, total, "documents") as bar:
        yield bar


@contextmanager
def _bar(name: str, total: int, unit: str) -> Iterator[Bar]:
    if not sys.stderr.isatty():
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn

    count = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, _pace_column(unit))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Shown(progress, progress.add_task(name, total=total or None, reused=0))


class _Shown(Bar):
    def __init__(self, progress: Any, task: Any) -> None:
        self._progress, self._task = progress, task
        self._reused = 0

    def reused(self, count: int) -> None:
        self._reused += count
        self._progress.update(self._task, advance=count, reused=self._reused)

    def advance(self, count: int) -> None:
        self._progress.advance(self._task, count)


def pace(done: float, total: float | None, seconds: float, unit: str) -> str:
    """`49 documents/s, 1:12 left`, from what was done in so many seconds; empty before that."""
    if done <= 0 or seconds <= 0:
        return ""
    rate = done / seconds
    shown = f"{rate / 1e6:,.1f} MB/s" if unit == "bytes" else f"{rate:,.3g} {unit}/s"
    if total is None:
        return shown
    left = round(max(total - done, 0) / rate)
    hours, minutes, rest = left // 3600, left // 60 % 60, left % 60
    clock = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    return f"{shown}, {clock} left"


def _pace_column(unit: str) -> ProgressColumn:
    """Rate since the start, without what was reused: rich's own needs two steps to show one."""
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Pace(ProgressColumn):
        def render(self, task: Task) -> Text:
            reused = task.fields["reused"]
            total = None if task.total is None else task.total - reused
            return Text(pace(task.completed - reused, total, task.elapsed or 0, unit), "cyan")

    return Pace()
