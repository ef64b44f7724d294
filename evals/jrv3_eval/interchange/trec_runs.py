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
from .existing import refuse_other_run, refuse_same_place


@dataclass(frozen=True)
class TrecRun:
    """One stored run and where it goes: `<record's folder>/<task>.run`."""

    path: PurePosixPath
    stored: Stored


def trec_runs(systems: Sequence[System]) -> list[TrecRun]:
    """A run for each result, in folders that are named as those of the records are.

    They name model, weights, first stage, candidates, depth, order, limit and settings. Raises
    DataError where two results have the same folder and name.
    """
    runs = [
        TrecRun(PurePosixPath(*stored.result.folder().parts, f"{stored.result.task}.run"), stored)
        for system in systems
        for stored in system.tasks.values()
    ]
    refuse_same_place((Path(run.path), run.stored.record) for run in runs)
    return runs


def write_trec(runs: Sequence[TrecRun], folder: Path) -> list[Path]:
    """Write them; scores read back as the same float32. Returns the files.

    Raises DataError where a stored run is missing or damaged, and as `check_trec`.
    """
    check_trec(runs, folder)
    written = []
    for run in runs:
        result = run.stored.result
        path = folder / run.path
        write_run(
            path,
            read_run(run.stored.record.with_suffix(".run.gz")),
            tag=tag_of(result),
            header=metadata_lines(whole_metadata(result)),
        )
        written.append(path)
    return written


def check_trec(runs: Sequence[TrecRun], folder: Path) -> None:
    """Raise DataError where writing them would replace another result's run; writes nothing."""
    for run in runs:
        header = metadata_lines(whole_metadata(run.stored.result))
        refuse_other_run(folder / run.path, header)


def tag_of(result: TaskResult) -> str:
    """The run's tag: the model over which candidates, to which depth, in which order, of how many.

    Such as `org-model-1a2b3c4d-d100-reverse-limit50`.
    """
    candidates = result.candidates
    order = [] if result.order == "first-stage" else [path_segment(result.order)]
    limit = [] if result.limit is None else [f"limit{result.limit}"]
    name, depth = path_segment(result.reranker.name), f"d{candidates.depth}"
    return "-".join([name, candidates.hash[:8], depth, *order, *limit])


def whole_metadata(result: TaskResult) -> dict[str, Any]:
    """The run's ir_metadata with where, when and at what cost it was made."""
    metadata = run_metadata(result)
    environment = result.environment
    libraries = {k: v for k, v in environment.versions.items() if k not in ("jrv3-eval", "python")}
    toolkit = "==".join(["jrv3-eval", environment.versions.get("jrv3-eval", "unknown")])
    return {
        **metadata,
        "tag": tag_of(result),
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
