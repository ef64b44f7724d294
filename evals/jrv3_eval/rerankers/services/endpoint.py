"""Where a service is, and who may see a key on the way there."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from ...errors import UsageError

_LOCAL_NAMES = (".localhost", ".local", ".internal")


@dataclass(frozen=True)
class Endpoint:
    """A checked base URL. url: without a slash at its end. host: in lower case."""

    url: str
    host: str
    secure: bool

    @property
    def loopback(self) -> bool:
        """Whether it is this machine, as its name or address says; nothing is looked up."""
        address = _address(self.host)
        if address is not None:
            return address.is_loopback
        return self.host == "localhost" or self.host.endswith(".localhost")

    @property
    def private(self) -> bool:
        """Whether it is in a private network: such an address, or a name that only one knows.

        A name without a dot (a container's), or one that ends in .local or .internal.
        """
        address = _address(self.host)
        if address is not None:
            return address.is_private or address.is_loopback
        return "." not in self.host or self.host.endswith(_LOCAL_NAMES)

    def join(self, path: str) -> str:
        """The URL of a path below the base; the base as it is if it ends in that path."""
        tail = f"/{path.strip('/')}"
        return self.url if self.url.endswith(tail) else self.url + tail


def parse_endpoint(text: str) -> Endpoint:
    """The endpoint that a user gave.

    Raises UsageError for what is no http(s) URL, and for one that carries a user name, a query
    or a fragment: an endpoint is part of every record, so no secret may stand in it.
    """
    try:
        parts = urlsplit(text.strip())
        host, _ = (parts.hostname or "").lower(), parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    right = "for example https://api.example.org/v1 or http://localhost:8080"
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() for c in text.strip()):
        raise UsageError(
            "The endpoint is not an http or https URL.",
            where=text if "@" not in text else None,
            next_step=f"give a base URL, {right}",
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            "The endpoint has a user name, a query or a fragment in it.",
            where=f"the endpoint at {host}",
            next_step=f"give the base URL alone, {right}; a key comes from the environment "
            "(setting key_env)",
        )
    url = f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")
    return Endpoint(url, host, parts.scheme == "https")


def check_key_is_safe(endpoint: Endpoint) -> None:
    """Raise UsageError if a key would cross a public network unencrypted."""
    if not (endpoint.secure or endpoint.private):
        raise UsageError(
            "A key would be sent without encryption.",
            where=endpoint.url,
            next_step="use https://, or unset key_env if the service needs no key",
        )


def key_from(*variables: str) -> str | None:
    """The first of these environment variables that is set and not blank, stripped.

    Raises UsageError, without showing it, for a key that no header can carry.
    """
    for variable in variables:
        key = os.environ.get(variable, "").strip()
        if key:
            if not (key.isascii() and key.isprintable()) or " " in key:
                raise UsageError(
                    "The key has characters that no key has (spaces, control or non-ASCII ones).",
                    where=f"environment variable {variable}",
                    next_step="copy the key again",
                )
            return key
    return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
