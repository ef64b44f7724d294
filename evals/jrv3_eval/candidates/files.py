"""A candidate set as a file: Parquet, one row a query, a manifest in the schema's metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import DataError
from ..paths import atomic_path
from .sets import CandidateSet, candidate_set

FORMAT = 1
MANIFEST = b"jrv3_eval.candidates"
_NOT_ONE = "The file is not a saved candidate set."
_STEP = "name a file that jrv3-eval wrote, or use run:FILE for a TREC run"


@dataclass(frozen=True)
class Manifest:
    """What a saved set says of itself.

    dataset: fingerprint of the collection that it was built for. metrics: of the first stage
    itself; oracle: of the best possible order; fractions, empty where nobody measured them.
    """

    suite: str
    task: str
    first_stage: str
    settings: Mapping[str, Any]
    depth: int
    dataset: str
    hash: str
    queries: int | None = None
    candidates: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    oracle: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The manifest as other tools read it."""
        return {"format": FORMAT, **asdict(self)}


def save_candidates(
    candidates: CandidateSet,
    path: Path,
    *,
    suite: str,
    task: str,
    metrics: Mapping[str, float] | None = None,
    oracle: Mapping[str, float] | None = None,
) -> Manifest:
    """Write the set. metrics, oracle: of these candidates, for the manifest."""
    manifest = Manifest(
        suite=suite,
        task=task,
        first_stage=candidates.first_stage,
        settings=dict(candidates.settings),
        depth=candidates.depth,
        dataset=candidates.dataset,
        hash=candidates.hash,
        queries=len(candidates),
        candidates=len(candidates.docids),
        metrics=dict(metrics or {}),
        oracle=dict(oracle or {}),
    )
    offsets = pa.array(candidates.offsets, pa.int64())
    table = pa.table(
        {
            "qid": pa.array(candidates.qids, pa.string()),
            "docids": pa.LargeListArray.from_arrays(offsets, candidates.docids),
            "scores": pa.LargeListArray.from_arrays(offsets, pa.array(candidates.scores)),
        }
    ).replace_schema_metadata({MANIFEST: json.dumps(manifest.to_json(), sort_keys=True).encode()})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return manifest


def read_manifest(path: Path) -> Manifest:
    """What a saved set says of itself; its lists are not read. Raises DataError as loading does."""
    _refuse_absent(path)
    try:
        return _manifest(pq.read_schema(path), path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(_NOT_ONE, where=str(path), next_step=_STEP) from error


def load_candidates(path: Path) -> CandidateSet:
    """Read a saved set. Raises DataError on another kind of file or a wrong hash."""
    _refuse_absent(path)
    try:
        table = pq.read_table(path)
        manifest = _manifest(table.schema, path)
        columns = (table.column("docids").to_pylist(), table.column("scores").to_pylist())
        candidates = candidate_set(
            table.column("qid").to_pylist(),
            ((ids, np.asarray(scores, np.float32)) for ids, scores in zip(*columns, strict=True)),
            first_stage=manifest.first_stage,
            depth=manifest.depth,
            dataset=manifest.dataset,
            settings=manifest.settings,
        )
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(_NOT_ONE, where=str(path), next_step=_STEP) from error
    if candidates.hash != manifest.hash:
        raise DataError(
            "The file's content does not have the hash that its manifest states.",
            where=str(path),
            next_step="fetch the file again",
        )
    return candidates


def _refuse_absent(path: Path) -> None:
    if not path.is_file():
        raise DataError("The candidate file does not exist.", where=str(path), next_step=_STEP)


def _manifest(schema: pa.Schema, path: Path) -> Manifest:
    try:
        content = json.loads((schema.metadata or {})[MANIFEST])
        version = content.pop("format")
        if version == FORMAT:
            return Manifest(**content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(_NOT_ONE, where=str(path), next_step=_STEP) from error
    raise DataError(
        f"The candidate set has format {version}, not {FORMAT}.",
        where=str(path),
        next_step="build it again, or use the release of jrv3-eval that wrote it",
    )
