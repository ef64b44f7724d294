"""Families as entry points: which are installed, what is wrong with one, what its extra lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import (
    Distribution,
    EntryPoint,
    PackageNotFoundError,
    entry_points,
    version,
)
from typing import Any

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ..errors import Jrv3EvalError, MissingExtraError, UsageError
from .protocol import Family, Reranker, RerankerInfo, RerankerSettings

GROUP = "jrv3_eval.rerankers"
ANY_CHECKPOINT = "a checkpoint: folder, hub id or package:NAME"
TAKEN = ("none", "oracle", "random", "run", "package")  # what `--model` means by these already
_OWN_PACKAGE = "jrv3-eval"
_NAME = re.compile(r"[A-Za-z][\w.-]+")  # longer than a drive's letter, and no colon or slash
_MEMBERS = ("name", "models", "listwise", "extra", "settings", "recognises", "open")
_TEXTS = {"models": False, "extra": True, "needs": True}  # and whether it may be None


class CheckedFamily:
    """A family whose members were read once, and have the right types."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        self.name: str = members["name"]
        self.models: str = members["models"]
        self.listwise: bool = members["listwise"]
        self.extra: str | None = members["extra"]
        self.settings: type[RerankerSettings] = members["settings"]
        self.needs: str | None = members["needs"]
        self._recognises, self._open = members["recognises"], members["open"]

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        """As the family says; raises what its code raises."""
        return bool(self._recognises(config, files))

    def open(self, target: str, settings: RerankerSettings) -> Reranker:
        """The family's reranker; raises what its code raises, TypeError if it is none."""
        opened: Reranker = self._open(target, settings)
        if not isinstance(opened.info, RerankerInfo):
            raise TypeError("the info of its reranker is no RerankerInfo")
        return opened


@dataclass(frozen=True)
class Plugin:
    """One name of the entry-point group, and the family there or why there is none.

    distribution: what brings it, None if that is not known.
    """

    name: str
    distribution: Distribution | None
    loaded: Family | UsageError

    @property
    def package(self) -> str | None:
        """The name of the distribution."""
        return self.distribution.name if self.distribution else None

    @property
    def family(self) -> Family | None:
        """The family, None if the plugin is broken."""
        return None if isinstance(self.loaded, UsageError) else self.loaded

    @property
    def fault(self) -> UsageError | None:
        """What is wrong with a broken plugin."""
        return self.loaded if isinstance(self.loaded, UsageError) else None

    @property
    def needs(self) -> str:
        """What a target of this family is."""
        return (self.family and getattr(self.family, "needs", None)) or ANY_CHECKPOINT

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        """As the family says. Raises UsageError if the plugin is broken."""
        if isinstance(self.loaded, UsageError):
            raise self.loaded
        with self.blamed("look at a checkpoint", ours=True):
            return self.loaded.recognises(config, files)

    @contextmanager
    def blamed(self, what: str, *, ours: bool = False) -> Iterator[None]:
        """Raise a UsageError that names the package where its code fails to do this.

        What a family itself raises as an error of `errors` passes. ours: of this package's own
        families too, whose faults else keep their tracebacks.
        """
        try:
            yield
        except Jrv3EvalError:
            raise
        except (Exception, SystemExit) as error:
            if self.package == _OWN_PACKAGE and not ours:
                raise
            raise UsageError(
                f"The reranker family {self.name!r} (of {self.package or 'an unknown package'}) "
                f"fails to {what}: {_shown(error)}.",
                next_step="report it to the authors of that package; update or uninstall it",
            ) from error

    def use(self) -> Family:
        """The family. Raises UsageError if it is broken, or if nothing of its extra is there."""
        if isinstance(self.loaded, UsageError):
            raise self.loaded
        lacking = self.lacks()
        # A part may do: an extra can hold more than one checkpoint needs.
        if self.loaded.extra and lacking and len(lacking) == len(self._extra_requirements()):
            raise missing_extra(f"The reranker family {self.name}", self.loaded.extra, self.package)
        return self.loaded

    def lacks(self) -> list[str] | None:
        """Requirements of the family's extra that are not installed; nothing is imported.

        None if its package does not say what the extra holds.
        """
        if not (self.family and self.family.extra):
            return []
        needed = self._extra_requirements()
        return [str(r) for r in needed if not _is_installed(r)] if needed else None

    def _extra_requirements(self) -> list[Requirement]:
        extra = self.family.extra if self.family else None
        return list(_requirements(self.distribution, extra)) if extra else []


