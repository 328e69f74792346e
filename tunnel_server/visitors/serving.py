"""One public connection from its PROXY header and TLS handshake to its end."""

from __future__ import annotations

import logging
import socket
import ssl
from contextlib import suppress
from typing import Final

import trio

from protocol.drivers.sockets import keep_alive
from protocol.drivers.tcp import TcpStream
from tunnel_server.observing.strangers import by_stranger, crowd_key
from tunnel_server.settings.config import ServerConfig
from tunnel_server.tunnels.control import ControlEndpoint
from tunnel_server.visitors.answering import AnswerWriter
from tunnel_server.visitors.connection import Connection, VisitorGone
from tunnel_server.visitors.crowd import Place
from tunnel_server.visitors.edge import Edge
from tunnel_server.visitors.exchange import Exchange
from tunnel_server.visitors.proxy_protocol import (
    MAX_HEADER_BYTES,
    ProxyHeader,
    ProxyProtocolError,
    parse_header,
)
from tunnel_server.visitors.requests import RequestReader
from tunnel_server.visitors.same_connection import SameConnection
from tunnel_server.visitors.tls_stream import TlsStream
from tunnel_server.visitors.visitor import Source, source_of

log = logging.getLogger(__name__)

TLS_HANDSHAKE_S: Final = 10.0
# A proxy sends its header at once, before anything of the visitor's: this is for a slow line.
PROXY_HEADER_S: Final = 5.0
# Of so few bytes, which the kernel takes at once.
_SAID_S: Final = 1.0
_HTTPS_TEXT: Final = b"This is an https:// address, and the request came without TLS.\n"
_IT_IS_HTTPS: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Cache-Control: no-store\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_HTTPS_TEXT), _HTTPS_TEXT)
)


async def serve_visitor(
    edge: Edge, control: ControlEndpoint, tls: ssl.SSLContext | None, stream: trio.SocketStream
) -> None:
    """Serve one connection that was accepted. Only Cancelled leaves this function."""
    with trio.CancelScope() as scope:
        place = _take_place(edge, stream.socket, scope)
        if place is None:
            await trio.aclose_forcefully(stream)
            return
        try:
            await _serve_at(place, edge, control, tls, stream)
        finally:
            place.leave()


def _take_place(edge: Edge, peer: trio.socket.SocketType, scope: trio.CancelScope) -> Place | None:
    """A place for the connection, or None: too many are there, or its peer is gone."""
    try:
        address = peer.getpeername()[0]
    except OSError:
        return None
    key = None if edge.config.trusts(address) else crowd_key(address)
    return edge.crowd.enter(key, scope.cancel)


async def _serve_at(
    place: Place,
    edge: Edge,
    control: ControlEndpoint,
    tls: ssl.SSLContext | None,
    stream: trio.SocketStream,
) -> None:
    try:
        keep_alive(stream)
        source = await _source_of(edge.config, stream.socket)
        if source is None:
            await trio.aclose_forcefully(stream)
            return
        if edge.config.proxy_protocol and not edge.config.trusts(source.address):
            place.move(crowd_key(source.address))
        if tls is None:
            below: trio.abc.Stream = TcpStream(stream)
        else:
            below = secured = TlsStream(stream, tls)
            with trio.fail_after(TLS_HANDSHAKE_S):
                await secured.do_handshake()
    except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
        log.debug("no TLS handshake: %r", error)
        if getattr(error.__cause__, "reason", "") == "HTTP_REQUEST":
            await _say_that_it_is_https(stream)
        await trio.aclose_forcefully(stream)
        return
    await serve_stream(edge, control, below, source._replace(secure=tls is not None), place)


async def _say_that_it_is_https(stream: trio.SocketStream) -> None:
    """Tell a visitor, or a client, that has taken `https://` for `http://`: it asks in vain."""
    with trio.move_on_after(_SAID_S), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await stream.send_all(_IT_IS_HTTPS)


async def serve_stream(
    edge: Edge,
    control: ControlEndpoint,
    stream: trio.abc.Stream,
    source: Source,
    place: Place | None = None,
) -> None:
    """Serve HTTP on a stream, to its end. Only Cancelled leaves this function."""
    connection, same = Connection(edge, stream, source, place), SameConnection()
    edge.connections.add(connection)
    try:
        with connection.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(AnswerWriter(connection, same).run)
                await RequestReader(connection, control, same).run()
                nursery.cancel_scope.cancel()
    except* VisitorGone:
        connection.abort()
        if connection.exchange is not None:
            connection.exchange.ended_by("visitor")
    except* Exception as group:  # the edge of one connection
        text, extra = "%s: a connection failed: %r", by_stranger(source.address)
        log.exception(text, source.address, group.exceptions[0], extra=extra)
        connection.abort()
    finally:
        edge.connections.discard(connection)
        same.end()
        exchange = connection.exchange
        if exchange is not None and exchange.stream is not None and not _has_ended(exchange):
            exchange.stream.cancel("visitor-gone")
        if exchange is not None and exchange.tap is not None:
            exchange.tap.tell(trio.current_time(), exchange.stream)
        await connection.aclose()


def _has_ended(exchange: Exchange) -> bool:
    """Whether both directions have; what is queued of the request still goes to the app."""
    ended = exchange.over and not exchange.under_way and exchange.upgrade is None
    return ended and exchange.stream is not None and exchange.stream.receive_ended


# --- the PROXY header ---


async def _source_of(config: ServerConfig, peer: trio.socket.SocketType) -> Source | None:
    """Return whose the connection is; None if it is refused, which was logged. Raises OSError."""
    address: str = peer.getpeername()[0]
    trusted = config.trusts(address)
    extra = by_stranger(address)
    if not config.proxy_protocol:
        return source_of(config, address, None)
    if not trusted:
        log.info("%s: refused: it is none of --trusted-proxies", address, extra=extra)
        return None
    try:
        with trio.fail_after(PROXY_HEADER_S):
            header = await _read_header(peer)
    except ProxyProtocolError as error:
        log.info("%s: refused: %s", address, error, extra=extra)
        return None
    except trio.TooSlowError:
        text = "%s: refused: no whole PROXY header within %g s"
        log.info(text, address, PROXY_HEADER_S, extra=extra)
        return None
    # None is a proxy that only looked whether somebody listens.
    return None if header is None else source_of(config, address, header)


async def _read_header(peer: trio.socket.SocketType) -> ProxyHeader | None:
    """Take the header from the socket, and not a byte of what follows; None: nothing came.

    What is there is looked at first, and then taken as far as it belongs to the header: all of it
    while the header is not whole.

    Raises:
        ProxyProtocolError: it is none.
        OSError: the connection broke.
    """
    held = b""
    while True:
        seen = await peer.recv(MAX_HEADER_BYTES, socket.MSG_PEEK)
        if not seen:
            if not held:
                return None
            raise ProxyProtocolError("the connection ended within its PROXY header")
        header = parse_header(held + seen)
        wanted = len(seen) if header is None else header.size_bytes - len(held)
        held += await peer.recv(wanted)
        if header is not None:
            return header
