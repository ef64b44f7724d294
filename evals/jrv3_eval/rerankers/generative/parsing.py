"""What a model's answer says, and whether it had to be repaired."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from .prompts import LABELS

_THOUGHT, _THOUGHT_ENDS = "<think>", "</think>"
_LABELLED = re.compile(rf"\b[Pp]assage\W*([{LABELS}])\b")
_LONGEST_NUMBER = 9  # digits; a longer one is no identifier, and int() refuses very long ones


@dataclass(frozen=True)
class Reply:
    """An answer as positions of what was shown, from 0, best first.

    order: of all passages for an order, of one for a choice; empty where no choice was read.
    clean: nothing had to be repaired.
    """

    order: tuple[int, ...]
    clean: bool


def read_order(answer: str, count: int) -> Reply:
    """The order of `count` passages that an answer like "[2] > [1]" gives; always complete.

    As in RankLLM: what stands before "</think>" is dropped, all that is not a digit separates
    numbers, repeated and unknown ones are dropped, absent ones follow as they were. Without a
    number, and in a thought that never ends, the order is as it was.
    """
    found = "".join(_digit(c) for c in without_thoughts(answer)).split()
    numbers = (int(digits) - 1 for digits in found if len(digits) <= _LONGEST_NUMBER)
    named = [n for n in dict.fromkeys(numbers) if 0 <= n < count]
    absent = sorted(set(range(count)).difference(named))
    return Reply((*named, *absent), clean=len(found) == len(named) == count)


def read_choice(answer: str, count: int) -> Reply:
    """The passage that an answer like "B" or "Passage B" names; none if it is not clear."""
    said = without_thoughts(answer)
    bare = said.strip(" \t\r\n.:;,\"'`*()[]<>")
    labels = {bare.upper()} if len(bare) == 1 else set(_LABELLED.findall(said))
    places = {LABELS.find(label) for label in labels}
    if len(places) != 1 or not 0 <= min(places) < count:
        return Reply((), clean=False)
    return Reply((min(places),), clean=True)


def without_thoughts(answer: str) -> str:
    """The answer without the model's thoughts."""
    said = answer.rpartition(_THOUGHT_ENDS)[2]
    return "" if _THOUGHT in said else said


def _digit(character: str) -> str:
    """A digit of any script as 0 to 9, a space for all else. Also circled and raised ones."""
    if not character.isdigit():
        return " "
    return str(unicodedata.digit(character))
