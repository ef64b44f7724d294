"""Which reranker families there are, and which one opens a model.

Families are entry points of the group `jrv3_eval.rerankers`, so that another package can add
one. A model's family comes from its checkpoint, never from its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from pydantic import ValidationError

from ..checkpoint import PACKAGES, open_checkpoint, refuse_remote_code
from ..errors import UsageError, unknown
from .protocol import Family, Reranker, RerankerSettings

GROUP = "jrv3_eval.rerankers"
BASELINES = ("none", "oracle", "random:SEED")
_MEMBERS = ("name", "models", "listwise", "extra", "settings", "recognises", "open")
# What importing a module and looking into it can raise, short of interrupting the program.
_BROKEN = (ImportError, AttributeError, SyntaxError, TypeError, ValueError, LookupError, OSError)


def families() -> dict[str, Family]:
    """All registered families by name, sorted.

    Raises UsageError, naming the plugin, if one cannot be imported, is not a family, or takes
    a name that another has.
    """
    points: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        other = points.setdefault(point.name, point)
        if other.value != point.value:  # an editable install may list the same one twice
            raise UsageError(
                f"Two plugins provide the reranker family {point.name!r}: "
                f"{_source(other)} and {_source(point)}.",
                next_step="uninstall one of them",
            )
    return {name: _load(points[name]) for name in sorted(points)}


def open_reranker(spec: str, settings: Mapping[str, str] | None = None) -> Reranker:
    """The reranker that a SPEC names; cheap, no weights are loaded.

    spec: `family:target`, or a target alone (folder, hub id, package:NAME) whose family is
    detected from its config and files. settings: by name, as strings. Raises UsageError for an
    unknown family or setting or an ambiguous checkpoint, CheckpointError for a bad target.
    """
    known = families()
    family, target = _split(spec, known)
    if family is None:
        family = _detect(target, known)
    return family.open(target, parse_settings(family, settings or {}))


def parse_settings(family: Family, values: Mapping[str, str]) -> RerankerSettings:
    """A family's settings from strings. Raises UsageError naming a bad key or value."""
    fields = family.settings.model_fields
    for key in values:
        if key not in fields:
            raise unknown(f"setting of {family.name}", key, fields)
    try:
        return family.settings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        about = fields[key].description if key in fields else None
        raise UsageError(
            f"Bad value for the setting {key!r} of {family.name}: {first['msg']}.",
            where=f"{key}={values.get(key)}",
            next_step=f"{key} is: {about}" if about else None,
        ) from error


def _split(spec: str, known: Mapping[str, Family]) -> tuple[Family | None, str]:
    """The forced family, if any, and the target of a spec."""
    prefix, colon, rest = spec.partition(":")
    if colon and prefix in known:
        if not rest.strip():
            raise UsageError(
                f"The model spec {spec!r} names a family but no checkpoint.",
                next_step=f"{prefix}:TARGET, where TARGET is a folder, a hub id or package:NAME",
            )
        return known[prefix], rest
    if (
        colon
        and prefix != "package"
        and len(prefix) > 1
        and "/" not in prefix
        and not _is_folder(spec)
    ):
        raise unknown("reranker family", prefix, known, where=spec)
    if not colon and not any(c in spec for c in "/\\.~") and not _is_folder(spec):
        names = (*BASELINES, *(f"{n}:TARGET" for n in known), *(f"package:{p}" for p in PACKAGES))
        names = (*names, "a folder", "a hub id (org/name)")
        raise unknown("reranker", spec, names, where="no folder of this name either")
    return None, spec


def _detect(target: str, known: Mapping[str, Family]) -> Family:
    checkpoint = open_checkpoint(target, allow_auto_map=True)
    found = [f for f in known.values() if f.recognises(checkpoint.config, checkpoint.files)]
    if len(found) == 1:
        return found[0]
    if not found:
        refuse_remote_code(checkpoint)
    which = " and ".join(f.name for f in found)
    if not found:
        which = f"no family (architectures: {checkpoint.config.get('architectures')})"
    candidates = [f.name for f in found] or list(known)
    raise UsageError(
        f"{checkpoint.name} is recognised by {which}.",
        where=str(checkpoint.folder),
        next_step="force a family: " + " or ".join(f"{name}:{target}" for name in candidates),
    )


def _is_folder(spec: str) -> bool:
    try:
        return bool(spec) and Path(spec).is_dir()
    except OSError:  # a name that no file system takes
        return False


def _load(point: EntryPoint) -> Family:
    try:
        family: Family = point.load()
    except _BROKEN as error:
        raise UsageError(
            f"The reranker plugin {_source(point)} cannot be loaded: "
            f"{type(error).__name__}: {error}.",
            next_step="update or uninstall that package",
        ) from error
    absent = [m for m in _MEMBERS if not hasattr(family, m)]
    if absent or family.name != point.name:
        reason = f"it lacks {', '.join(absent)}" if absent else f"it calls itself {family.name!r}"
        raise UsageError(
            f"The reranker plugin {_source(point)} is not the family {point.name!r}: {reason}.",
            next_step="update or uninstall that package",
        )
    return family


def _source(point: EntryPoint) -> str:
    package = point.dist.name if point.dist else "an unknown package"
    return f"{point.value} (of {package})"
