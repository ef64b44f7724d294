"""Candidate sets of several tasks in one file, for another team.

A bundle is a zip: `manifest.json` (the list of manifests) and one Parquet file a task. The
same sets give the same bytes.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError
from ..paths import atomic_path
from .files import Manifest, load_candidates, read_manifest

INDEX = "manifest.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's first moment: no clock enters the bytes
_STEP = "name a file that `jrv3-eval candidates export` wrote"


def write_bundle(sets: Sequence[Path], path: Path) -> list[Manifest]:
    """Pack saved sets, which must be of different tasks. Each is read and checked first."""
    manifests = []
    for file in sets:
        load_candidates(file)
        manifests.append(read_manifest(file))
    names = [_file_name(manifest) for manifest in manifests]
    if len(set(names)) != len(names):
        raise DataError(
            "Two of the sets are of the same task.",
            where=", ".join(map(str, sets)),
            next_step="export one set a task",
        )
    index = json.dumps([m.to_json() for m in manifests], indent=2, sort_keys=True)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as zipped:
        zipped.writestr(zipfile.ZipInfo(INDEX, _EPOCH), index + "\n")
        for name, file in zip(names, sets, strict=True):  # stored: Parquet is compressed
            member = zipfile.ZipInfo(name, _EPOCH)
            with zipped.open(member, "w", force_zip64=True) as out, file.open("rb") as stream:
                shutil.copyfileobj(stream, out)
    return manifests


def read_bundle(path: Path) -> list[Manifest]:
    """What a bundle holds. Raises DataError where the file is none."""
    if not path.is_file():
        raise DataError("The bundle does not exist.", where=str(path), next_step=_STEP)
    try:
        with zipfile.ZipFile(path) as zipped:
            content = json.loads(zipped.read(INDEX))
        return [Manifest(**{k: v for k, v in one.items() if k != "format"}) for one in content]
    except (zipfile.BadZipFile, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            "The file is not a bundle of candidate sets.", where=str(path), next_step=_STEP
        ) from error


def unpack_bundle(path: Path, folder: Path) -> list[tuple[Path, Manifest]]:
    """Write the bundle's sets into `folder`, one Parquet file a task, each checked by its hash.

    Nothing else of the zip is read, so that it cannot write elsewhere. Raises DataError where
    a set is missing, damaged, or is not what the bundle's index says.
    """
    unpacked = []
    manifests = read_bundle(path)
    with tempfile.TemporaryDirectory() as checked, zipfile.ZipFile(path) as zipped:
        for manifest in manifests:
            unpacked.append(_checked(zipped, manifest, path, Path(checked)))
        for file in unpacked:  # only when all of them are good
            with atomic_path(folder / file.name) as temporary:
                temporary.write_bytes(file.read_bytes())
    return [(folder / file.name, m) for file, m in zip(unpacked, manifests, strict=True)]


def _checked(zipped: zipfile.ZipFile, manifest: Manifest, path: Path, folder: Path) -> Path:
    name = _file_name(manifest)
    file = folder / name
    try:
        file.write_bytes(zipped.read(name))
    except (KeyError, zipfile.BadZipFile, OSError) as error:
        raise DataError(
            f"The bundle has no readable {name}.", where=str(path), next_step="fetch it again"
        ) from error
    load_candidates(file)
    if read_manifest(file) != manifest:
        raise DataError(
            f"The set {name} is not the one that the bundle's index describes.",
            where=str(path),
            next_step="fetch the bundle again",
        )
    return file


def _file_name(manifest: Manifest) -> str:
    """`<suite>-<task>.parquet`; the names of suites and tasks are plain."""
    name = f"{manifest.suite}-{manifest.task}.parquet"
    if Path(name).name != name or "\\" in name or "\0" in name:
        raise DataError(f"A set of the bundle has an impossible name: {name!r}.", next_step=_STEP)
    return name
