"""Which reranker families there are, and which one opens a model.

Families are entry points of the group `jrv3_eval.rerankers`, so that another package can add
one. A model's family comes from its checkpoint, never from its name.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from ..checkpoint import PACKAGES, Checkpoint, open_checkpoint, refuse_remote_code
from ..errors import UsageError, unknown
from .masking import masked
from .plugins import Plugin, plugins
from .protocol import Family, Reranker
from .settings import parse_settings

__all__ = ["families", "open_reranker", "parse_settings"]

BASELINES = ("none", "oracle", "random:SEED")
_INDENT = "\n         "  # under the text of an error's next step


def families() -> dict[str, Family]:
    """All families that can be used, by name, sorted.

    A broken plugin is not among them; `plugins` lists it with its fault.
    """
    return {p.name: p.family for p in plugins() if p.family is not None}


def open_reranker(spec: str, settings: Mapping[str, str] | None = None) -> Reranker:
    """The reranker that a SPEC names; cheap, no weights are loaded.

    spec: `family:target`, or a target alone (folder, hub id, package:NAME) whose family is
    detected from its config and files. settings: by name, as strings. Raises UsageError for an
    unknown family or setting, an ambiguous checkpoint, a broken plugin that is asked for by
    name, or an extra that is not installed; CheckpointError for a bad target.
    """
    known = {plugin.name: plugin for plugin in plugins()}
    plugin, target = _split(spec, known)
    if plugin is None:
        plugin = _detect(target, known)
    family = plugin.use()
    with plugin.blamed("open a model"):
        return family.open(target, parse_settings(family, settings or {}))


def _split(spec: str, known: Mapping[str, Plugin]) -> tuple[Plugin | None, str]:
    """The forced family, if any, and the target of a spec."""
    prefix, colon, rest = spec.partition(":")
    if colon and prefix in known:
        if not rest.strip():
            raise UsageError(
                f"The model spec {spec!r} names a family but no target.",
                next_step=f"{prefix}:TARGET, where TARGET is {known[prefix].needs}",
            )
        return known[prefix], rest
    if (
        colon
        and prefix != "package"
        and len(prefix) > 1
        and "/" not in prefix
        and not _is_folder(spec)
    ):
        raise unknown("reranker family", prefix, known, where=masked(spec))
    if not colon and not any(c in spec for c in "/\\.~") and not _is_folder(spec):
        names = (*BASELINES, *(f"{n}:TARGET" for n in known), *(f"package:{p}" for p in PACKAGES))
        names = (*names, "a folder", "a hub id (org/name)")
        raise unknown("reranker", spec, names, where="no folder of this name either")
    return None, spec


def _detect(target: str, known: Mapping[str, Plugin]) -> Plugin:
    """The one family that recognises a checkpoint; a broken plugin is passed over, and said so."""
    checkpoint = open_checkpoint(target, allow_auto_map=True)
    found = []
    for plugin in known.values():
        try:
            if plugin.recognises(checkpoint.config, checkpoint.files):
                found.append(plugin)
        except UsageError as fault:
            sys.stderr.write(
                f"warning: {fault.what} So it has no say in what {checkpoint.name} is.\n"
            )
    if len(found) == 1:
        return found[0]
    if not found:
        refuse_remote_code(checkpoint)
        raise _unrecognised(checkpoint, target, known)
    raise UsageError(
        f"{checkpoint.name} is recognised by {' and '.join(p.name for p in found)}.",
        where=str(checkpoint.folder),
        next_step="force a family:" + _listed({f"{p.name}:{target}": p for p in found}),
    )


def _unrecognised(checkpoint: Checkpoint, target: str, known: Mapping[str, Plugin]) -> UsageError:
    return UsageError(
        f"{checkpoint.name} is recognised by no family "
        f"(architectures: {checkpoint.config.get('architectures')}).",
        where=str(checkpoint.folder),
        next_step=f"force a family, FAMILY:{target}, with one of:"
        + _listed({p.name: p for p in known.values() if p.family}),
    )


def _listed(choices: Mapping[str, Plugin]) -> str:
    """One line a family: how to name it, and what it runs."""
    width = max(map(len, choices), default=0)
    lines = (f"{form:<{width}}  {p.family.models}" for form, p in choices.items() if p.family)
    return "".join(_INDENT + line for line in lines)


def _is_folder(spec: str) -> bool:
    try:
        return bool(spec) and Path(spec).is_dir()
    except OSError:  # a name that no file system takes
        return False
