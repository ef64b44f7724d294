"""A family's settings: read from `key=value`, and described for a reader."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from ..errors import UsageError, unknown
from .masking import MASK, masked, masked_value
from .plugins import plugins
from .protocol import Family, RerankerSettings, type_json

NO_VALUE = "none"  # how a setting that may be absent is taken back to that
_BOUNDS = {
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "to",
    "exclusiveMaximum": "below",
}
_WORDS = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "string": "text",
    "null": NO_VALUE,
    "array": "list",
}


@dataclass(frozen=True)
class Setting:
    """One setting as a reader sees it. values: what it can be, in words."""

    name: str
    values: str
    required: bool
    default: type_json
    description: str | None


def read_pairs(pairs: Sequence[str], options: Mapping[str, str] | None = None) -> dict[str, str]:
    """Settings from `key=value` words, and from options of their own such as `--dtype`.

    A value is taken as it stands: a prompt may end in a space. Raises UsageError for a word
    without a key or `=`, and for a setting that is given twice.
    """
    settings = dict(options or {})
    given = {key: f"--{key} {value}" for key, value in settings.items()}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip()
        if not equals or not key:
            shown = f"={MASK}" if equals else masked(pair)
            raise UsageError(
                f"The setting {shown!r} is not key=value.", next_step="--set max_length=512"
            )
        if key in given:
            raise UsageError(
                f"The setting {key!r} is given twice: {given[key]} and --set {key}={MASK}.",
                next_step="leave one of them out",
            )
        settings[key] = value
        given[key] = f"--set {key}={MASK}"  # no family says yet that it is no secret
    return settings


def parse_settings(family: Family, values: Mapping[str, str]) -> RerankerSettings:
    """A family's settings from strings. `none` takes back a setting that may be absent.

    Raises UsageError naming a bad value, or a bad key and the families that do have it.
    """
    fields = family.settings.model_fields
    for key in values:
        if key not in fields:
            raise _unknown_setting(family, key)
    given = {key: _value(family, key, value) for key, value in values.items()}
    try:
        settings = family.settings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        if key not in fields:
            raise UsageError(
                f"The settings of {family.name} do not fit together: {_reason(first['msg'])}.",
                where=", ".join(masked_value(k, v) for k, v in values.items()),
            ) from error
        raise _bad_value(family, key, values.get(key), f"{_reason(first['msg'])}.") from error
    for key in values:
        number = getattr(settings, key)
        if isinstance(number, float) and not math.isfinite(number):
            raise _bad_value(family, key, values[key], "Input should be a finite number.")
    return settings


def settings_of(family: Family) -> list[Setting]:
    """The settings of a family: its own first, then what every family has."""
    try:
        schema = family.settings.model_json_schema(by_alias=False)
    except PydanticUserError:  # a type of a plugin's own
        schema = {}
    kinds = schema.get("properties", {})
    shared = RerankerSettings.model_fields
    fields = family.settings.model_fields
    return [
        Setting(
            name=name,
            values=_values(kinds.get(name, {}), schema.get("$defs", {})),
            required=field.is_required(),
            default=_default(field),
            description=field.description,
        )
        for name, field in sorted(fields.items(), key=lambda item: item[0] in shared)
    ]


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ").rstrip(".")


def _value(family: Family, key: str, value: Any) -> Any:
    """The value, None where it says so. Raises UsageError where `none` could also be a text."""
    kinds = get_args(family.settings.model_fields[key].annotation)
    if NoneType not in kinds or not isinstance(value, str) or value.strip().lower() != NO_VALUE:
        return value
    if any(get_origin(k) is Literal and value in get_args(k) for k in kinds):
        return value
    if str in kinds:
        raise _bad_value(
            family, key, value, "It could be the text 'none' or no text; leave it out for the "
            f"default, or write {key}= for an empty text.",
        )  # fmt: skip
    return None


def _unknown_setting(family: Family, key: str) -> UsageError:
    """Without its value: a setting that nothing knows may be a key in the wrong place."""
    where = f"{key}={MASK}"
    fields = family.settings.model_fields
    others = [plugin.family for plugin in plugins() if plugin.family]
    having = [other.name for other in others if key in other.settings.model_fields]
    if not having:
        return unknown(f"setting of {family.name}", key, fields, where=where)
    return UsageError(
        f"{family.name} has no setting {key!r}; {' and '.join(having)} "
        f"{'has' if len(having) == 1 else 'have'} it.",
        where=where,
        next_step=f"leave it out; settings of {family.name}: {', '.join(sorted(fields))}",
    )


def _bad_value(family: Family, key: str, value: object, why: str) -> UsageError:
    about = family.settings.model_fields[key].description
    return UsageError(
        f"Bad value for the setting {key!r} of {family.name}: {why}",
        where=masked_value(key, value),
        next_step=f"{key} is: {about}" if about else None,
    )


def _values(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A JSON schema in words, such as "whole number from 1 or none"."""
    if reference := schema.get("$ref"):
        return _values(definitions.get(reference.rpartition("/")[2], {}), definitions)
    if parts := schema.get("anyOf") or schema.get("allOf"):
        return " or ".join(_values(part, definitions) for part in parts)
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    bounds = [f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema]
    return " ".join([_WORDS.get(str(schema.get("type")), "value"), *bounds])


def _default(field: FieldInfo) -> type_json:
    default = None if field.is_required() else field.default
    return default if isinstance(default, type_json) else str(default)
