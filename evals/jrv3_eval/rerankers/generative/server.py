"""A chat model behind an OpenAI-compatible server (vLLM, SGLang, llama.cpp, OpenAI)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...errors import UnavailableError
from .chat import Question, Said
from .prompts import Message

if TYPE_CHECKING:
    from ..services.client import JsonClient
    from ..services.endpoint import Endpoint

PATH = "/chat/completions"
_OPENAI, _OPENAI_KEY = "api.openai.com", "OPENAI_API_KEY"
_BYTES_PER_TOKEN = 3  # English has about four, Japanese three
_TOKENS_PER_MESSAGE = 8
_SLACK = 8


class ServerChat:
    """Asks with temperature 0 and a fixed seed, several questions at once.

    The server has the tokenizer, so lengths are estimated, rather too high. Labels and prefills
    are not sent: a server answers in its own turn. The key is read from the environment at the
    first question and goes to the endpoint's own host only.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        *,
        context: int,
        thoughts: int = 0,
        key_env: str | None = None,
        concurrency: int = 8,
        timeout: float = 300.0,
        tries: int = 5,
        retry_wait: float = 1.0,
    ) -> None:
        self._endpoint, self._model = endpoint, model
        self._context, self._thoughts = context, thoughts
        self._key_env, self._concurrency = key_env, concurrency
        self._timeout, self._tries, self._retry_wait = timeout, tries, retry_wait

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
        """The answers, aligned. The first failure stops the rest and is raised.

        Raises UsageError or UnavailableError as the client does.
        """
        stop = threading.Event()

        def ask(question: Question) -> Said:
            try:
                return self._ask(question, stop)
            except BaseException:
                stop.set()
                raise

        _ = self._client  # made by one thread
        with ThreadPoolExecutor(min(self._concurrency, max(1, len(questions)))) as pool:
            asked = [pool.submit(ask, question) for question in questions]
        failures = [error for f in asked if (error := f.exception()) is not None]
        if failures:
            raise _first(failures)
        return [f.result() for f in asked]

    def _ask(self, question: Question, stop: threading.Event) -> Said:
        answer = self._client.post(
            PATH,
            {
                "model": self._model,
                "messages": [{"role": m.role, "content": m.content} for m in question.messages],
                "temperature": 0,
                "seed": 0,
                "max_tokens": self._budget(question.expected),
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
        return Said(text, _prompt_tokens(answer) or self.tokens(question.messages, ""))

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
            key=key_from(variable) if variable else None,
            timeout=self._timeout,
            tries=self._tries,
            first_wait=self._retry_wait,
        )


def _first(failures: Sequence[BaseException]) -> BaseException:
    """The failure that made the others stop."""
    from ..services.client import StoppedError

    return next((f for f in failures if not isinstance(f, StoppedError)), failures[0])


def _content(answer: Any) -> str | None:
    """The text of an answer; empty if the model said nothing; None if it is no chat answer."""
    try:
        content = answer["choices"][0]["message"].get("content")
    except (LookupError, TypeError, AttributeError):
        return None
    return content if isinstance(content, str) else ""


def _prompt_tokens(answer: Any) -> int:
    usage = answer.get("usage") if isinstance(answer, dict) else None
    count = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) else 0
