"""An app that did not answer in HTTP is quoted.

Next refuses a WebSocket with the bare bytes `Unauthorized`; a port that speaks TLS sends an alert,
and an SSH server its name. Whoever reads the error should see that.
"""

from __future__ import annotations

import re
from dataclasses import replace
from http import HTTPStatus
from typing import Final

import trio

from protocol.errors import NoHttpError
from protocol.program.text import printable
from tunnel_client.origin.connection import OriginClosed, OriginConnection
from tunnel_client.settings.rows import HTTP, PROGRAM
from tunnel_client.settings.target import Target

SHOWN_BYTES: Final = 200  # a line or two; in escapes, too, they fit into the text of a reset
SHOWN_CHARS: Final = 300
REST_S: Final = 0.5  # for what comes behind the first bytes: they may come in pieces

_TLS_ALERT: Final = b"\x15\x03"  # RFC 8446 5.1: the type of a record, and its version

# The 400 of servers that speak TLS and were asked without it: nginx, Go (Caddy, Traefik), Apache,
# Tomcat and tunnel-server. What they say of it is in the first line or two.
_REFUSES_PLAIN: Final = re.compile(
    rb"plain HTTP request was sent to HTTPS|sent an HTTP request to an HTTPS server"
    rb"|speaking plain HTTP to an SSL-enabled|combination of host and port requires TLS"
    rb"|is an https:// address"
)

# What common services say first, or say to a request.
_SERVICES: Final = (
    (re.compile(rb"SSH-"), "an SSH server"),  # RFC 4253 4.2
    # A packet's length, its number, and the protocol's; or 0xff: the host is refused.
    (re.compile(rb".{3}\x00(\x0a|\xff)", re.DOTALL), "MySQL or MariaDB"),
    (re.compile(rb"-(ERR|NOAUTH|DENIED) "), "Redis"),  # RESP's errors
    (re.compile(rb"220[ -]"), "a mail or FTP server"),  # RFC 5321 4.2, RFC 959 5.4
    (re.compile(rb"\+OK|\* OK"), "a mail server"),  # RFC 1939 4, RFC 9051 7.1
    (re.compile(rb"RFB \d"), "a VNC server"),  # RFC 6143 7.1.1
)


async def first_bytes(connection: OriginConnection) -> bytes:
    """Return the bytes that are no HTTP, to their end, to 200 bytes or for 0.5 s."""
    data = connection.answers.take_rest()
    try:
        with trio.move_on_after(REST_S):
            while len(data) < SHOWN_BYTES and (more := await connection.receive()):
                data += more
    except OriginClosed:
        pass  # that is an end as well
    return data


def what_speaks(data: bytes) -> str | None:
    """The service whose first bytes these are, with its article; None: it is not known."""
    return next((name for begins, name in _SERVICES if begins.match(data)), None)


def why_no_http(error: NoHttpError, target: Target, data: bytes) -> str:
    """The error and what came, in visible characters only."""
    if is_alert(data):
        return f"it speaks TLS{shared_by_tls(target, ': ')}"
    text = printable(data[:SHOWN_BYTES].decode("utf-8", "backslashreplace"))
    cut = len(data) > SHOWN_BYTES or len(text) > SHOWN_CHARS
    return f'{error}: "{text[:SHOWN_CHARS]}"{"..." if cut else ""}'


def is_alert(data: bytes) -> bool:
    """Whether these first bytes are what TLS says to a request without it."""
    return data.startswith(_TLS_ALERT)


def refuses_plain(status: int, body: bytes) -> bool:
    """Whether an answer says that requests must come by TLS."""
    return status == HTTPStatus.BAD_REQUEST and _REFUSES_PLAIN.search(body) is not None


def shared_by_tls(target: Target, before: str) -> str:
    """The command that shares the app if it speaks TLS, behind these words; "": there is none."""
    if target.unix_path is not None or target.scheme == "https":
        return ""
    return f"{before}{PROGRAM} {HTTP} {replace(target, scheme='https')}"
