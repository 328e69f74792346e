"""One table decides who is answered: Host, Origin, Sec-Fetch-Site and token, in this order.

* Host is an IP literal or `localhost`, with our port, or a name that the developer gave. A page
  that has a name of its own point here (DNS rebinding) sends nothing else that tells it apart: no
  Origin and no Sec-Fetch-Site.
* Origin, where there is one, is that of the Host. Every handshake of a browser has one.
* Sec-Fetch-Site, where it is sent, is `same-origin`, or `none`: a person typed or opened the link.
* All under /api wants the token; a WebSocket has it in its first message.

A page on another port of this machine is told apart by Origin and Sec-Fetch-Site, and has no token;
a program of another user on this machine can send what it likes, and has no token either.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, Literal, NamedTuple

from tunnel_client.inspector.web.token import InspectorToken

Kind = Literal["http", "websocket"]

API: Final = "/api/"
_HTTP_PORT: Final = 80  # a browser leaves it out
_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_.-]{1,253})(?::([0-9]{1,5}))?")


class Rejection(NamedTuple):
    """An answer instead of what was asked for.

    Fields:
        status: of HTTP.
        code: for programs.
        message: what happened and what to do.
    """

    status: int
    code: str
    message: str


class EntryHead(NamedTuple):
    """The part of a request's head that decides; each name may have come several times.

    Fields:
        path: decoded.
    """

    kind: Kind
    path: str
    hosts: tuple[bytes, ...] = ()
    origins: tuple[bytes, ...] = ()
    sites: tuple[bytes, ...] = ()
    authorizations: tuple[bytes, ...] = ()


WRONG_HOST: Final = Rejection(
    421,
    "wrong-host",
    "the inspector is not known by this name: open the link that the terminal shows, or start the"
    " client with --inspect-host NAME",
)
WRONG_ORIGIN: Final = Rejection(
    403, "wrong-origin", "a page of another origin asked, and the inspector answers its own alone"
)
WRONG_SITE: Final = Rejection(
    403,
    "cross-site",
    "another page led here: copy the link that the terminal shows into the address bar",
)
NO_TOKEN: Final = Rejection(
    401,
    "no-token",
    "the token is missing or wrong: open the link that the terminal shows, or send"
    " `Authorization: Bearer TOKEN`",
)


class EntryRules:
    """Decides by the table above.

    Args:
        port: that the inspector listens at.
        token: see there.
        name: a further host, in lower case, as which a proxy in front asks; None: there is none.
    """

    __slots__ = ("_name", "_port", "_token")

    def __init__(self, port: int, token: InspectorToken, name: str | None = None) -> None:
        self._port = port
        self._token = token
        self._name = name

    def __repr__(self) -> str:
        return f"<EntryRules port={self._port} name={self._name}>"

    def refusal(self, asked: EntryHead) -> Rejection | None:
        """Return why this is not answered; None: it is."""
        host = _only(asked.hosts)
        if host is None or not self._is_ours(host):
            return WRONG_HOST
        if asked.origins and not self._is_origin(_only(asked.origins), host):
            return WRONG_ORIGIN
        if asked.sites and _only(asked.sites) not in ("same-origin", "none"):
            return WRONG_SITE
        if asked.kind == "http" and asked.path.startswith(API) and not self._has_token(asked):
            return NO_TOKEN
        return None

    def _is_ours(self, authority: str) -> bool:
        match = _AUTHORITY.fullmatch(authority)
        if match is None:
            return False
        host, port = match[1], int(match[2] or _HTTP_PORT)
        if host == self._name:  # the port is that of the proxy
            return True
        return port == self._port and (host == "localhost" or _is_address(host))

    def _is_origin(self, origin: str | None, host: str) -> bool:
        schemes = ("http", "https") if _host_of(host) == self._name else ("http",)
        return any(_same(origin, scheme, host) for scheme in schemes)

    def _has_token(self, asked: EntryHead) -> bool:
        return len(asked.authorizations) == 1 and self._token.is_in(asked.authorizations[0])


def _same(origin: str | None, scheme: str, host: str) -> bool:
    """Whether an origin is that of a Host: a browser leaves the scheme's own port out of both."""
    return origin == f"{scheme}://{host}"


def _only(values: tuple[bytes, ...]) -> str | None:
    """Return the only value, in lower case; None: there is none, several, or one of other bytes."""
    if len(values) != 1 or not values[0].isascii():
        return None
    return values[0].decode("ascii").strip(" \t").lower()


def _host_of(authority: str) -> str | None:
    match = _AUTHORITY.fullmatch(authority)
    return None if match is None else match[1]


def _is_address(host: str) -> bool:
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
        else:
            ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
