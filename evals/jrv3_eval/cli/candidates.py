"""`jrv3-eval candidates`: candidate sets as files to share."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..candidates import Manifest

app = typer.Typer(help="Build candidate sets, show, export and import them as files.")

Suite = Annotated[str, typer.Argument(help="The suite.")]
Tasks = Annotated[
    list[str] | None,
    typer.Option("--tasks", help="Only these tasks, separated by commas.", show_default="default"),
]
Languages = Annotated[
    list[str] | None,
    typer.Option("--languages", help="Only these languages, separated by commas."),
]
FirstStage = Annotated[
    str | None,
    typer.Option("--first-stage", help="As for a suite.", show_default="the suite's own"),
]
Depth = Annotated[
    int | None,
    typer.Option("--depth", help="Candidates a query.", min=1, show_default="the suite's own"),
]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Local copies, as for a suite.")]
TasksDir = Annotated[Path | None, typer.Option("--tasks-dir", help="Your own task cards.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]


@app.command("build")
def build(
    suite: Suite,
    to: Annotated[Path, typer.Option(help="Folder for one .parquet file a task.")],
    tasks: Tasks = None,
    languages: Languages = None,
    first_stage: FirstStage = None,
    depth: Depth = None,
    data_dir: DataDir = None,
    tasks_dir: TasksDir = None,
    device: Device = "auto",
) -> None:
    """Build candidate sets and write them as files, for --first-stage candidates:FILE."""
    from ..evaluation import Options
    from ..evaluation.artifacts import build_sets
    from .suite import split_names

    options = Options(
        tasks=split_names("--tasks", tasks),
        languages=split_names("--languages", languages),
        first_stage=first_stage,
        depth=depth,
        data_dir=data_dir,
        tasks_dir=tasks_dir,
        settings={"device": device},
    )
    for path, manifest in build_sets(suite, to, options):
        typer.echo(f"{path}: {_line(manifest)}")


@app.command("export")
def export(
    sets: Annotated[
        list[Path], typer.Argument(help="Saved sets, or folders of them, of different tasks.")
    ],
    to: Annotated[Path, typer.Option(help="The bundle to write, such as beir-bm25.zip.")],
) -> None:
    """Pack saved sets into one file for another team; the same sets give the same bytes."""
    from ..candidates import write_bundle
    from ..errors import DataError

    files = [
        file
        for place in sets
        for file in (sorted(place.glob("*.parquet")) if place.is_dir() else [place])
    ]
    if not files:
        raise DataError(
            "There is no saved candidate set.",
            where=", ".join(map(str, sets)),
            next_step="jrv3-eval candidates build SUITE --to FOLDER",
        )
    for manifest in write_bundle(files, to):
        typer.echo(f"{manifest.suite}-{manifest.task}: {_line(manifest)}")
    typer.echo(f"{to}: {len(files)} sets; others load it with: jrv3-eval candidates import {to}")


@app.command("import")
def import_(
    bundle: Annotated[Path, typer.Argument(help="A file that `candidates export` wrote.")],
    to: Annotated[Path, typer.Option(help="Folder for one .parquet file a task.")],
    check: Annotated[
        bool,
        typer.Option("--check", help="Load the datasets, and refuse sets of another version."),
    ] = False,
    data_dir: DataDir = None,
    tasks_dir: TasksDir = None,
) -> None:
    """Unpack a bundle: each set is checked by its hash, and is used with candidates:FOLDER."""
    from ..candidates import read_bundle, unpack_bundle
    from ..paths import check_writable

    manifests = read_bundle(bundle)
    if check:
        from ..evaluation.artifacts import refuse_other_datasets

        with tempfile.TemporaryDirectory() as folder:
            unpack_bundle(bundle, Path(folder))  # its own faults come first
        refuse_other_datasets(bundle, manifests, data_dir=data_dir, tasks_dir=tasks_dir)
    check_writable(to)
    unpacked = unpack_bundle(bundle, to)
    for path, manifest in unpacked:
        typer.echo(f"{path}: {_line(manifest)}")
    for suite in sorted({manifest.suite for _, manifest in unpacked}):
        tasks = ",".join(manifest.task for _, manifest in unpacked if manifest.suite == suite)
        typer.echo(
            f"next: jrv3-eval {suite} --tasks {tasks} --first-stage candidates:{to} --model ..."
        )


@app.command("show")
def show(
    file: Annotated[
        Path, typer.Argument(help="A saved candidate set, a bundle or a folder of them.")
    ],
) -> None:
    """Print what a saved set, a bundle or a folder of sets holds, as JSON."""
    from ..candidates import load_candidates, read_bundle, read_manifest, unpack_bundle

    if file.is_dir():
        found = [read_manifest(one).to_json() for one in sorted(file.glob("*.parquet"))]
        typer.echo(json.dumps(found, indent=2))
        return
    if zipfile.is_zipfile(file):
        with tempfile.TemporaryDirectory() as folder:
            unpack_bundle(file, Path(folder))
        typer.echo(json.dumps([manifest.to_json() for manifest in read_bundle(file)], indent=2))
        return
    loaded = load_candidates(file)
    content = read_manifest(file).to_json()
    content |= {"queries": len(loaded), "candidates": len(loaded.docids)}  # old files lack them
    typer.echo(json.dumps(content, indent=2))


def _line(manifest: Manifest) -> str:
    quality = {**manifest.metrics, **{f"oracle {k}": v for k, v in manifest.oracle.items()}}
    shown = "".join(f", {name} {value:.4f}" for name, value in quality.items())
    return (
        f"{manifest.queries} queries, {manifest.candidates} candidates, "
        f"{manifest.first_stage}, depth {manifest.depth}{shown}, hash {manifest.hash[:12]}"
    )
