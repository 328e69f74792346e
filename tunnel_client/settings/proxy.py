"""The HTTP proxy between the client and a server, read from the environment.

The rules are those of curl (its manual, "Environment"), which most people have met:

* `https_proxy` or `HTTPS_PROXY` for an https server. For an http server `http_proxy` in lower case
  alone: where a CGI program is run, a visitor's `Proxy` header becomes HTTP_PROXY.
* `all_proxy` or `ALL_PROXY` where that is not set. Lower case wins; an empty variable is not set.
* `no_proxy` or `NO_PROXY` lists, with commas or blanks, the servers that are reached directly: `*`
  is all; a name stands for itself and every name under it, with or without a dot in front; an
  address for itself; a network as `10.0.0.0/8` for all its addresses. With `:PORT` behind, an entry
  is for that port alone (Python and Go read it so; curl does not know it).

This machine is never reached through a proxy: a proxy's `localhost` is another machine.

The way through the proxy is CONNECT for both schemes (RFC 6455 4.1), so nothing in between sees or
changes the WebSocket.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from protocol.errors import ConfigError
from tunnel_client.settings.addresses import (
    DEFAULT_PORTS,
    SCHEMES,
    Scheme,
    ServerUrl,
    format_address,
    is_loopback,
    parse_authority,
    parse_port,
)

_ALLOWED = "allowed: http://[USER:PASSWORD@]HOST[:PORT] or https://..., or nothing"
_URL = re.compile(r"(?:([A-Za-z0-9+.-]+)://)?(?:(.*)@)?([^/@]*)/?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that takes CONNECT.

    Attributes:
        scheme: `https` if the proxy itself is spoken to over TLS.
        authorization: the value of Proxy-Authorization, or None; never printed.
        variable: the environment variable that names it, for messages.
    """

    scheme: Scheme
    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)
    variable: str = ""

    def __str__(self) -> str:
        return format_address(self.host, self.port)


def choose_proxy(server: ServerUrl, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy for this server, or None to connect directly.

    ConfigError, which names the variable and repeats nothing of its value, if the variable that
    counts holds anything but an http or https proxy.
    """
    if is_loopback(server.host) or _is_excepted(server, environ):
        return None
    own = ("https_proxy", "HTTPS_PROXY") if server.tls else ("http_proxy",)
    for variable in (*own, "all_proxy", "ALL_PROXY"):
        if value := environ.get(variable):
            return _parse(value, variable)
    return None


def _parse(value: str, variable: str) -> Proxy:
    match = _URL.fullmatch(value)
    if match is None:
        raise ConfigError(variable, _ALLOWED)
    given, credentials, authority = match.groups()
    scheme = SCHEMES.get((given or "http").lower())  # without a scheme, as curl: http
    if scheme is None:
        raise ConfigError(variable, f"only http and https proxies can be used; {_ALLOWED}")
    try:
        host, port = parse_authority(authority)
    except ValueError as error:
        raise ConfigError(variable, f"{error}; {_ALLOWED}") from None
    authorization = None if credentials is None else _basic(credentials)
    return Proxy(scheme, host, port or DEFAULT_PORTS[scheme], authorization, variable)


def _basic(credentials: str) -> str:
    """RFC 7617 2. What a URL cannot hold in itself stands there percent-encoded."""
    # Bytes that are no UTF-8 reach us as surrogates (os.environ), and go on as they came.
    user, _, password = credentials.encode("utf-8", "surrogateescape").partition(b":")
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def _is_excepted(server: ServerUrl, environ: Mapping[str, str]) -> bool:
    listed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    return any(_matches(entry.lower(), server) for entry in re.split(r"[,\s]+", listed) if entry)


def _matches(entry: str, server: ServerUrl) -> bool:
    if entry == "*":
        return True
    host, port = _split_entry(entry)
    if port is not None and port != server.port:
        return False
    try:
        address = ipaddress.ip_address(server.host)
    except ValueError:
        name = host.removeprefix("*").strip(".")
        return bool(name) and (server.host == name or server.host.endswith(f".{name}"))
    try:
        return address in ipaddress.ip_network(host, strict=False)
    except ValueError:
        return False


def _split_entry(entry: str) -> tuple[str, int | None]:
    """The entry without brackets and port. A bare IPv6 address has colons, and no port."""
    match = re.fullmatch(r"\[([^\]]*)\](?::(.*))?|([^:]*):([^:]*)", entry)
    if match is None:
        return entry, None
    host, port = match[1] or match[3] or "", match[2] or match[4]
    try:
        return host, None if port is None else parse_port(port)
    except ValueError:
        return "", None  # matches nothing: names are not empty, and "" is no network
