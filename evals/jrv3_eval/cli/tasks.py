"""`jrv3-eval tasks`: which suites and tasks there are, and by which protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..cards import Suite, TaskCard


def list_tasks(
    suite: Annotated[str | None, typer.Argument(help="One suite.", show_default="all")] = None,
    tasks_dir: Annotated[
        Path | None, typer.Option(help="A folder with your own task cards (*.yaml).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
) -> None:
    """List tasks: language, metric, size, depth, first stage; with --json the whole protocol."""
    from ..cards import load_suite, suite_files

    suites = [
        load_suite(name, tasks_dir) for name in ([suite] if suite else suite_files(tasks_dir))
    ]
    if as_json:
        rows = [_protocol(loaded, card) for loaded in suites for card in loaded.tasks]
        typer.echo(json.dumps(rows, indent=2))
        return
    from ..console import print_tasks

    print_tasks(suites)


def _protocol(suite: Suite, card: TaskCard) -> dict[str, Any]:
    """The task with all of its rules, those of its suite among them."""
    return {
        "suite": suite.suite,
        "task": card.name,
        "language": card.language,
        "metric": suite.metric,
        "published_as": suite.published_as,
        "published": suite.published_for(card),
        "not_comparable": suite.not_comparable,
        "depth": suite.depth,
        "first_stage": suite.first_stage,
        "default": not suite.default or card.name in suite.default,
        "averages": [one.name for one in suite.averages if card.name in suite.tasks_of(one)],
        **card.model_dump(mode="json", exclude={"name", "language"}),
        "corpus_language": card.text_language,
        "paper_first_stage": suite.first_stage_of_paper(card),
    }
