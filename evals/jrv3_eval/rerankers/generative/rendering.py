"""A chat as the token ids that a local model reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from ...checkpoint import Checkpoint
from ...errors import CheckpointError
from .._loading import load_tokenizer
from .prompts import Message


class ChatReader:
    """Renders chats with the checkpoint's own template, then tokenises.

    thinking: what the template gets as `enable_thinking`. A template that refuses system messages
    gets their text at the head of the first user message. Raises CheckpointError if there is no
    chat template.
    """

    def __init__(self, checkpoint: Checkpoint, *, thinking: bool) -> None:
        self._checkpoint = checkpoint
        self._thinking = thinking
        self.tokenizer: Any = load_tokenizer(checkpoint)
        if not self.tokenizer.chat_template:
            raise CheckpointError(
                f"{checkpoint.name} has no chat template, so how to ask it is not known.",
                where=str(checkpoint.folder),
                next_step="save the template that it was trained with as chat_template.jinja "
                "beside the weights, or choose an instruction-tuned model",
            )

    def read(self, messages: Sequence[Message], prefill: str) -> list[int]:
        """Token ids of a chat and the start of its answer, from the tokenizer's begin token on."""
        turns = messages if self._takes_system else _without_system(messages)
        chat = [{"role": m.role, "content": self._harmless(m.content)} for m in turns]
        ids = self.ids(self._render(chat) + prefill)
        begins = ids[: len(self._begin)] == self._begin  # some templates write it themselves
        return ids if begins else self._begin + ids

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, with no special token added."""
        found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def label_id(self, prefill: str, label: str) -> int:
        """The token that follows the prefill if this label does.

        Raises CheckpointError if the label is not one token.
        """
        before, after = self.ids(prefill), self.ids(f"{prefill} {label}")
        if len(after) != len(before) + 1 or after[: len(before)] != before:
            raise CheckpointError(
                f"The label {label!r} is not one token of {self._checkpoint.name}.",
                where=str(self._checkpoint.folder),
                next_step="use scoring=generation",
            )
        return after[-1]

    def _render(self, chat: Sequence[dict[str, str]]) -> str:
        text: str = self.tokenizer.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=True, enable_thinking=self._thinking
        )
        return text

    def _harmless(self, text: str) -> str:
        """The text with a space in what would be read as a special token.

        Such a token in a document would end its turn, or start another.
        """
        return self._special.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)

    @cached_property
    def _begin(self) -> list[int]:
        """The token that the tokenizer itself puts before a text; empty if it puts none.

        Zephyr's template leaves it out; RankLLM has it, since it tokenises the rendered chat as
        any text (rerank/listwise/rank_listwise_os_llm.py).
        """
        bare = self.ids("x")
        whole: list[int] = self.tokenizer("x")["input_ids"]
        return whole[:1] if whole[1 : 1 + len(bare)] == bare and whole[:1] != bare[:1] else []

    @cached_property
    def _special(self) -> re.Pattern[str]:
        added = self.tokenizer.added_tokens_decoder.values()
        names = {str(t.content) for t in added if t.special and len(t.content) > 2}
        longest_first = sorted(names, key=lambda name: (-len(name), name))
        return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    @cached_property
    def _takes_system(self) -> bool:
        from jinja2 import TemplateError

        try:
            self._render([{"role": role, "content": "text"} for role in ("system", "user")])
        except TemplateError:
            return False
        return True


def _without_system(messages: Sequence[Message]) -> list[Message]:
    if len(messages) < 2 or messages[0].role != "system":
        return list(messages)
    first = Message("user", f"{messages[0].content}\n\n{messages[1].content}")
    return [first, *messages[2:]]
