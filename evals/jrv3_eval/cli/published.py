"""`jrv3-eval published`: numbers from papers, with their protocol and what does not add up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..errors import unknown


def published(
    name: Annotated[
        str | None, typer.Argument(help="A suite or a table.", show_default="a list of all")
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", help="Also tables of this file or folder, or mteb's results."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
) -> None:
    """List published tables; with a suite or a table, print them whole."""
    from ..console import print_published
    from ..published import published_tables, read_published

    tables = [*published_tables(), *(t for one in file or [] for t in read_published(one))]
    if name is not None:
        chosen = [table for table in tables if name in (table.suite, table.name)]
        if not chosen:
            raise unknown(
                "suite or table", name, {t.suite for t in tables} | {t.name for t in tables}
            )
        tables = chosen
    if as_json:
        rows = [table.model_dump(mode="json", by_alias=True) for table in tables]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    print_published(tables, whole=name is not None)
