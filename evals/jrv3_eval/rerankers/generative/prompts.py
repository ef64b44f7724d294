"""How a chat model is asked: prompts, which are data.

Those of published rerankers are YAML files beside this module; a user's own has the same form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...errors import UsageError, unknown
from ...hashing import digest_json
from .._data_files import is_data_file, read_own, read_shipped

Method = Literal["listwise", "setwise", "pairwise"]
Role = Literal["system", "user", "assistant"]
LABELS = "ABCDEFGHIJKLMNOPQRSTUVW"  # as in llm-rankers; "X" and "Y" are often not one token
DEFAULT_PROMPTS: Mapping[Method, str] = {
    "listwise": "rankzephyr",
    "setwise": "setwise",
    "pairwise": "pairwise",
}
_SLOT = re.compile(r"\{(query|count|rank|label|document)\}")
_OF_A_PASSAGE = frozenset({"rank", "label", "document"})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Message:
    """One turn of a chat."""

    role: Role
    content: str


class Turn(_Strict):
    """A piece of the prompt. each: it is repeated for every passage.

    text: with the slots {query} and {count}, and where it is repeated {rank} (from 1), {label}
    (from A) and {document}.
    """

    role: Role
    text: str = Field(min_length=1)
    each: bool = False

    def slots(self) -> frozenset[str]:
        """Names of the slots in the text."""
        return frozenset(_SLOT.findall(self.text))

    def fill(self, values: Mapping[str, str]) -> Message:
        """The piece with its slots filled; braces in the values mean nothing."""
        return Message(self.role, _SLOT.sub(lambda slot: values[slot[1]], self.text))


class Prompt(_Strict):
    """What a chat model is asked.

    source: where it comes from. method: what its answer is: an order of all identifiers
    (listwise), or the label of the best passage (setwise, pairwise). turns: neighbouring pieces
    of one role are one message; neighbouring pieces with `each` are repeated together. prefill:
    the start of the answer, where the backend can give one. repair: texts are repaired by ftfy,
    and bracketed numbers in them get round brackets, since they look like identifiers.
    passage_words: most words of a passage; of fewer than 20 listwise passages, more.
    """

    name: str = Field(min_length=1)
    source: str
    method: Method
    turns: tuple[Turn, ...] = Field(min_length=1)
    prefill: str = ""
    repair: bool = False
    passage_words: int = Field(ge=1)

    @property
    def digest(self) -> str:
        """Hex digest of all that it says about a score."""
        return digest_json(self.model_dump(exclude={"name", "source"}))

    def messages(self, query: str, passages: Sequence[str]) -> tuple[Message, ...]:
        """The chat that asks about these passages, in this order."""
        pieces = list(self._pieces(query, passages))
        return tuple(
            Message(role, "".join(piece.content for piece in same))
            for role, same in groupby(pieces, key=lambda piece: piece.role)
        )

    def _pieces(self, query: str, passages: Sequence[str]) -> Iterator[Message]:
        shared = {"query": query, "count": str(len(passages))}
        for each, turns in groupby(self.turns, key=lambda turn: turn.each):
            group = list(turns)
            for i, passage in enumerate(passages if each else ("",)):
                own = {"rank": str(i + 1), "label": LABELS[i : i + 1], "document": passage}
                yield from (turn.fill({**own, **shared}) for turn in group)

    @model_validator(mode="after")
    def _has_its_slots(self) -> Prompt:
        repeated = [turn for turn in self.turns if turn.each]
        runs = [each for each, _ in groupby(self.turns, key=lambda turn: turn.each) if each]
        if len(runs) != 1 or sum("document" in turn.slots() for turn in repeated) != 1:
            raise ValueError("one run of turns with `each` is needed, with {document} in one")
        if any(turn.slots() & _OF_A_PASSAGE for turn in self.turns if not turn.each):
            raise ValueError("{rank}, {label} and {document} belong in turns with `each`")
        if not any("query" in turn.slots() for turn in self.turns):
            raise ValueError("{query} is needed in a turn")
        named = "rank" if self.method == "listwise" else "label"
        if not any(named in turn.slots() for turn in repeated):
            raise ValueError(f"a {self.method} prompt needs {{{named}}} in a turn with `each`")
        if self.turns[-1].role != "user":
            raise ValueError("the last turn must be the user's")
        if any(turn.role == "system" for turn in self.turns[1:]):
            raise ValueError("only the first turn may be the system's")
        return self


@cache
def shipped_prompts() -> Mapping[str, Prompt]:
    """The prompts of published rerankers by name, sorted."""
    found = read_shipped(__package__, Prompt, "prompt")
    return {prompt.name: prompt for prompt in found}


def prompt_for(wanted: str | None, method: Method) -> Prompt:
    """The prompt that a setting names, or the default one of a method.

    wanted: a shipped prompt's name or a path of a YAML file. Raises UsageError for an unknown
    name, a bad file, or a prompt for another method.
    """
    shipped = shipped_prompts()
    name = wanted or DEFAULT_PROMPTS[method]
    if name in shipped:
        prompt = shipped[name]
    elif is_data_file(name):
        prompt = read_own(name, Prompt, "prompt")
    else:
        raise unknown("prompt", name, (*shipped, "a path that ends in .yaml"))
    if prompt.method != method:
        raise UsageError(
            f"The prompt {prompt.name!r} is {prompt.method}, and the method is {method}.",
            next_step=f"set method={prompt.method}, or choose another prompt",
        )
    return prompt
