"""`jrv3-eval models`: which families of rerankers are registered."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
) -> None:
    """List families of rerankers, what they run, and the extra that each needs."""
    from ..rerankers.registry import families

    rows = [
        {
            "family": family.name,
            "models": family.models,
            "listwise": family.listwise,
            "extra": family.extra,
            "settings": sorted(family.settings.model_fields),
        }
        for family in families().values()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    from ..console import print_models

    print_models(rows)
