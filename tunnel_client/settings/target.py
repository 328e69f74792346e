"""TARGET: the local app that a tunnel leads to."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass

from protocol.errors import ConfigError
from tunnel_client.settings.addresses import (
    DEFAULT_PORTS,
    SCHEMES,
    Address,
    Scheme,
    ServerUrl,
    check_bare,
    dial_addresses,
    format_authority,
    is_loopback,
    parse_authority,
    parse_port,
    quoted,
    split_url,
)

FORMS = "3000, host:3000, http://host:3000, https://host:8443 or unix:/path/app.sock"

_BEFORE_PATH = re.compile(r"((?:[a-z]{2,5}://)?[^/?#@\\]+)[/?#]", re.IGNORECASE)

# sun_path of sockaddr_un has 108 bytes on Linux, the last one a NUL (unix(7)).
LONGEST_UNIX_PATH_BYTES = 107


@dataclass(frozen=True, slots=True)
class Target:
    """A local app.

    Attributes:
        scheme: `https` if the app itself speaks TLS.
        host: in lower case, an IPv6 address without brackets; `localhost` for a bare port and for
            a unix socket.
        port: the scheme's own for a unix socket.
        unix_path: the absolute path of a unix socket, or None.
    """

    scheme: Scheme
    host: str
    port: int
    unix_path: str | None = None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read what stands on the command line. ConfigError says what is allowed."""
        try:
            return _parse(text)
        except ValueError as error:
            meant = _meant(text)
            hint = f"; did you mean {meant}?" if meant else ""
            raise ConfigError("TARGET", f"{error}{hint}; allowed: {FORMS}{quoted(text)}") from None

    @property
    def authority(self) -> str:
        """The value of Host when a browser asks the app without a tunnel."""
        return format_authority(self.scheme, self.host, self.port)

    def addresses(self) -> tuple[Address, ...]:
        """The hosts and ports to try, in this order; none for a unix socket."""
        return () if self.unix_path is not None else dial_addresses(self.host, self.port)

    def is_at(self, server: ServerUrl) -> bool:
        """Whether the tunnel-server listens at one of its addresses, so that it is no app."""
        return not {*self.addresses()}.isdisjoint(dial_addresses(server.host, server.port))

    def leads_to(self, address: Address) -> bool:
        """Whether this may be an address of this machine: the same port, and its host or all."""
        host, port = address
        if self.unix_path is not None or self.port != port:
            return False
        return self.host == host or is_loopback(self.host) or host in ("0.0.0.0", "::")  # noqa: S104  # it is compared

    def __str__(self) -> str:
        if self.unix_path is not None:
            return f"unix:{self.unix_path}"
        return f"{self.scheme}://{self.authority}"


def _meant(text: str) -> str:
    """The target that was probably meant: the one before a path or a query; "": nobody knows."""
    match = _BEFORE_PATH.match(text)
    try:
        return str(_parse(match[1])) if match else ""
    except ValueError:
        return ""


def _parse(text: str) -> Target:
    if not text.startswith("unix:") and not text.endswith("//"):
        text = text.removesuffix("/").removeprefix(":")
    if text.isdigit():
        return Target("http", "localhost", parse_port(text))
    if text.startswith((".", "/", "~")):
        said = "a folder or file is no app; `python3 -m http.server 3000` there makes one of it"
        raise ValueError(f"{said}, and a socket is given as unix:/PATH")
    if text.startswith("unix:"):
        return Target("http", "localhost", DEFAULT_PORTS["http"], _unix_path(text[5:]))
    if url := split_url(text):
        return _parse_url(*url)
    check_bare(text)
    host, port = parse_authority(text)
    if port is None:
        raise ValueError("the port is missing")
    return Target("http", host, port)


def _parse_url(given: str, authority: str) -> Target:
    if (scheme := SCHEMES.get(given)) is None:
        raise ValueError("only http and https apps can be shared")
    host, port = parse_authority(authority)
    return Target(scheme, host, DEFAULT_PORTS[scheme] if port is None else port)


def _unix_path(path: str) -> str:
    if not hasattr(socket, "AF_UNIX"):
        raise ValueError("this system has no unix sockets")
    if not path.startswith("/") or "\0" in path:
        raise ValueError("a unix socket is given by its absolute path")
    if len(os.fsencode(path)) > LONGEST_UNIX_PATH_BYTES:
        raise ValueError(f"the path of a unix socket has at most {LONGEST_UNIX_PATH_BYTES} bytes")
    return path
