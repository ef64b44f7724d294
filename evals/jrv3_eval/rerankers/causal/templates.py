"""How a causal model is asked whether a document is relevant: templates, which are data.

Those of known models are YAML files beside this module; a user's own has the same form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...errors import UsageError, unknown
from ...hashing import digest_json
from .._data_files import is_data_file, read_own, read_shipped

_SLOT = re.compile(r"\{(query|document|instruction)\}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Piece(_Strict):
    """A part of the prompt that is tokenised by itself.

    text: with the slots {query}, {document} and {instruction}. instructed: the text where an
    instruction is given, if it differs. share: most tokens, as a share of max_length. counts:
    how often its tokens count towards max_length.
    """

    text: str = Field(min_length=1)
    instructed: str | None = None
    share: float | None = Field(None, gt=0, le=1)
    counts: Literal[-1, 0, 1] = 1

    def slots(self, instructed: bool) -> frozenset[str]:
        """Names of the slots in the text that is used with or without an instruction."""
        return frozenset(_SLOT.findall(self._template(instructed)))

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with its slots filled; braces in the values mean nothing."""
        return _SLOT.sub(lambda slot: values[slot[1]], self._template("instruction" in values))

    def before_document(self, values: Mapping[str, str]) -> int:
        """Characters of the filled text before the document."""
        head, _, _ = self._template("instruction" in values).partition("{document}")
        return len(_SLOT.sub(lambda slot: values[slot[1]], head))

    def _template(self, instructed: bool) -> str:
        return self.instructed if instructed and self.instructed else self.text


class Template(_Strict):
    """A prompt and the tokens that answer it.

    source: where it comes from. architectures: those that use it unasked. begin: the tokenizer's
    begin token comes first, if it has one that is not its padding. instructions: named texts;
    instruction: the default, one of these names or a text. max_length: tokens, see `Piece`.
    relevant, irrelevant: the score is the logit of the first token of the one, minus that of
    the other if there is one.
    """

    name: str = Field(min_length=1)
    source: str
    architectures: tuple[str, ...] = ()
    begin: bool = False
    instructions: dict[str, str] = Field(default_factory=dict)
    instruction: str | None = None
    max_length: int = Field(ge=16)
    pieces: tuple[Piece, ...] = Field(min_length=1)
    relevant: str = Field(min_length=1)
    irrelevant: str | None = Field(None, min_length=1)

    @property
    def digest(self) -> str:
        """Hex digest of all that it says about a score."""
        return digest_json(self.model_dump(exclude={"name", "source", "architectures"}))

    def instruction_for(self, wanted: str | None) -> str | None:
        """The text of a named instruction, the wanted text itself, or the default.

        Raises UsageError where the template has no place for one.
        """
        chosen = self.instruction if wanted is None else wanted
        text = self.instructions.get(chosen, chosen) if chosen is not None else None
        if text and not any("instruction" in piece.slots(True) for piece in self.pieces):
            raise UsageError(
                f"The template {self.name!r} has no place for an instruction.",
                next_step="leave out instruction, or write a template with {instruction} in it",
            )
        if not text and any("instruction" in piece.slots(False) for piece in self.pieces):
            raise UsageError(
                f"The template {self.name!r} has an instruction in every prompt, and the one given "
                "is empty.",
                next_step="leave out instruction to take the template's own",
            )
        return text or None

    @model_validator(mode="after")
    def _has_its_slots(self) -> Template:
        for instructed in (False, True):
            found = [slot for piece in self.pieces for slot in piece.slots(instructed)]
            if found.count("query") != 1 or found.count("document") != 1:
                raise ValueError("the pieces need {query} once and {document} once")
        for piece in self.pieces:
            if piece.counts != 1 and piece.slots(True) & {"query", "document"}:
                raise ValueError("a piece with {query} or {document} counts once")
            for text in filter(None, (piece.text, piece.instructed)):
                if "{document}" in text and not text.endswith("{document}"):
                    raise ValueError("{document} must end its piece, since it is cut at its end")
        always = any("instruction" in piece.slots(False) for piece in self.pieces)
        if always and not self.instruction:
            raise ValueError("{instruction} stands in a text, so a default instruction is needed")
        return self


@cache
def shipped_templates() -> Mapping[str, Template]:
    """The templates of known models by name, sorted."""
    found = read_shipped(__package__, Template, "template")
    return {template.name: template for template in found}


def template_for(wanted: str | None, config: Mapping[str, Any], model: str) -> Template:
    """The template that a setting names, or that a checkpoint's architecture uses unasked.

    wanted: a shipped template's name or a path of a YAML file. Raises UsageError for an unknown
    name, a bad file, or an architecture that no shipped template belongs to.
    """
    shipped = shipped_templates()
    if wanted is None:
        return _by_architecture(config, model)
    if wanted in shipped:
        return shipped[wanted]
    if not is_data_file(wanted):
        raise unknown("template", wanted, (*shipped, "a path that ends in .yaml"))
    return read_own(wanted, Template, "template")


def _by_architecture(config: Mapping[str, Any], model: str) -> Template:
    listed = config.get("architectures")
    names = {str(name) for name in listed} if isinstance(listed, list) else set()
    for template in shipped_templates().values():
        if names & set(template.architectures):
            return template
    raise UsageError(
        f"No template belongs to the architecture of {model} ({', '.join(sorted(names))}).",
        next_step=f"--set template=NAME ({', '.join(shipped_templates())}) or template=FILE.yaml, "
        "with the prompt that it was trained with; a classifier that was trained with plain pairs "
        "is cross-encoder:TARGET",
    )
