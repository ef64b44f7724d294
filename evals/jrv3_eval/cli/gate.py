"""`jrv3-eval gate`: stop a regression, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError


def gate(
    baseline: Annotated[Path, typer.Option(help="Result folder of the baseline.")],
    results: Annotated[Path, typer.Option(help="Result folder of the candidate.")],
    margin: Annotated[
        float, typer.Option(help="A drop of this size must be excluded to pass; a fraction.")
    ] = 0.005,
    alpha: Annotated[float, typer.Option(help="False-alarm rate of the whole invocation.")] = 0.05,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 also where a verdict is inconclusive.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="Which system, where a folder holds several.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML there.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the verdicts as JSON instead of the table.")
    ] = False,
) -> None:
    """Compare a candidate with a baseline on the same candidates: pass, fail or inconclusive.

    Exits with 0 (passed, or inconclusive with a warning), 1 (failed) or 2 (not comparable).
    """
    from ..console import print_gate
    from ..gate import decide, gate_panel, to_json, to_junit, to_markdown
    from ..paths import atomic_path

    if baseline.resolve() == results.resolve():
        raise UsageError(
            "Baseline and results are the same folder.",
            where=str(baseline),
            next_step="name the candidate's own results: --results DIR",
        )
    outcome = decide(gate_panel(baseline, results, model), margin=margin, alpha=alpha)
    if junit is not None:
        with atomic_path(junit) as temporary:
            temporary.write_text(to_junit(outcome, strict=strict), encoding="utf-8")
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as stream:
            stream.write(to_markdown(outcome))
    if as_json:
        typer.echo(json.dumps(to_json(outcome), indent=2))
    else:
        print_gate(outcome)
    if outcome.verdict == "inconclusive" and not strict:
        typer.echo("warning: inconclusive; --strict would exit with 1", err=True)
    raise typer.Exit(outcome.exit_code(strict))
