"""One public connection from its TLS handshake to its end."""

from __future__ import annotations

import logging
import ssl
from typing import Final

import trio

from protocol.sockets import keep_alive
from protocol.tcp import TcpStream
from tunnel_server.answering import AnswerWriter
from tunnel_server.connection import Connection, VisitorGoneError
from tunnel_server.control import Control
from tunnel_server.edge import Edge
from tunnel_server.requests import RequestReader

log = logging.getLogger(__name__)

TLS_HANDSHAKE_S: Final = 10.0


async def serve_visitor(
    edge: Edge, control: Control, tls: ssl.SSLContext | None, stream: trio.SocketStream
) -> None:
    """Serve one connection that was accepted. Only Cancelled leaves this function."""
    try:
        keep_alive(stream)
        address = stream.socket.getpeername()[0]
        if tls is None:
            below: trio.abc.Stream = TcpStream(stream)
        else:
            secured = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
            below = secured
            with trio.fail_after(TLS_HANDSHAKE_S):
                await secured.do_handshake()
    except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
        log.debug("no TLS handshake: %r", error)
        await trio.aclose_forcefully(stream)
        return
    await serve_stream(edge, control, below, address=address, secure=tls is not None)


async def serve_stream(
    edge: Edge, control: Control, stream: trio.abc.Stream, *, address: str, secure: bool = False
) -> None:
    """Serve HTTP on a stream, to its end. Only Cancelled leaves this function."""
    connection = Connection(edge, stream, address=address, secure=secure)
    edge.connections.add(connection)
    try:
        with connection.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(AnswerWriter(connection).run)
                await RequestReader(connection, control).run()
                nursery.cancel_scope.cancel()
    except* VisitorGoneError:
        connection.abort()
    except* Exception as group:  # the edge of one connection
        log.exception("%s: a connection failed: %r", address, group.exceptions[0])
        connection.abort()
    finally:
        edge.connections.discard(connection)
        exchange = connection.exchange
        if exchange is not None and exchange.stream is not None:
            exchange.stream.cancel("visitor-gone")
        await connection.aclose()
