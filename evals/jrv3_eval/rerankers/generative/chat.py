"""What a generative reranker needs of a chat model: count tokens, answer prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .prompts import Message


@dataclass(frozen=True)
class Question:
    """A prompt to answer.

    expected: the longest answer that is expected, as text; no more tokens are generated than it
    has (and a few). one_token: only one is, since the answer is a label that follows the prefill.
    labels: if there are any, the answer is the likeliest of these.
    """

    messages: tuple[Message, ...]
    prefill: str = ""
    expected: str = ""
    one_token: bool = False
    labels: str = ""


@dataclass(frozen=True)
class Said:
    """An answer. tokens: of the prompt, None if a server does not say."""

    text: str
    tokens: int | None


class Chat(Protocol):
    """A model that answers chats, greedily: the same question has the same answer."""

    def load(self) -> None:
        """Load weights now, if there are any."""

    def room(self, expected: str) -> int:
        """Tokens that a prompt may have so that an answer like `expected` fits behind it."""
        ...

    def tokens(self, messages: Sequence[Message], prefill: str) -> int:
        """Tokens of a prompt, or an estimate that is rather too high."""
        ...

    def complete(self, questions: Sequence[Question]) -> list[Said]:
        """The answers, aligned with the questions."""
        ...
