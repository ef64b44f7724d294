"""`jrv3-eval models`: which families of rerankers there are; new random checkpoints."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from ..rerankers.plugins import Plugin

app = typer.Typer(
    help="List families of rerankers, or make a checkpoint for a smoke test.",
    invoke_without_command=True,
)


@app.callback()
def list_models(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
) -> None:
    """List families of rerankers: what they run, of what target, with which extra."""
    if ctx.invoked_subcommand:
        return
    from ..rerankers.plugins import plugins

    rows = [_row(plugin) for plugin in plugins()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    from ..console import print_models

    print_models(rows)


@app.command("show")
def show_family(
    name: Annotated[str, typer.Argument(metavar="FAMILY", help="As the list names it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one object.")] = False,
) -> None:
    """Show one family with every setting: its values, default and meaning."""
    from ..errors import unknown
    from ..rerankers.plugins import plugins
    from ..rerankers.settings import settings_of

    known = {plugin.name: plugin for plugin in plugins()}
    if name not in known:
        raise unknown("reranker family", name, known)
    plugin = known[name]
    if plugin.family is None:
        raise plugin.fault or unknown("reranker family", name, known)
    with plugin.blamed("describe its settings"):
        described = [asdict(setting) for setting in settings_of(plugin.family)]
    row = {**_row(plugin), "settings": described}
    if as_json:
        typer.echo(json.dumps(row, indent=2))
        return
    from ..console import print_family

    print_family(row)


def _row(plugin: Plugin) -> dict[str, Any]:
    """A family for a machine. installed: whether its extra is; None where that is not known."""
    family, lacking = plugin.family, plugin.lacks()
    return {
        "family": plugin.name,
        "models": family.models if family else None,
        "listwise": family.listwise if family else None,
        "needs": plugin.needs if family else None,
        "package": plugin.package,
        "extra": family.extra if family else None,
        "installed": None if lacking is None else not lacking and family is not None,
        "missing": lacking or [],
        "settings": sorted(family.settings.model_fields) if family else [],
        "fault": plugin.fault.what if plugin.fault else None,
    }


@app.command("init-lbnl")
def init_lbnl(
    folder: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    size: Annotated[
        Literal["tiny", "released"],
        typer.Option(help="tiny: 2 narrow layers; released: jina-reranker-v3's own (1.2 GB)."),
    ] = "tiny",
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            help="A folder with tokenizer.json, such as Qwen3's; its markers are added.",
            show_default="single bytes",
        ),
    ] = None,
    dtype: Annotated[str, typer.Option(help="bfloat16, float16 or float32.")] = "bfloat16",
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 0,
    layers: Annotated[int | None, typer.Option(min=1, show_default="of the size")] = None,
    hidden: Annotated[int | None, typer.Option(min=2, show_default="of the size")] = None,
    intermediate: Annotated[int | None, typer.Option(min=1, show_default="of the size")] = None,
    heads: Annotated[int | None, typer.Option(min=1, show_default="of the size")] = None,
    key_heads: Annotated[int | None, typer.Option(min=1, show_default="of the size")] = None,
    head_dim: Annotated[int | None, typer.Option(min=2, show_default="of the size")] = None,
    projection: Annotated[
        int | None, typer.Option(min=1, help="Length of the vectors.", show_default="512")
    ] = None,
    sliding_window: Annotated[
        int | None,
        typer.Option(min=1, help="Sliding layers as in v3.5, of so many tokens.", show_default="-"),
    ] = None,
) -> None:
    """Write a randomly initialised checkpoint in jina-reranker-v3's layout.

    It ranks at random: for smoke tests, and to start a training from.
    """
    from dataclasses import replace

    from ..lbnl.initialise import SIZES, initialise

    changes = {
        "layers": layers,
        "hidden": hidden,
        "intermediate": intermediate,
        "heads": heads,
        "key_heads": key_heads,
        "head_dim": head_dim,
        "projection": projection,
    }
    shape = replace(SIZES[size], **{k: v for k, v in changes.items() if v is not None})
    count = initialise(
        folder, shape, tokenizer=tokenizer, dtype=dtype, seed=seed, sliding_window=sliding_window
    )
    typer.echo(f"{folder}: {count:,} random parameters, {dtype}")
    typer.echo(f"next: jrv3-eval demo --model {folder} --limit 5")
