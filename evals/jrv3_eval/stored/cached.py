"""Texts, judgements and candidates of a stored result, from the cache where it has them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from ..candidates import CandidateSet, load_candidates, read_manifest
from ..collection import Collection, open_collection
from ..errors import DataError
from ..record import TaskResult


@cache
def cached_collection(fingerprint: str, root: Path) -> Collection | None:
    """The collection of this fingerprint, if the cache has it whole."""
    for meta in sorted((root / "collections").glob("*/meta.json")):
        try:
            if json.loads(meta.read_text(encoding="utf-8")).get("fingerprint") == fingerprint:
                return open_collection(meta.parent)
        except (OSError, ValueError, KeyError, TypeError, DataError):
            continue  # damaged: evaluating would build it again, a report does without
    return None


def cached_candidates(result: TaskResult, qids: tuple[str, ...], root: Path) -> CandidateSet | None:
    """The candidates that the result rests on, if the cache has them; by their hash."""
    for path in sorted((root / "candidates").glob(f"{result.suite}-{result.task}-*.parquet")):
        try:
            manifest = read_manifest(path)
            if manifest.dataset != result.dataset.fingerprint:
                continue
            if result.limit is None and manifest.hash != result.candidates.hash:
                continue
            candidates = load_candidates(path)
        except DataError:
            continue
        if result.limit is not None and set(qids) <= set(candidates.qids):
            candidates = candidates.select([qid for qid in candidates.qids if qid in set(qids)])
        if candidates.hash == result.candidates.hash:
            return candidates
    return None
