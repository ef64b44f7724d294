"""Stored runs as plain TREC runs, each with its whole story in an ir_metadata header.

Source of the header's form: ir_metadata 0.1 (Breuer, Keller, Schaer 2022, SIGIR), by the
checklists of https://www.ir-metadata.org; `resources` as tirex_tracker writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..record import TaskResult, metadata_lines, path_segment, run_metadata
from ..stored import Stored, System
from ..trec import read_run, write_run


@dataclass(frozen=True)
class TrecRun:
    """One stored run and where it goes: `<system>/<suite>/<task>.run`."""

    path: PurePosixPath
    stored: Stored


def trec_runs(systems: Sequence[System]) -> list[TrecRun]:
    """A run for each result, in folders that are named as the systems are."""
    folders: dict[str, str] = {}
    for system in systems:
        name = path_segment(system.name)
        taken = set(folders.values())
        number = 2
        while name in taken:
            name, number = f"{path_segment(system.name)}-{number}", number + 1
        folders[system.name] = name
    return [
        TrecRun(PurePosixPath(folders[system.name], suite, f"{task}.run"), stored)
        for system in systems
        for (suite, task), stored in system.tasks.items()
    ]


def write_trec(runs: Sequence[TrecRun], folder: Path) -> list[Path]:
    """Write them; scores read back as the same float32. Returns the files.

    Raises DataError where a stored run is missing or damaged.
    """
    written = []
    for run in runs:
        result = run.stored.result
        path = folder / run.path
        write_run(
            path,
            read_run(run.stored.record.with_suffix(".run.gz")),
            tag=path_segment(result.reranker.name),
            header=metadata_lines(whole_metadata(result)),
        )
        written.append(path)
    return written


def whole_metadata(result: TaskResult) -> dict[str, Any]:
    """The run's ir_metadata with where, when and at what cost it was made."""
    metadata = run_metadata(result)
    environment = result.environment
    libraries = {k: v for k, v in environment.versions.items() if k not in ("jrv3-eval", "python")}
    toolkit = "==".join(["jrv3-eval", environment.versions.get("jrv3-eval", "unknown")])
    return {
        **metadata,
        "platform": {
            "hardware": _hardware(environment.hardware),
            "operating system": {"kernel": environment.hardware.get("platform")},
            "software": {
                "libraries": {"python": [f"{k}=={v}" for k, v in libraries.items()]},
                "retrieval toolkit": [toolkit],
            },
        },
        "implementation": {
            "executable": {"cmd": environment.command, "started": environment.started},
            "source": {"lang": [_language(environment.versions)]},
        },
        "resources": {
            "runtime": {"wallclock": f"{1000 * result.cost.seconds:.0f} ms"},
            "ram": {"used process": f"{result.cost.peak_memory_bytes / 1e6:.0f} MB"},
        },
    }


def _hardware(recorded: Mapping[str, Any]) -> dict[str, Any]:
    cpu = {"model": recorded.get("processor"), "number of cores": recorded.get("cores")}
    memory = recorded.get("memory_bytes")
    gpus = recorded.get("accelerators")
    return {
        "cpu": cpu,
        **({"gpu": {"model": ", ".join(map(str, gpus))}} if gpus else {}),
        **({"ram": f"{memory / 2**30:.2f} GB"} if memory else {}),
    }


def _language(versions: Mapping[str, str]) -> str:
    return f"python {versions['python']}" if "python" in versions else "python"
