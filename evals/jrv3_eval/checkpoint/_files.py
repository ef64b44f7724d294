"""What is in a checkpoint folder: its identity, and the checks before anything is loaded."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import CheckpointError
from ..hashing import digest_file, digest_parts

# Pickles, but not what a trainer or another runtime leaves beside the weights.
_PICKLED_WEIGHTS = re.compile(
    r"(?!training_args|optimizer|scheduler|scaler|rng_state|openvino)"
    r".*\.(bin|pt|pth|ckpt|pkl)"
)
# All that can change a score; too much costs a second scoring, too little gives stale scores.
_SCORING = (
    ".safetensors",
    ".json",
    ".txt",
    ".model",
    ".spm",
    ".tiktoken",
    ".jinja",
    "artifact.metadata",  # ColBERT's lengths and markers
)
_BYSTANDERS = re.compile(
    r"(trainer_state|all_results|train_results|eval_results|data_config|requirements|licen[cs]e)"
    r".*\.(json|txt)",
    re.IGNORECASE,
)
_digests: dict[tuple[str, int, int], str] = {}


@dataclass(frozen=True)
class Checkpoint:
    """A model folder that passed the checks of `open_checkpoint`.

    revision: hub commit or package version, None for a local folder. config: config.json.
    files: POSIX paths, relative to the folder, of its root and its module folders.
    weights: hex SHA-256 over names and contents of all files that can change a score.
    """

    folder: Path
    name: str
    revision: str | None
    config: Mapping[str, Any]
    files: frozenset[str]
    weights: str

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON object in the folder; empty if there is no such file.

        Raises CheckpointError if the file is not a JSON object.
        """
        if name not in self.files:
            return {}
        value = _parse(self.folder / name)
        if not isinstance(value, dict):
            raise CheckpointError(
                f"{name} should hold a JSON object.", where=str(self.folder / name)
            )
        return value

    def read_list(self, name: str) -> list[Any]:
        """A JSON list in the folder; empty if there is no such file. Raises as `read_json`."""
        value = _parse(self.folder / name) if name in self.files else []
        if not isinstance(value, list):
            raise CheckpointError(f"{name} should hold a JSON list.", where=str(self.folder / name))
        return value


def inspect(folder: Path, *, name: str, revision: str | None) -> Checkpoint:
    """Check a folder and compute its identity."""
    rooms = ("", *_module_folders(folder))
    files = frozenset(
        (PurePosixPath(room) / path.name).as_posix()
        for room in rooms
        for path in (folder / room).iterdir()
        if path.is_file()
    )
    if "adapter_config.json" in {PurePosixPath(f).name for f in files}:
        raise CheckpointError(
            "The folder holds an adapter, whose base model is elsewhere.",
            where=str(folder / "adapter_config.json"),
            next_step="merge it into the base model (peft: merge_and_unload, then save_pretrained)",
        )
    config = _read_config(folder, rooms, files)
    _refuse_pickles(folder, rooms, files, config)
    _check_weights(folder, files)
    scoring = sorted(
        f for f in files if f.endswith(_SCORING) and not _BYSTANDERS.fullmatch(Path(f).name)
    )
    parts = (p.encode() for f in scoring for p in (f, digest_once(folder / f)))
    return Checkpoint(folder, name, revision, config, files, digest_parts(parts))


def _module_folders(folder: Path) -> tuple[str, ...]:
    """Sub-folders that a sentence-transformers modules.json names, without the root."""
    index = folder / "modules.json"
    if not index.is_file():
        return ()
    entries = _parse(index)
    listed = isinstance(entries, list) and all(isinstance(e, dict) for e in entries)
    paths: list[str] = [e.get("path") for e in entries] if listed else []
    if not listed or not all(isinstance(p, str) for p in paths):
        raise CheckpointError("modules.json should hold a list of modules.", where=str(index))
    for path in paths:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise CheckpointError(f"A module path leaves the folder: {path!r}.", where=str(index))
    return tuple(p for p in dict.fromkeys(paths) if p and (folder / p).is_dir())


