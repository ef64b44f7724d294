"""One POST over httpx: its answer as bytes, within a time, from the endpoint and nobody else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import MissingExtraError, UsageError
from .calls import within
from .endpoint import Endpoint

LARGEST_ANSWER = 256 << 20  # bytes


@dataclass(frozen=True)
class Raw:
    """An answer as it came. headers: by name, in any case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class RedirectedError(Exception):
    """The answer is a redirect. to: the host that it names, empty if none can be read."""

    def __init__(self, status: int, to: str) -> None:
        super().__init__(status, to)
        self.status, self.to = status, to


class FailedError(Exception):
    """There was no whole answer. The message may quote the server."""


class Exchange:
    """Connections to one endpoint; threads may share it.

    timeout: seconds for a whole answer, from looking up the host's name to the last byte.

    Raises MissingExtraError without httpx, UsageError for an endpoint that cannot be called, or
    for settings of the environment that cannot be used.
    """

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        self._timeout = timeout
        self._http = _client(endpoint, timeout)
        _check(self._http, endpoint)

    def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> Raw:
        """The answer to one POST.

        Raises RedirectedError for a redirect, TimeoutError when the time is over, FailedError for
        all else that happens on the way, a hostile header of the server's included.
        """
        import httpx

        try:
            return within(self._timeout, lambda: self._post(url, content, headers))
        except (httpx.TimeoutException, TimeoutError):
            late = True
        except (httpx.RequestError, httpx.InvalidURL, OSError, ValueError, OverflowError) as error:
            late, reason = False, f"{type(error).__name__}: {error}"
        # Outside of `except`, so that no cause can show what was sent.
        if late:
            raise TimeoutError
        raise FailedError(reason)

    def _post(self, url: str, content: bytes, headers: Mapping[str, str]) -> Raw:
        import httpx

        deadline = time.monotonic() + self._timeout
        received = bytearray()
        with self._http.stream("POST", url, content=content, headers=headers) as response:
            for chunk in response.iter_bytes():
                received += chunk
                if time.monotonic() > deadline:  # nobody waits for it any more
                    raise TimeoutError
                if len(received) > LARGEST_ANSWER:
                    raise httpx.DecodingError(f"an answer of more than {LARGEST_ANSWER:,} bytes")
            return Raw(response.status_code, response.headers, bytes(received))


def _client(endpoint: Endpoint, timeout: float) -> Any:
    try:
        import httpx
    except ImportError:
        raise MissingExtraError("A service over HTTP", "http") from None
    try:
        return httpx.Client(
            timeout=timeout,
            follow_redirects=False,
            verify=endpoint.secure,  # plain http has no certificate to check
            trust_env=endpoint.secure,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            event_hooks={"response": [_refuse_redirect]},
        )
    except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
        name = type(error).__name__
    # A proxy's URL may hold a password, so nothing of the cause is shown.
    raise UsageError(
        f"The proxy or certificate settings of the environment cannot be used ({name}).",
        where="HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE or SSL_CERT_DIR",
        next_step="correct or unset them",
    )


def _check(http: Any, endpoint: Endpoint) -> None:
    """Raise UsageError for a URL that httpx, or the encoding of host names, does not take."""
    import httpx

    try:
        # Reading the host decodes an international one.
        usable = bool(http.build_request("POST", endpoint.url).url.host)
    except (httpx.InvalidURL, ValueError):
        usable = False
    if not usable:
        raise UsageError(
            "The endpoint's host is not one that can be called.",
            where=endpoint.url,
            next_step="check how it is spelt",
        )


def _refuse_redirect(response: Any) -> None:
    """Called by httpx before it reads where a redirect leads, which a hostile one breaks."""
    if not response.has_redirect_location:
        return
    import httpx

    try:
        to = response.request.url.join(response.headers["location"]).host
    except (httpx.InvalidURL, ValueError):
        to = ""
    raise RedirectedError(response.status_code, to)
