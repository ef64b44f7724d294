"""A chat model behind an OpenAI-compatible server (vLLM, SGLang, llama.cpp, OpenAI)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ScoreError, UnavailableError
from ..protocol import RankingRequest, RerankerInfo
from ..services.calls import in_parallel
from ..services.schemas import read_count
from .chat import Question, Said
from .parsing import read_choice, without_thoughts
from .prompts import LABELS, Message, Prompt
from .reranker import GenerativeReranker
from .settings import GenerativeSettings

if TYPE_CHECKING:
    from ..services.client import JsonClient
    from ..services.endpoint import Endpoint

PATH = "/chat/completions"
_OPENAI, _OPENAI_KEY = "api.openai.com", "OPENAI_API_KEY"
_BYTES_PER_TOKEN = 3  # English has about four, Japanese three
_TOKENS_PER_MESSAGE = 8
_SLACK = 8
_UNFINISHED = ("length", "content_filter")
_ENOUGH = 16  # answers that name nothing, from the first on; more would only cost


class ServerChat:
    """Asks with temperature 0 and a fixed seed, several questions at once.

    The server has the tokenizer, so lengths are estimated, rather too high. Labels and prefills
    are not sent: a server answers in its own turn. The key is read from the environment at the
    first question and goes to the endpoint's own host only. listwise: an answer names passages by
    numbers, else by a letter. options: further fields of a call, as they are.

    answered: whether any answer so far said something.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        *,
        context: int,
        listwise: bool,
        thoughts: int = 0,
        options: Mapping[str, Any] | None = None,
        key_env: str | None = None,
        concurrency: int = 8,
        timeout: float = 300.0,
        tries: int = 5,
        retry_wait: float = 1.0,
    ) -> None:
        self._endpoint, self._model = endpoint, model
        self._context, self._thoughts = context, thoughts
        self._listwise, self._options = listwise, dict(options or {})
        self._key_env, self._concurrency = key_env, concurrency
        self._timeout, self._tries, self._retry_wait = timeout, tries, retry_wait
        self.answered = False
        self._count = 0
        self._silent: Counter[str] = Counter()  # reasons

    def load(self) -> None:
        """Read the key. Raises UsageError for one that must not be sent."""
        _ = self._client

    def room(self, expected: str) -> int:
        """Tokens that a prompt may have so that an answer like `expected` fits behind it."""
        return self._context - self._budget(expected)

    def tokens(self, messages: Sequence[Message], prefill: str) -> int:
        """An estimate: three bytes a token, and eight tokens around a message."""
        size = sum(len(m.content.encode()) for m in messages)
        return -(-size // _BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE * len(messages)

    def complete(self, questions: Sequence[Question]) -> list[Said]:
        """The answers, aligned. The first failure, or Ctrl-C, stops the rest and is raised.

        Raises UsageError or UnavailableError as the client does, ScoreError if the server has
        said nothing at all so far.
        """
        if not questions:
            return []
        _ = self._client  # made by one thread
        heard = in_parallel(
            lambda i, stop: self._ask(questions[i], stop), len(questions), self._concurrency
        )
        reasons = [reason for _, reason in heard if reason]
        self._count += len(heard)
        self._silent.update(reasons)
        if len(reasons) < len(heard):
            self.answered = True
        if not self.answered:
            self.refuse_silence(_ENOUGH)
        return [answer for answer, _ in heard]

    def start_counting(self) -> None:
        """Count answers anew, unless there has been nothing but silence."""
        if self.answered:
            self._count, self._silent = 0, Counter()

    def refuse_silence(self, least: int) -> None:
        """Raise ScoreError if all answers that were counted, `least` or more, said nothing."""
        if self._count < least or self._silent.total() < self._count:
            return
        why = ", ".join(f"{reason} ({n:,})" for reason, n in self._silent.most_common())
        step = "ask the server one such question yourself, or take another model"
        if self._silent["finish_reason length"]:
            step = (
                "the tokens of an answer ran out, perhaps on thoughts: raise reasoning_tokens "
                f"(now {self._thoughts}), or switch thinking off where the server can: --set "
                'options=\'{"chat_template_kwargs": {"enable_thinking": false}}\''
            )
        raise ScoreError(
            f"The server said nothing that could be read in {self._count:,} of {self._count:,} "
            f"answers (100%): {why}. The order would be the first stage's own.",
            where=f"{self._endpoint.url}, model {self._model}",
            next_step=step,
        )

    def _ask(self, question: Question, stop: threading.Event) -> tuple[Said, str]:
        """The answer, and why it says nothing (empty if it does say something)."""
        answer = self._client.post(
            PATH,
            {
                "model": self._model,
                "messages": [{"role": m.role, "content": m.content} for m in question.messages],
                "temperature": 0,
                "seed": 0,
                "max_tokens": self._budget(question.expected),
                **self._options,
            },
            about=f"model {self._model}",
            stop=stop,
        )
        text = _content(answer)
        if text is None:
            raise UnavailableError(
                "The server answered without choices[0].message.",
                where=self._endpoint.url,
                next_step="check that the URL is that of an OpenAI-compatible API (http://HOST/v1)",
            )
        return Said(text, _prompt_tokens(answer)), self._silence(text, answer["choices"][0])

    def _silence(self, text: str, choice: Mapping[str, Any]) -> str:
        """Why an answer says nothing; empty if it says something, however malformed."""
        finish = choice.get("finish_reason")
        if finish in _UNFINISHED:
            return "" if self._names_a_passage(text) else f"finish_reason {finish}"
        if without_thoughts(text).strip():
            return ""
        return "a refusal" if choice["message"].get("refusal") else "no text"

    def _names_a_passage(self, text: str) -> bool:
        if self._listwise:
            return any(c.isdigit() for c in without_thoughts(text))
        return bool(read_choice(text, len(LABELS)).order)

    def _budget(self, expected: str) -> int:
        """Tokens of an answer: no tokenizer makes more of ASCII than it has characters."""
        return len(expected) + _SLACK + self._thoughts

    @cached_property
    def _client(self) -> JsonClient:
        from ..services.client import JsonClient
        from ..services.endpoint import key_from

        own = _OPENAI_KEY if self._endpoint.host == _OPENAI else None
        variable = own if self._key_env is None else self._key_env
        return JsonClient(
            self._endpoint.url,
            key=key_from(self._endpoint, variable or ""),
            timeout=self._timeout,
            tries=self._tries,
            first_wait=self._retry_wait,
        )


class ServerReranker(GenerativeReranker):
    """Ranks by what a server writes, and refuses a server that writes nothing."""

    def __init__(
        self, chat: ServerChat, prompt: Prompt, settings: GenerativeSettings, info: RerankerInfo
    ) -> None:
        super().__init__(chat, prompt, settings, info)
        self._server = chat

    def score(self, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]:
        """As GenerativeReranker, but ScoreError if every answer said nothing (two or more).

        A single list is let pass once the server has answered others: its content may be what is
        filtered. Its answers count as malformed.
        """
        self._server.start_counting()
        scores = super().score(requests)
        if len(requests) > 1 or not self._server.answered:
            self._server.refuse_silence(2)
        return scores


def _content(answer: Any) -> str | None:
    """The text of an answer; empty if the model said nothing; None if it is no chat answer."""
    try:
        content = answer["choices"][0]["message"].get("content")
    except (LookupError, TypeError, AttributeError):
        return None
    return content if isinstance(content, str) else ""


def _prompt_tokens(answer: Any) -> int | None:
    usage = answer.get("usage") if isinstance(answer, dict) else None
    return read_count(usage.get("prompt_tokens")) if isinstance(usage, dict) else None
