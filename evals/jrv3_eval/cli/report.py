"""`jrv3-eval report`: tables and figures from stored results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError, unknown


def report(
    folders: Annotated[list[Path], typer.Argument(help="Result folders.")],
    to: Annotated[Path, typer.Option(help="Folder of the report, such as reports/NAME.")],
    formats: Annotated[
        str, typer.Option("--format", help="Any of md, latex, html, separated by commas.")
    ] = "md,latex,html",
    title: Annotated[str, typer.Option(help="Its title.")] = "Reranker evaluation",
    baseline: Annotated[
        str | None,
        typer.Option(
            help="The system that others are compared with.", show_default="each first stage"
        ),
    ] = None,
    published: Annotated[
        list[Path] | None,
        typer.Option(help="Also these published tables or mteb result files. Repeatable."),
    ] = None,
    named: Annotated[
        list[str] | None,
        typer.Option(
            "--as", help="NAME=MODEL: compare system NAME with the published MODEL. Repeatable."
        ),
    ] = None,
    drill: Annotated[
        int, typer.Option(help="Show the N queries a task that moved most.", min=0)
    ] = 20,
) -> None:
    """Write Markdown for a pull request, LaTeX tables for a paper, figures, and one HTML page."""
    from ..paths import cache_root, check_writable
    from ..published import published_tables, read_published
    from ..report import FORMATS, ReportOptions, build_report, write_report
    from ..stored import read_systems
    from .compare import aliases

    chosen = [part.strip() for part in formats.split(",") if part.strip()]
    for name in chosen:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
    if not chosen:
        raise UsageError("--format names nothing.", next_step="leave it out for all formats")
    systems = read_systems(folders)
    check_writable(to)
    tables = [*(t for one in published or [] for t in read_published(one)), *published_tables()]
    options = ReportOptions(
        title=title, baseline=baseline, drill=drill, names=aliases(named or [], systems)
    )
    content, plots = build_report(systems, tables, options, cache_root())
    for path in write_report(content, plots, to, chosen):
        if path.parent == to:
            typer.echo(f"{path}")
    if "latex" in chosen:
        typer.echo(f"{to / 'latex'}: tables to \\input, with booktabs")
