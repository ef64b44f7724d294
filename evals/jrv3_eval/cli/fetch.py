"""`jrv3-eval fetch SUITE`: fill the cache ahead, or check it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError

if TYPE_CHECKING:
    from ..sources.fetching import Fetched


def fetch(
    suite: Annotated[str, typer.Argument(help="The suite.")],
    tasks: Annotated[
        list[str] | None,
        typer.Option(help="Only these tasks, separated by commas.", show_default="default"),
    ] = None,
    languages: Annotated[
        list[str] | None,
        typer.Option(help="Only these languages, separated by commas.", show_default="all"),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Ask no network: read the cache and compare fingerprints."),
    ] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Local copies, as for a suite.")] = None,
    tasks_dir: Annotated[Path | None, typer.Option(help="Your own task cards.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
) -> None:
    """Fill the cache with a suite's datasets, for machines without internet, or check it."""
    from ..cards import load_suite, select_tasks
    from ..network import go_offline
    from ..paths import cache_root
    from .suite import split_names

    if check:
        go_offline()
    from ..sources.fetching import fetch_tasks

    loaded = load_suite(suite, tasks_dir)
    cards = select_tasks(
        loaded, split_names("--tasks", tasks), split_names("--languages", languages)
    )
    if data_dir is not None and not data_dir.is_dir():
        raise UsageError("The folder given by --data-dir does not exist.", where=str(data_dir))
    outcomes = []
    for outcome in fetch_tasks(loaded, cards, cache=cache_root(), data_dir=data_dir, verify=check):
        outcomes.append(outcome)
        if not as_json:
            typer.echo(_line(outcome))
    if as_json:
        typer.echo(json.dumps([outcome.to_json() for outcome in outcomes], indent=2))
    same = [
        f" {option} {value}"
        for option, value in (("--tasks-dir", tasks_dir), ("--data-dir", data_dir))
        if value
    ]
    failed = [outcome.task for outcome in outcomes if outcome.problem]
    if failed:
        typer.echo(
            f"error: {len(failed)} of {len(outcomes)} tasks are not whole in the cache\n"
            f"  next:  jrv3-eval fetch {suite} --tasks {','.join(failed)}{''.join(same)}",
            err=True,
        )
        raise typer.Exit(2)


def _line(outcome: Fetched) -> str:
    name = f"{outcome.suite}-{outcome.task}"
    if outcome.problem:
        return f"{name}: FAILED: {outcome.problem}"
    return (
        f"{name}: {outcome.documents:,} documents, {outcome.queries:,} queries, "
        f"{(outcome.bytes or 0) / 1e6:,.1f} MB, dataset {(outcome.fingerprint or '')[:8]}, "
        f"{outcome.revision or 'local copy'}"
    )
