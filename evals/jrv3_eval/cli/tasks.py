"""`jrv3-eval tasks`: which suites and tasks there are, and by which protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def list_tasks(
    suite: Annotated[str | None, typer.Argument(help="One suite.", show_default="all")] = None,
    tasks_dir: Annotated[
        Path | None, typer.Option(help="A folder with your own task cards (*.yaml).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
) -> None:
    """List tasks: language, metric, size, depth, first stage."""
    from ..cards import load_suite, suite_files

    suites = [
        load_suite(name, tasks_dir) for name in ([suite] if suite else suite_files(tasks_dir))
    ]
    rows = [
        {
            "suite": loaded.suite,
            "task": card.name,
            "language": card.language,
            "metric": loaded.metric,
            "depth": loaded.depth,
            "first_stage": loaded.first_stage,
            **card.model_dump(mode="json", exclude={"name", "language"}),
        }
        for loaded in suites
        for card in loaded.tasks
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    from ..console import print_tasks

    print_tasks(suites)
