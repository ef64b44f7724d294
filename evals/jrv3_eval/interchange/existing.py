"""Files of an earlier export: one of another protocol, order or data is never written over."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..errors import DataError

APART = "export into a folder of its own, or remove the file"
_TELLING = ("depth", "candidates", "order", "dataset")
# Of a run's header: where, when and at what cost the same work was done.
_DONE_ANYWHERE = ("platform", "implementation", "resources")
_META = ("name", "revision", "experiment_kwargs")


def refuse_same_place(paths: Iterable[tuple[Path, Path]]) -> None:
    """Raise DataError where two results of one export go to one file. paths: file, record."""
    seen: dict[Path, Path] = {}
    for path, record in paths:
        if path in seen:
            raise DataError(
                f"Two results would be written as one file, {path.name}: their models, "
                "candidates, orders and settings have the same names as folders.",
                where=f"{seen[path]}\n         {record}",
                next_step="name the one folder that is meant, or export them one by one, each "
                "with a --to of its own",
            )
        seen[path] = record


def refuse_other_result(path: Path, new: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Raise DataError where one of mteb's result files is there and is of something else.

    It may be replaced by the same model's on the same candidates, and by one with more subsets.
    new, meta: the contents of the result file and of the model_meta.json beside it.
    """
    if not path.exists():
        return
    old, old_meta = _json(path), _json(path.parent / "model_meta.json")
    there, here = _subsets(old), _subsets(new)
    lost = sorted("/".join(place) for place in there.keys() - here.keys())
    if lost:
        raise _other(path, f"it holds {', '.join(lost)}, which this export has not")
    for place, what in there.items():
        differing = [key for key in _TELLING if what.get(key) != here[place].get(key)]
        if not what or differing:
            raise _other(path, f"it is of another {' and '.join(differing) or 'program'}")
    differing = [key for key in _META if old_meta.get(key) != meta.get(key)]
    if differing:
        raise _other(path, f"it is of another model: {' and '.join(differing)} differ")


def refuse_other_run(path: Path, header: Iterable[str]) -> None:
    """Raise DataError where a run is there whose header tells of other work.

    header: the lines of the new one. What may differ is where, when and at what cost the same
    work was done.
    """
    if not path.exists():
        return
    old, new = _metadata(_header_of(path)), _metadata(header)
    if not old:
        raise _other(path, "it has no header of ir_metadata that could be read")
    differing = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    if differing:
        raise _other(path, f"its header differs in {', '.join(differing)}")


def _other(path: Path, why: str) -> DataError:
    return DataError(
        f"A file of another result would be written over: {why}.",
        where=str(path),
        next_step=APART,
    )


def _json(path: Path) -> dict[str, Any]:
    """Empty where it is no JSON object, which then states nothing."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _subsets(content: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """(split, subset) -> what is stated of it; one that states nothing where all is damaged."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    try:
        for split, subsets in content["scores"].items():
            for scores in subsets:
                stated = scores.get("previous_results_model_meta") or scores.get("jrv3_eval") or {}
                found[str(split), str(scores["hf_subset"])] = dict(stated)
    except (AttributeError, KeyError, TypeError, ValueError):
        return {("damaged", "scores"): {}}
    return found


def _header_of(path: Path) -> list[str]:
    lines = []
    try:
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                if not line.startswith("#"):
                    break
                lines.append(line.removeprefix("#").removeprefix(" ").rstrip("\n"))
    except (OSError, ValueError):
        return []
    return lines


def _metadata(lines: Iterable[str]) -> dict[str, Any]:
    """What a header says of the work itself; empty where it is none."""
    kept = [line for line in lines if not line.startswith("ir_metadata.")]
    try:
        content = yaml.safe_load("\n".join(kept))
    except yaml.YAMLError:
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: value for key, value in content.items() if key not in _DONE_ANYWHERE}
