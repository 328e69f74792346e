"""Hosts, ports and URLs as people type them.

Python's urlsplit is not used: it drops tabs and newlines in silence and finds a host in nearly
anything. What is typed here is short and simple, so it is matched as a whole or refused.

The errors are ValueErrors whose text says what is allowed. Whoever shows one may add the value by
`quoted`: a URL that is refused may hold a password.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Literal

Address = tuple[str, int]  # host or IP literal without brackets, port

Scheme = Literal["http", "https"]

# A WebSocket's URL has the scheme of the page that opens it: people copy either.
SCHEMES: dict[str, Scheme] = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
DEFAULT_PORTS: dict[Scheme, int] = {"http": 80, "https": 443}

# RFC 1123 2.1, and "_", which stands in the names of containers and services. 63: RFC 1035 2.3.4.
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?", re.DOTALL)
_LONGEST_QUOTED_CHARS = 80  # of more, what is said about it would be lost
_LONGEST_HOST = 253  # RFC 1035 3.1: 255 bytes on the wire, without the length in front and the root


def parse_port(text: str) -> int:
    """The port, 1 to 65535. ValueError otherwise."""
    # Not int() alone: it takes "+80", "8_0", " 80" and the digits of other scripts.
    if re.fullmatch(r"[0-9]{1,5}", text) and 1 <= int(text) <= 65535:
        return int(text)
    raise ValueError("a port is a number from 1 to 65535")


def parse_host(text: str) -> str:
    """The host in lower case: a name, an IPv4 address or a bracketed IPv6 one (given back without).

    ValueError for anything else, zone ids included (they have no place in Host: RFC 9110 4.2.1).
    """
    if text.startswith("["):
        return _parse_ipv6(text)
    host = text.lower() if text.isascii() else ""  # the lower case of the Kelvin sign is a k
    labels = host.split(".")
    if len(host) > _LONGEST_HOST or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("a host is a name, an IPv4 address, or an IPv6 address in brackets")
    if labels[
        -1
    ].isdigit():  # the resolver reads such a name as an IPv4 address: 127.1 is 127.0.0.1
        _check_ipv4(host)
    return host


def _parse_ipv6(text: str) -> str:
    try:
        if text.endswith("]") and "%" not in text:
            return str(ipaddress.IPv6Address(text[1:-1]))
    except ValueError:
        pass
    raise ValueError("what stands in brackets is no IPv6 address")


def _check_ipv4(host: str) -> None:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        raise ValueError("a host that ends in a number is an IPv4 address, as 127.0.0.1") from None


def parse_authority(text: str) -> tuple[str, int | None]:
    """Host and port of `host`, `host:port`, `[ipv6]` or `[ipv6]:port`. ValueError otherwise."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise ValueError("an IPv6 address stands in brackets, as [::1]:3000")
    host, port = match.groups()
    return parse_host(host), None if port is None else parse_port(port)


def split_url(text: str) -> tuple[str, str] | None:
    """Scheme, in lower case, and the rest of a URL; None if there is no `scheme://`.

    The slash that browsers and dev servers print behind the host is left out of the rest.
    ValueError if the rest has a path, a query, a fragment or a user name.
    """
    match = _URL.fullmatch(text)
    if match is None:
        return None
    scheme, rest = match.group(1).lower(), match.group(2).removesuffix("/")
    check_bare(rest)
    return scheme, rest


def quoted(text: str) -> str:
    """Return `, not 'VALUE'`, for the end of a complaint; "" for what may hold a secret."""
    secret = text.startswith("tt_") or set("@?#") & set(text)
    return "" if secret or len(text) > _LONGEST_QUOTED_CHARS else f", not {text!r}"


def check_bare(authority: str) -> None:
    """ValueError if more than host and port stands there."""
    if "@" in authority:
        raise ValueError("no user name or password")
    if re.search(r"[/?#\\]", authority):
        raise ValueError("no path, query or fragment")


def format_host(host: str) -> str:
    """The host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def format_address(host: str, port: int) -> str:
    """`host:port`, as people and CONNECT want it."""
    return f"{format_host(host)}:{port}"


def format_authority(scheme: Scheme, host: str, port: int) -> str:
    """The value of Host: the port is left out where it is the scheme's own (RFC 9110 7.2)."""
    return format_host(host) if port == DEFAULT_PORTS[scheme] else format_address(host, port)


def is_localhost(host: str) -> bool:
    """Whether the host is `localhost` or a name under it: loopback for everyone (RFC 6761 6.3)."""
    return host == "localhost" or host.endswith(".localhost")


def is_loopback(host: str) -> bool:
    """Whether the host is this machine: `localhost`, a name under it, 127.0.0.0/8 or ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return is_localhost(host)


def is_address(host: str) -> bool:
    """Whether the host is an IP literal."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def dial_addresses(host: str, port: int) -> tuple[Address, ...]:
    """The addresses to try, in this order, to reach the host.

    `localhost` and the names under it are both loopback addresses: not every resolver knows the
    names under it, and some programs listen on one of the two alone (Node's do on ::1). Any other
    host is left to the resolver.
    """
    if is_localhost(host):
        return (("127.0.0.1", port), ("::1", port))
    return ((host, port),)


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """The tunnel-server's address: `http://localhost:8080`, `https://example.com`.

    Attributes:
        scheme: `https` is TLS, always verified.
        host: a name or an IP literal, in lower case, without brackets.
    """

    scheme: Scheme
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> ServerUrl:
        """Read scheme, host and port. ValueError, which says what is allowed, for the rest.

        Without a scheme it is http to this machine, and else https.
        """
        try:
            given, authority = split_url(text) or ("", text.removesuffix("/"))
            check_bare(authority)
            host, port = parse_authority(authority)
            guessed = "http" if is_loopback(host) else "https"
            if (scheme := SCHEMES.get(given or guessed)) is None:
                raise ValueError("a URL starts with http:// or https://")
        except ValueError as error:
            forms = "allowed: http://HOST[:PORT] or https://HOST[:PORT]"
            raise ValueError(f"{error}; {forms}{quoted(text)}") from None
        return cls(scheme, host, DEFAULT_PORTS[scheme] if port is None else port)

    @property
    def tls(self) -> bool:
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """The value of Host in a request to it."""
        return format_authority(self.scheme, self.host, self.port)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


DEFAULT_SERVER: Final = ServerUrl("http", "localhost", 8080)
