"""`jrv3-eval compare`: systems against each other, or one against published numbers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError

if TYPE_CHECKING:
    from ..compare import MovedQuery, Panel
    from ..published import Beside
    from ..stored import System


def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Result folders. The first system is what others are compared with."),
    ],
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
    queries: Annotated[int, typer.Option(help="The N queries a task that moved most.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare systems on the same candidates, and with published numbers, protocol first."""
    from ..compare import agreement, compare_panel, one_panel
    from ..console import print_beside, print_moved, print_pairs
    from ..stored import read_systems

    systems = read_systems(folders)
    beside = _beside(systems, published or [], aliases(named or [], systems))
    if len(systems) == 1 and not beside:
        raise UsageError(
            f"There is one system, {systems[0].name}, and nothing published to compare it with.",
            where=str(folders[0]),
            next_step="name a second result folder, or --published FILE",
        )
    pairs, agreements = [], []
    moved: list[MovedQuery] = []
    if len(systems) > 1:
        panel = one_panel(systems)
        pairs = compare_panel(panel)
        compared = {pair.second_name for pair in pairs}
        for system in panel.systems[1:]:
            if system.name not in compared:
                raise UsageError(
                    f"{system.name} and {panel.systems[0].name} have no task in common.",
                    where=str(next(iter(system.tasks.values())).record),
                    next_step="name results on the same tasks",
                )
        agreements = [
            agreement(panel.systems[0], panel.systems[other], place)
            for other in range(1, len(panel.systems))
            for place in panel.places
            if panel.has(0, place) and panel.has(other, place)
        ]
        moved = _moved(panel, queries) if queries else moved
    if as_json:
        content = {
            "pairs": [asdict(pair) for pair in pairs],
            "agreement": [asdict(one) for one in agreements],
            "published": [beside_json(row) for row in beside],
            "moved": [asdict(one) for one in moved],
        }
        typer.echo(json.dumps(content, indent=2))
        return
    if pairs:
        print_pairs(pairs, agreements)
    if beside:
        print_beside(beside)
    print_moved(moved)


def _beside(systems: list[System], places: list[Path], names: dict[str, str]) -> list[Beside]:
    from ..published import published_tables, read_published, systems_beside

    tables = [*(t for place in places for t in read_published(place)), *published_tables()]
    measured = [(s.name, [stored.result for stored in s.tasks.values()]) for s in systems]
    # Of the baselines only the first stage's own order can have been published.
    measured = [
        (n, r) for n, r in measured if r[0].reranker.family != "baseline" or n.startswith("none")
    ]
    return systems_beside(measured, tables, names)


def aliases(pairs: list[str], systems: list[System]) -> dict[str, str]:
    """NAME=MODEL pairs by the systems' names. Raises UsageError on a name that is not there."""
    from ..errors import unknown

    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, model = pair.rpartition("=")
        if not equals or not name or not model:
            raise UsageError(f"{pair!r} is not NAME=MODEL.", next_step="--as ckpt=jina-reranker-v3")
        own = [s.name for s in systems if name in (s.name, s.example.reranker.name)]
        if not own:
            raise unknown("system", name, [s.name for s in systems])
        found |= dict.fromkeys(own, model)
    return found


def _moved(panel: Panel, count: int) -> list[MovedQuery]:
    from ..compare import moved_between
    from ..paths import cache_root

    first = panel.systems[0]
    return [
        query
        for other in panel.systems[1:]
        for place in panel.places
        if place in first.tasks and place in other.tasks
        for query in moved_between(
            place,
            first.tasks[place],
            other.tasks[place],
            (first.name, other.name),
            count,
            5,
            cache_root(),
        )
    ]


def beside_json(row: Beside) -> dict[str, object]:
    """A measured value beside a published one, for other tools; values in percent."""
    return {
        "suite": row.measured.suite,
        "task": row.measured.task,
        "name": row.measured.name,
        "model": row.measured.model,
        "metric": row.measured.metric,
        "measured": row.measured.value,
        "published": row.published,
        "first_stage": row.measured.first_stage,
        "published_first_stage": row.published_first_stage,
        "difference": row.difference,
        "verdict": row.verdict,
        "assuming": list(row.assuming),
        "fields": [asdict(field) for field in row.fields],
        "table": row.table.name,
        "published_model": row.row.label if row.row else None,
        "source": row.table.source.model_dump(mode="json"),
    }
