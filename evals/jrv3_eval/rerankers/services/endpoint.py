"""Where a service is, and who may see a key on the way there."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from ...errors import UsageError

_LOCAL_NAMES = (".localhost", ".local", ".internal")
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")  # of a host's name in ASCII
# A host whose parts are numbers is an address to the resolver, 134744072 and 0x8.8.8.8 too.
_NUMBERS = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
# What is surely a variable's name and no key: words of capitals, none of them long.
_PLAIN_VARIABLE = re.compile(r"[A-Z][A-Z0-9]{0,15}(_[A-Z0-9]{1,15})*")


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
        if not self.host.isascii() or _NUMBERS.fullmatch(self.host):
            return False  # other scripts have dots of their own
        return "." not in self.host or self.host.endswith(_LOCAL_NAMES)

    def join(self, path: str) -> str:
        """The URL of a path below the base; the base as it is if its path ends in that one."""
        tail = f"/{path.strip('/')}"
        return self.url if urlsplit(self.url).path.endswith(tail) else self.url + tail


def parse_endpoint(text: str) -> Endpoint:
    """The endpoint that a user gave.

    Raises UsageError for what is no http(s) URL, and for one that carries a user name, a query
    or a fragment: an endpoint is part of every record, so no secret may stand in it.
    """
    text = text.strip()
    try:
        parts = urlsplit(text)
        host, _ = (parts.hostname or "").lower(), parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    right = "for example https://api.example.org/v1 or http://localhost:8080"
    plain = text.isprintable() and " " not in text
    if parts.scheme not in ("http", "https") or not plain or not _is_host(host):
        raise UsageError(
            "The endpoint is not an http or https URL.",
            where=shown_url(text),
            next_step=f"give a base URL, {right}",
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            "The endpoint has a user name, a query or a fragment in it.",
            where=shown_url(text),
            next_step=f"give the base URL alone, {right}; a key comes from the environment "
            "(setting key_env)",
        )
    url = f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")
    return Endpoint(url, host, parts.scheme == "https")


def shown_url(text: str) -> str | None:
    """A URL as an error may show it: without user name, password, query and fragment.

    None where it cannot be told which part is which, and for what is no URL: it may be a key.
    """
    scheme, found, rest = text.partition("://")
    if not found or not scheme.isalpha():
        return None
    shown = re.split(r"[?#]", rest, maxsplit=1)[0]
    if "@" in rest:
        user, at, place = shown.rpartition("@")
        # A password may hold a slash, and then the host is anywhere.
        if not at or "/" in user or "@" in rest[len(shown) :]:
            return None
        shown = place
    return f"{scheme}://" + "".join(c if c.isprintable() else "?" for c in shown)


def check_key_is_safe(endpoint: Endpoint) -> None:
    """Raise UsageError if a key would cross a public network unencrypted."""
    if not (endpoint.secure or endpoint.private):
        raise UsageError(
            "A key would be sent without encryption.",
            where=endpoint.url,
            next_step="use https://, or unset key_env if the service needs no key",
        )


def check_variable(name: str | None) -> None:
    """Raise UsageError, without showing it, for a `key_env` that is no name of a variable."""
    if name and name.strip() and not _VARIABLE.fullmatch(name.strip()):
        raise UsageError(
            "The setting key_env is no name of an environment variable. (It is not shown here, "
            "since it may be a key.)",
            next_step="export MY_KEY=..., and give the name: --set key_env=MY_KEY",
        )


def key_from(endpoint: Endpoint, *variables: str) -> str | None:
    """The key for an endpoint: the first of these variables that is set and not blank, stripped.

    None if no variable is named. Raises UsageError if none is set, and, without showing it, for a
    key that no header can carry.
    """
    names = [name for variable in variables if (name := variable.strip())]
    for name in names:
        key = os.environ.get(name, "").strip()
        if key:
            if not (key.isascii() and key.isprintable()) or " " in key:
                raise UsageError(
                    "The key has characters that no key has (spaces, control or non-ASCII ones).",
                    where=f"environment variable {name}",
                    next_step="copy the key again",
                )
            return key
    if not names:
        return None
    if not all(_PLAIN_VARIABLE.fullmatch(name) for name in names):
        raise UsageError(
            "A key is needed, and the variable that key_env names is not set. (It is not shown "
            "here, since it may be a key.)",
            where=endpoint.url,
            next_step="export MY_KEY=..., and give the name: --set key_env=MY_KEY",
        )
    raise UsageError(
        f"A key is needed, and {' or '.join(names)} is not set.",
        where=endpoint.url,
        next_step=f"export {names[0]}=..., or name another variable: --set key_env=NAME",
    )


def _is_host(host: str) -> bool:
    """Whether it is an address or a name; of other scripts only the dots are looked at."""
    if ":" in host:
        return _address(host) is not None
    labels = host.removesuffix(".").split(".")
    if not host.isascii():
        return all(labels)
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is, as the resolver reads it: 2130706433 is 127.0.0.1."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        host = host.removesuffix(".")
        if not _NUMBERS.fullmatch(host):
            return None
        try:
            address = ipaddress.ip_address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped
