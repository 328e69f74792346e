"""An app that did not answer in HTTP is quoted.

Next refuses a WebSocket with the bare bytes `Unauthorized`; a port that speaks TLS sends an alert,
and an SSH server its name. Whoever reads the error should see that.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import trio

from protocol.errors import NoHttpError
from protocol.program.text import printable
from tunnel_client.origin.connection import OriginClosed, OriginConnection
from tunnel_client.settings.target import Target

SHOWN_BYTES: Final = 200  # a line or two; in escapes, too, they fit into the text of a reset
SHOWN_CHARS: Final = 300
REST_S: Final = 0.5  # for what comes behind the first bytes: they may come in pieces

_TLS_ALERT: Final = b"\x15\x03"  # RFC 8446 5.1: the type of a record, and its version

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
    if data.startswith(_TLS_ALERT):
        hint = "" if target.unix_path else f": share {replace(target, scheme='https')}"
        return f"it seems to speak TLS{hint}"
    text = printable(data[:SHOWN_BYTES].decode("utf-8", "backslashreplace"))
    cut = len(data) > SHOWN_BYTES or len(text) > SHOWN_CHARS
    return f'{error}: "{text[:SHOWN_CHARS]}"{"..." if cut else ""}'