def _read_config(folder: Path, rooms: tuple[str, ...], files: frozenset[str]) -> dict[str, Any]:
    names = [(PurePosixPath(room) / "config.json").as_posix() for room in rooms[:2]]
    name = next((n for n in names if n in files), None)
    if name is None:
        if "modules.json" in files:  # a static embedding model has no transformer config
            return {}
        raise CheckpointError(
            "The folder has no config.json, so it is not a model checkpoint.",
            where=str(folder),
            next_step="give the folder that save_pretrained wrote",
        )
    config = _parse(folder / name)
    if not isinstance(config, dict):
        raise CheckpointError("config.json should hold a JSON object.", where=str(folder / name))
    return config


def _refuse_pickles(
    folder: Path, rooms: tuple[str, ...], files: frozenset[str], config: Mapping[str, Any]
) -> None:
    """Every folder with weights must have them as safetensors; so must the checkpoint."""
    for room in rooms:
        names = [f for f in files if PurePosixPath(f).parent == PurePosixPath(room)]
        pickles = sorted(f for f in names if _PICKLED_WEIGHTS.fullmatch(PurePosixPath(f).name))
        if pickles and not any(f.endswith(".safetensors") for f in names):
            raise CheckpointError(
                f"The checkpoint has only pickled weights ({', '.join(pickles)}), and a pickle "
                "can run any code when it is opened.",
                where=str(folder / room),
                next_step="if you trust its source, convert to safetensors: "
                + _conversion(folder, files, config),
            )
    if not any(f.endswith(".safetensors") for f in files):
        raise CheckpointError(
            "The checkpoint has no safetensors weights.",
            where=str(folder),
            next_step="other formats (pickles, GGUF, ONNX) are not fetched or read: choose a "
            "checkpoint with *.safetensors files, or save the model with save_pretrained",
        )


def _conversion(folder: Path, files: frozenset[str], config: Mapping[str, Any]) -> str:
    """A command that rewrites the folder's weights as safetensors."""
    where = repr(str(folder))
    names = config.get("architectures")
    architecture = str(names[0]) if isinstance(names, list) and names else ""
    if not architecture.isidentifier():  # a config must not write code into our command
        architecture = "AutoModel"
    loader = f"import transformers as m; m.{architecture}.from_pretrained"
    if "modules.json" in files:
        loader = "import sentence_transformers as m; m.SentenceTransformer"
    return "python -c " + shlex.quote(f"{loader}({where}).save_pretrained({where})")


def _check_weights(folder: Path, files: frozenset[str]) -> None:
    """No shard of a sharded checkpoint is missing and no weight file is cut short."""
    for index in sorted(f for f in files if f.endswith(".safetensors.index.json")):
        content = _parse(folder / index)
        shards = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(shards, dict):
            raise CheckpointError("The shard index has no weight_map.", where=str(folder / index))
        room = PurePosixPath(index).parent
        missing = sorted({s for s in shards.values() if (room / str(s)).as_posix() not in files})
        if missing:
            raise CheckpointError(
                f"The checkpoint lacks {len(missing)} of its shards: {', '.join(missing)}.",
                where=str(folder / index),
                next_step="copy or download the missing files again",
            )
    for name in sorted(f for f in files if f.endswith(".safetensors")):
        if not _is_whole(folder / name):
            raise CheckpointError(
                "The weight file is cut short or is no safetensors file.",
                where=str(folder / name),
                next_step="download it again (after a git clone: git lfs pull)",
            )


def _is_whole(path: Path) -> bool:
    """True if a safetensors file is as long as its header says (8 bytes + header + data)."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if 8 + length > path.stat().st_size:
            return False
        try:
            header = json.loads(stream.read(length))
            ends = [t["data_offsets"][1] for n, t in header.items() if n != "__metadata__"]
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            return False
    return bool(8 + length + max(ends, default=0) == path.stat().st_size)


def _parse(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(
            f"{path.name} is not valid JSON: {error}.",
            where=str(path),
            next_step="copy or download the file again",
        ) from error


def digest_once(path: Path) -> str:
    """SHA-256 of a file, remembered in this process until its size or time changes."""
    status = path.stat()
    key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
    if key not in _digests:
        _digests[key] = digest_file(path)
    return _digests[key]
