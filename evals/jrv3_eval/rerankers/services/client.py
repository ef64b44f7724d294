"""A client for services that answer JSON to a POST: retries, limits, and a key that stays put."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from ... import network
from ...errors import UnavailableError, UsageError
from .endpoint import Endpoint, check_key_is_safe, parse_endpoint
from .exchange import Exchange, FailedError, Raw, RedirectedError
from .pacing import LONGEST_WAIT, Pace, backoff, retry_after
from .redaction import one_line, redact

MESSAGE_LENGTH = 300  # characters of a server's message that an error shows
_BUSY = (408, 425, 429)


class RefusedError(UsageError):
    """A service refused a call for good (a status of 4xx other than 408, 425 and 429).

    status: the HTTP status. message: what the service said, on one line, without the key.
    """

    def __init__(self, what: str, status: int, message: str, **more: str | None) -> None:
        super().__init__(what, where=more.get("where"), next_step=more.get("next_step"))
        self.status = status
        self.message = message


class StoppedError(UnavailableError):
    """A call was given up because another of the same work failed."""


@dataclass(frozen=True)
class Answer:
    """What a service answered. value: the parsed JSON. headers: by name, in any case."""

    value: Any
    headers: Mapping[str, str]


@dataclass(frozen=True)
class _Failed:
    """A try that may be repeated. wait: seconds that the server asked for."""

    reason: str
    wait: float | None = None


class JsonClient:
    """Posts JSON to one endpoint and reads JSON; threads may share it.

    endpoint: base URL. key: sent as `header: scheme key` to the endpoint's own host and to no
    other: redirects are never followed, and a full URL must be of the same origin. timeout:
    seconds for a whole answer. tries: of one call. pace: limits a minute. sleep: waits between
    tries; by default an interruptible wait. first_wait: seconds before the second try.

    Proxies of the environment are used for https only, where they see no more than the host's
    name; .netrc is never read. Under HF_HUB_OFFLINE only loopback endpoints are called.

    Raises UsageError for a bad endpoint, or a key that would cross a public network unencrypted,
    MissingExtraError without httpx.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        key: str | None = None,
        header: str = "Authorization",
        scheme: str = "Bearer",
        headers: Mapping[str, str] | None = None,
        timeout: float = 120.0,
        tries: int = 5,
        pace: Pace | None = None,
        sleep: Callable[[float], None] | None = None,
        first_wait: float = 1.0,
    ) -> None:
        self.endpoint: Endpoint = parse_endpoint(endpoint)
        if key:
            check_key_is_safe(self.endpoint)
        self._key = SecretStr(key or "")
        self._key_header = (header, f"{scheme} ".lstrip())
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._timeout, self._tries, self._first_wait = timeout, max(1, tries), first_wait
        self._pace = pace or Pace()
        self._sleep = sleep
        self._exchange = Exchange(self.endpoint, timeout)

    def __repr__(self) -> str:
        return f"JsonClient({self.endpoint.url!r})"

    def post(
        self,
        path: str,
        payload: Any,
        *,
        about: str = "",
        tokens: int = 0,
        stop: threading.Event | None = None,
    ) -> Any:
        """The parsed JSON that the service answers; see `call`."""
        return self.call(path, payload, about=about, tokens=tokens, stop=stop).value

    def call(
        self,
        path: str,
        payload: Any,
        *,
        about: str = "",
        tokens: int = 0,
        stop: threading.Event | None = None,
    ) -> Answer:
        """The answer of the service to one call.

        path: below the endpoint, or a full URL of its origin. payload: any JSON value without
        NaN; lone surrogates in its texts are sent as "?". about: what the call is for, which an
        error names. tokens: what the call may take, for the limit a minute. stop: once set, no
        further try is made.

        A timeout, a broken or truncated answer, one that is no JSON, 408, 425, 429 and 5xx are
        tried again, after what Retry-After says (at most two minutes). Raises RefusedError for
        another 4xx, UsageError for a redirect, UnavailableError when all tries failed or the
        network is forbidden, StoppedError once `stop` is set.
        """
        url = self._url(path)
        body = json.dumps(payload, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
        stopped = stop or threading.Event()
        where = f"{url}, {about}" if about else url
        reason = ""
        for attempt in range(self._tries):
            self._pace.enter(tokens, lambda seconds: self._wait(seconds, stopped))
            answer = self._try(url, body, where)
            if isinstance(answer, Answer):
                return answer
            reason = answer.reason
            if attempt + 1 < self._tries:
                self._wait(self._until_next(attempt, answer.wait), stopped)
        raise UnavailableError(
            f"The service failed {self._tries} times; the last time: {reason}.",
            where=where,
            next_step="try again: what is scored is kept; fewer calls at once (concurrency) or "
            "a minute (requests_per_minute) help against 429, a longer timeout against timeouts",
        )

    def redact(self, text: str) -> str:
        """The text without the key, on one line, cut."""
        return one_line(redact(text, self._key.get_secret_value()), MESSAGE_LENGTH)

    def _url(self, path: str) -> str:
        if "://" not in path:
            return self.endpoint.join(path)
        base, other = self.endpoint.url, parse_endpoint(path)
        if base.split("/")[:3] != other.url.split("/")[:3]:
            raise UsageError("The URL is not of the endpoint's host.", where=other.url)
        return other.url

    def _until_next(self, attempt: int, asked: float | None) -> float:
        """Seconds to the next try. What the server asks for holds all threads back."""
        wait = backoff(attempt, self._first_wait)
        if asked is None:
            return wait
        wait = max(wait, min(asked, LONGEST_WAIT))
        self._pace.hold(wait)
        return wait

    def _wait(self, seconds: float, stop: threading.Event) -> None:
        if seconds > 0:
            (self._sleep or stop.wait)(min(seconds, threading.TIMEOUT_MAX))
        if stop.is_set():
            raise StoppedError("The call was given up.", where=self.endpoint.url)

    def _try(self, url: str, body: bytes, where: str) -> _Failed | Answer:
        """One try. Errors are raised outside of `except`, so that no cause can show a key."""
        if network.offline() and not self.endpoint.loopback:
            raise UnavailableError(
                "HF_HUB_OFFLINE forbids to ask the service.",
                where=where,
                next_step="run once with internet access: what is scored is kept",
            )
        reason = redirected = answer = None
        try:
            answer = self._exchange.post(url, body, self._signed())
        except TimeoutError:
            reason = f"no whole answer within {self._timeout:g} seconds"
        except FailedError as error:
            reason = self.redact(str(error))
        except RedirectedError as error:
            redirected = error
        if redirected is not None:
            raise self._elsewhere(redirected, where)
        if answer is None:
            return _Failed(reason or "")
        if answer.status in _BUSY or answer.status >= 500:
            said = self.redact(_message(answer.content))
            reason = f"status {answer.status}" + (f": {said}" if said else "")
            return _Failed(reason, retry_after(answer.headers.get("retry-after")))
        if answer.status >= 300:
            raise self._refused(answer, where)
        return self._parsed(answer)

    def _signed(self) -> dict[str, str]:
        """The headers of a call, with the key if there is one."""
        headers = dict(self._headers)
        if key := self._key.get_secret_value():
            headers[self._key_header[0]] = self._key_header[1] + key
        return headers

    def _elsewhere(self, redirected: RedirectedError, where: str) -> UsageError:
        return UsageError(
            f"The service redirects to {self.redact(redirected.to) or 'no host that can be read'} "
            f"(status {redirected.status}), and redirects are not followed: "
            "another host must not see the key and the texts.",
            where=where,
            next_step="if that host is right, give it as the endpoint",
        )

    def _refused(self, answer: Raw, where: str) -> UsageError:
        if answer.status < 400:
            return self._elsewhere(RedirectedError(answer.status, ""), where)
        said = self.redact(_message(answer.content))
        step = {401: "check the key (key_env)", 403: "check the key (key_env) and its rights"}
        return RefusedError(
            f"The service refused the call with status {answer.status}: {said or 'no message'}.",
            answer.status,
            said,
            where=where,
            next_step=step.get(answer.status, "check the endpoint, the model and the settings"),
        )

    def _parsed(self, answer: Raw) -> _Failed | Answer:
        kind = answer.headers.get("content-type", "json")
        if "json" not in kind.lower():
            start = self.redact(answer.content[:1000].decode("utf-8", "replace"))
            return _Failed(f"its content type is {self.redact(kind)}, not JSON: {start}")
        try:
            return Answer(json.loads(answer.content), answer.headers)
        except (ValueError, RecursionError):
            return _Failed(f"its answer of {len(answer.content)} bytes is no whole JSON")


def _message(content: bytes) -> str:
    """What an error's body says: its message, detail or error, or its text."""
    text = content[:100_000].decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    for _ in range(3):
        if not isinstance(value, dict):
            break
        named = [value[k] for k in ("message", "detail", "error", "error_message") if value.get(k)]
        if not named:
            break
        value = named[0]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
