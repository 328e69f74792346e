"""An app that did not answer in HTTP is quoted.

Next refuses a WebSocket with the bare bytes `Unauthorized`; a port that speaks TLS sends an alert,
and an SSH server its name. Whoever reads the error should see that.
"""

from __future__ import annotations

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


def why_no_http(error: NoHttpError, target: Target, data: bytes) -> str:
    """The error and what came, in visible characters only."""
    if data.startswith(_TLS_ALERT):
        hint = "" if target.unix_path else f": share {replace(target, scheme='https')}"
        return f"it seems to speak TLS{hint}"
    text = printable(data[:SHOWN_BYTES].decode("utf-8", "backslashreplace"))
    cut = len(data) > SHOWN_BYTES or len(text) > SHOWN_CHARS
    return f'{error}: "{text[:SHOWN_CHARS]}"{"..." if cut else ""}'