def plugins() -> list[Plugin]:
    """Every name of the group, sorted. A broken plugin raises only when it is used."""
    points: dict[str, dict[str, EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        # An editable install may list the same one twice.
        points.setdefault(point.name, {}).setdefault(point.value, point)
    return [_plugin(name, list(points[name].values())) for name in sorted(points)]


def missing_extra(feature: str, extra: str, package: str | None) -> UsageError:
    """The error for an optional dependency of a package that is not installed."""
    if package in (None, _OWN_PACKAGE):
        return MissingExtraError(feature, extra)
    return UsageError(
        f"{feature} needs an optional dependency that is not installed.",
        next_step=f"pip install '{package}[{extra}]'",
    )


def _plugin(name: str, points: list[EntryPoint]) -> Plugin:
    loaded: Family | UsageError
    try:
        if len(points) > 1:
            raise UsageError(
                f"Two plugins provide the reranker family {name!r}: "
                f"{' and '.join(map(_source, points))}.",
                next_step="uninstall one of them",
            )
        loaded = _load(points[0])
    except UsageError as error:
        loaded = error
    return Plugin(name, points[0].dist, loaded)


def _load(point: EntryPoint) -> Family:
    """Raises UsageError if the entry point cannot be imported or is not a family."""
    try:
        loaded: object = point.load()
        absent = object()
        # Read once: a member may be a property, which runs code of the package.
        members = {name: getattr(loaded, name, absent) for name in (*_MEMBERS, "needs")}
        if members["needs"] is absent:
            members["needs"] = None
        lacking = [name for name in _MEMBERS if members[name] is absent]
        reason = f"it lacks {', '.join(lacking)}" if lacking else _wrong(members, point.name)
    except (Exception, SystemExit) as error:  # other people's code: one of them stops nobody
        raise _unloadable(point, error) from error
    if reason:
        raise UsageError(
            f"The reranker plugin {_source(point)} is not the family {point.name!r}: {reason}.",
            next_step="update or uninstall that package",
        )
    return CheckedFamily(members)


def _wrong(members: Mapping[str, Any], name: str) -> str | None:
    """What is wrong with the members of what should be the family of that name."""
    if members["name"] != name:
        return f"it calls itself {members['name']!r}"
    if name in TAKEN or not _NAME.fullmatch(name):
        return "that name can be no family's"
    settings = members["settings"]
    if not (isinstance(settings, type) and issubclass(settings, RerankerSettings)):
        return "its settings are no subclass of RerankerSettings"
    if not isinstance(members["listwise"], bool):
        return f"its listwise is {members['listwise']!r}, not True or False"
    for member, optional in _TEXTS.items():
        value = members[member]
        if not (isinstance(value, str) and value) and not (optional and value is None):
            return f"its {member} is {value!r}, not a text{' or None' if optional else ''}"
    uncallable = [member for member in ("recognises", "open") if not callable(members[member])]
    return f"its {uncallable[0]} is no method" if uncallable else None


def _shown(error: BaseException) -> str:
    """An exception on one line."""
    try:
        message = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - other people's code, asked about its own failure
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _unloadable(point: EntryPoint, error: BaseException) -> UsageError:
    package = point.dist.name if point.dist else None
    step = "update or uninstall that package"
    if isinstance(error, ModuleNotFoundError) and error.name:
        absent = canonicalize_name(error.name.partition(".")[0])
        offered = (point.dist.metadata.get_all("Provides-Extra") if point.dist else None) or []
        for extra in offered:
            if absent in {canonicalize_name(r.name) for r in _requirements(point.dist, extra)}:
                step = f"pip install '{package}[{extra}]'"
                break
    return UsageError(
        f"The reranker plugin {_source(point)} cannot be loaded: {_shown(error)}.",
        next_step=step,
    )


def _requirements(distribution: Distribution | None, extra: str) -> Iterable[Requirement]:
    """What a distribution requires for an extra alone, on this Python and platform."""
    for line in (distribution.requires if distribution else None) or []:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        marker = requirement.marker
        try:
            wanted = marker and (marker.evaluate({"extra": extra}), marker.evaluate({"extra": ""}))
        except (UndefinedComparison, UndefinedEnvironmentName):
            continue
        if wanted == (True, False):
            requirement.marker = None
            yield requirement


def _is_installed(requirement: Requirement) -> bool:
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return False
    return requirement.specifier.contains(found, prereleases=True)


def _source(point: EntryPoint) -> str:
    package = point.dist.name if point.dist else "an unknown package"
    return f"{point.value} (of {package})"
