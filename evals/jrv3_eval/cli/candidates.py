"""`jrv3-eval candidates`: candidate sets as files to share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Build candidate sets as files, and show what a file holds.")


@app.command("build")
def build(
    suite: Annotated[str, typer.Argument(help="The suite.")],
    to: Annotated[Path, typer.Option(help="Folder for one .parquet file a task.")],
    tasks: Annotated[
        list[str] | None,
        typer.Option(help="Only these tasks, separated by commas.", show_default="all"),
    ] = None,
    first_stage: Annotated[
        str | None, typer.Option(help="As for a suite.", show_default="the suite's own")
    ] = None,
    depth: Annotated[
        int | None, typer.Option(help="Candidates a query.", min=1, show_default="the suite's own")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Local copies, as for a suite.")] = None,
    tasks_dir: Annotated[Path | None, typer.Option(help="Your own task cards.")] = None,
) -> None:
    """Build candidate sets and write them as files, for --first-stage candidates:FILE."""
    from ..candidates import save_candidates
    from ..cards import load_suite, select_tasks
    from ..first_stage import open_first_stage, take_candidates
    from ..paths import cache_root, check_writable
    from ..sources import load_collection
    from .suite import split_names

    loaded = load_suite(suite, tasks_dir)
    cards = select_tasks(loaded, split_names("--tasks", tasks))
    check_writable(to)
    cache = cache_root()
    stage = open_first_stage(first_stage or loaded.first_stage, cache=cache)
    for card in cards:
        collection = load_collection(loaded, card, cache=cache, data_dir=data_dir)
        found = take_candidates(stage, collection, loaded, card, depth or loaded.depth, cache)
        path = to / f"{loaded.suite}-{card.name}.parquet"
        save_candidates(found, path, suite=loaded.suite, task=card.name)
        typer.echo(
            f"{path}: {len(found)} queries, {len(found.docids)} candidates, hash {found.hash[:12]}"
        )


@app.command("show")
def show(file: Annotated[Path, typer.Argument(help="A saved candidate set.")]) -> None:
    """Print what a saved candidate set holds, as JSON."""
    from ..candidates import load_candidates

    found = load_candidates(file)
    content = {
        "first_stage": found.first_stage,
        "settings": dict(found.settings),
        "depth": found.depth,
        "dataset": found.dataset,
        "hash": found.hash,
        "queries": len(found),
        "candidates": len(found.docids),
    }
    typer.echo(json.dumps(content, indent=2))
