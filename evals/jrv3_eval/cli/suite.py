"""`jrv3-eval SUITE`: evaluate models on a suite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError, unknown
from ..network import go_offline

if TYPE_CHECKING:
    pass

HELP = "Evaluate rerankers on a suite: candidates, reranking, nDCG, a record and a table."


def run_suite(
    ctx: typer.Context,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A folder, a hub id, family:target, run:FILE, none, oracle or random:SEED. "
            "Repeatable.",
            show_default="the suite's own",
        ),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(help="Only these tasks, separated by commas.", show_default="all"),
    ] = None,
    languages: Annotated[
        list[str] | None,
        typer.Option(help="Only these languages, separated by commas.", show_default="all"),
    ] = None,
    first_stage: Annotated[
        str | None,
        typer.Option(
            help="bm25, bm25:k1=0.9,b=0.4, dense:MODEL, run:FILE or candidates:FILE.",
            show_default="the suite's own",
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(help="Candidates a query.", min=1, show_default="the suite's own"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Only N queries, by a stable sample. The result says so.", min=1),
    ] = None,
    order: Annotated[
        str,
        typer.Option(
            help="first-stage, reverse or random:SEED: the order in which the model sees "
            "the candidates."
        ),
    ] = "first-stage",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    dtype: Annotated[
        str | None,
        typer.Option(help="float32, bfloat16 or float16.", show_default="the reranker's own"),
    ] = None,
    attention: Annotated[
        str | None,
        typer.Option(
            help="For lbnl: sdpa, blocked, flash_attention_2 or flex_attention.",
            show_default="the reranker's own",
        ),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="For lbnl: torch.compile of the elementwise work.")
    ] = False,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the reranker, key=value. Repeatable."),
    ] = None,
    results: Annotated[Path, typer.Option(help="Where records go.")] = Path("results/runs"),
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Local copies: a folder TASK or SUITE-TASK for each task."),
    ] = None,
    tasks_dir: Annotated[
        Path | None, typer.Option(help="A folder with your own task cards (*.yaml).")
    ] = None,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Ask no network, as with HF_HUB_OFFLINE=1."),
    ] = False,
    partial_average: Annotated[
        bool,
        typer.Option(
            "--partial-average", help="Print a mean also over an incomplete list of tasks."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the list of records instead of the table.")
    ] = False,
) -> None:
    """Evaluate rerankers on a suite: candidates, reranking, nDCG, a record and a table."""
    _check_name(ctx, tasks_dir)
    if as_json and partial_average:
        raise UsageError(
            "--json prints records, which hold no averages, so --partial-average does nothing.",
            next_step="leave one of them out",
        )
    if offline:
        go_offline()  # before a hub library is imported
    from ..evaluation import Options, evaluate_suite
    from ..rerankers.settings import read_pairs

    options = Options(
        tasks=split_names("--tasks", tasks),
        languages=split_names("--languages", languages),
        first_stage=first_stage,
        depth=depth,
        limit=limit,
        order=order,
        results=results,
        data_dir=data_dir,
        tasks_dir=tasks_dir,
        settings=read_pairs(
            setting or [],
            {
                **({"device": device} if device != "auto" else {}),
                **({"dtype": dtype} if dtype else {}),
                **({"attention": attention} if attention else {}),
                **({"compile": "true"} if compiled else {}),
            },
        ),
    )
    outcome = evaluate_suite(str(ctx.info_name), model or [], options)
    if as_json:
        typer.echo(json.dumps([result.to_json() for result in outcome], indent=2))
    else:
        from ..averages import suite_averages
        from ..cards import load_suite
        from ..console import print_results

        suite = load_suite(str(ctx.info_name), tasks_dir)
        print_results(outcome, results, suite_averages(suite, outcome, partial=partial_average))


def _check_name(ctx: typer.Context, tasks_dir: Path | None) -> None:
    """Refuse a name that is neither a command nor a suite, before anything heavy is imported."""
    from ..cards import suite_files

    suites = suite_files(tasks_dir)
    if ctx.info_name not in suites:
        group = ctx.parent.command if ctx.parent else None
        commands = set(getattr(group, "commands", {})) - {"SUITE"}
        raise unknown("command or suite", str(ctx.info_name), {*suites, *commands})


def split_names(option: str, given: list[str] | None) -> tuple[str, ...]:
    """Names of a repeatable option whose values may hold several, separated by commas."""
    names = [part.strip() for text in given or [] for part in text.split(",")]
    if given and not any(names):
        raise UsageError(f"{option} names nothing.", next_step="leave it out to take all")
    return tuple(name for name in names if name)
