"""The address of the inspector: bound before anything else is known of it, since it is told."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

from protocol.errors import TunnelError
from tunnel_client.settings.addresses import Address, format_address

LOOPBACK: Final = "127.0.0.1"
# Twenty: so many clients of one person have a port that they have again at the next start.
USUAL_PORTS: Final = range(4040, 4060)
_BACKLOG: Final = 64  # as many as are served at a time


class InspectorPlaceError(TunnelError):
    """Nothing can listen there; its text is for the person."""


def bind_usual(avoided: int | None = None) -> socket.socket:
    """Return a socket that listens at the first port that is free of USUAL_PORTS, or at any.

    Args:
        avoided: that of the app, which may not listen yet.

    Raises InspectorPlaceError.
    """
    for port in USUAL_PORTS:
        with suppress(OSError):
            if port != avoided:
                return _bound((LOOPBACK, port))
    return bind_exactly((LOOPBACK, 0))


def bind_exactly(address: Address) -> socket.socket:
    """Return a socket that listens there. Raises InspectorPlaceError."""
    try:
        return _bound(address)
    except OSError as error:
        where = format_address(*address)
        raise InspectorPlaceError(
            f"nothing can listen at {where}: {error.strerror or error}"
        ) from None


def _bound(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # The last client's connections may still be closing; two listeners at once are refused.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
