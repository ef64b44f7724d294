"""`jrv3-eval export`: stored results in the formats that other tools read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError, unknown

if TYPE_CHECKING:
    from ..interchange import LeftOut

FORMATS = ("mteb", "trec")


def export(
    folders: Annotated[list[Path], typer.Argument(help="Result folders.")],
    to: Annotated[Path, typer.Option(help="Folder of the files: mteb/ and trec/ in it.")],
    formats: Annotated[
        str | None,
        typer.Option(
            "--format", help="mteb or trec, or both with a comma.", show_default="mteb,trec"
        ),
    ] = None,
    tasks_dir: Annotated[
        Path | None, typer.Option(help="A folder with your own task cards (*.yaml).")
    ] = None,
) -> None:
    """Write results as mteb's result files and as TREC runs with an ir_metadata header."""
    from ..interchange import (
        check_mteb,
        check_trec,
        mteb_files,
        other_data,
        trec_runs,
        write_mteb,
        write_trec,
    )
    from ..paths import check_writable
    from ..stored import read_systems

    chosen = _chosen(formats)
    systems = read_systems(folders)
    # All that can fail is asked before the first file is written.
    files, left = mteb_files(systems, tasks_dir) if "mteb" in chosen else ([], [])
    if "mteb" in chosen and not files and (formats is not None):
        raise UsageError(
            "No result can be written as a result file of mteb's.",
            where="\n         ".join(_lines(left)),
            next_step="--format trec holds every result",
        )
    runs = trec_runs(systems) if "trec" in chosen else []
    check_mteb(files, to / "mteb")
    check_trec(runs, to / "trec")
    check_writable(to)
    if files:
        written = write_mteb(files, to / "mteb")
        typer.echo(f"{to / 'mteb'}: {_count(len(written), 'result file')} of mteb")
    if runs:
        paths = write_trec(runs, to / "trec")
        typer.echo(f"{to / 'trec'}: {_count(len(paths), 'TREC run')}")
    for line in _lines(left):
        typer.echo(f"not in mteb's files: {line}")
    for remark in dict.fromkeys(filter(None, map(other_data, files))):
        typer.echo(remark)


def _chosen(formats: str | None) -> list[str]:
    if formats is None:
        return list(FORMATS)
    chosen = [part.strip() for part in formats.split(",") if part.strip()]
    for name in chosen:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
    if not chosen:
        raise UsageError("--format names nothing.", next_step="leave it out for both formats")
    return chosen


def _lines(left: Iterable[LeftOut]) -> list[str]:
    return [f"{one.suite}/{one.task}, {one.system}: {one.reason}" for one in left]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
