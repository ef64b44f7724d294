"""Families as entry points: which are installed, what is wrong with one, what its extra lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import (
    Distribution,
    EntryPoint,
    PackageNotFoundError,
    entry_points,
    version,
)

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ..errors import MissingExtraError, UsageError
from .protocol import Family, RerankerSettings

GROUP = "jrv3_eval.rerankers"
ANY_CHECKPOINT = "a checkpoint: folder, hub id or package:NAME"
TAKEN = ("none", "oracle", "random", "run", "package")  # what `--model` means by these already
_OWN_PACKAGE = "jrv3-eval"
_NAME = re.compile(r"[A-Za-z][\w.-]+")  # longer than a drive's letter, and no colon or slash
_MEMBERS = ("name", "models", "listwise", "extra", "settings", "recognises", "open")


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
        return str(getattr(self.family, "needs", None) or ANY_CHECKPOINT)

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        """As the family says. Raises UsageError if the plugin is broken."""
        if isinstance(self.loaded, UsageError):
            raise self.loaded
        try:
            return bool(self.loaded.recognises(config, files))
        except Exception as error:
            raise UsageError(
                f"The reranker family {self.name!r} (of {self.package}) fails to look at a "
                f"checkpoint: {type(error).__name__}: {error}."
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
        family: Family = point.load()
    except Exception as error:
        raise _unloadable(point, error) from error
    if reason := _wrong(family, point.name):
        raise UsageError(
            f"The reranker plugin {_source(point)} is not the family {point.name!r}: {reason}.",
            next_step="update or uninstall that package",
        )
    return family


def _wrong(family: Family, name: str) -> str | None:
    """What is wrong with an object that should be the family of that name."""
    absent = [m for m in _MEMBERS if not hasattr(family, m)]
    if absent:
        return f"it lacks {', '.join(absent)}"
    if family.name != name:
        return f"it calls itself {family.name!r}"
    if name in TAKEN or not _NAME.fullmatch(name):
        return "that name can be no family's"
    if not (isinstance(family.settings, type) and issubclass(family.settings, RerankerSettings)):
        return "its settings are no subclass of RerankerSettings"
    return None


def _unloadable(point: EntryPoint, error: Exception) -> UsageError:
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
        f"The reranker plugin {_source(point)} cannot be loaded: {type(error).__name__}: {error}.",
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
        if marker and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
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
