"""The server as a whole: the one place where its parts meet, and the order of start and stop.

Stopping: take no new connections; tell every client; let what is in flight end, each answer closing
its connection; at the deadline end the WebSockets with a Close; then drop what is left. A second
signal drops everything at once.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import ssl
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

import trio

from protocol.limits import CLOSE_TIMEOUT_S
from protocol.logs import set_up_logging
from tunnel_server.auth import Authenticator
from tunnel_server.config import ServerConfig
from tunnel_server.control import Control
from tunnel_server.edge import Edge
from tunnel_server.output import Output, bind_address
from tunnel_server.program import EXIT_FAILED, EXIT_STOPPED, PROGRAM, version
from tunnel_server.registry import Registry
from tunnel_server.visitor import serve_visitor

log = logging.getLogger(__name__)

SWEEP_EVERY_S: Final = 1.0
RECHECK_TOKENS_EVERY_S: Final = 5.0
SERVICE_RESTART: Final = 1012  # the registry of RFC 6455, 11.7
# 2 s for the answers to such a Close, as much to linger, and the sweep is a second late.
WEBSOCKET_CLOSE_S: Final = 6.0
IDLE_CHECK_EVERY_S: Final = 0.05  # while the server stops

_BACKLOG: Final = 1024  # a page of 300 modules opens many connections at once


def run(config: ServerConfig) -> int:
    """Serve until a signal stops it; returns the exit code.

    Raises:
        ConfigError: a file that the settings name cannot be used.
    """
    set_up_logging()
    # What is imported lives for ever; and a tunnel makes garbage, but hardly any in circles. The
    # usual 700 objects between collections cost 3 % of a request.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    tls = config.tls_context()
    path = config.tokens_file if config.authentication_required else None
    return trio.run(_main, config, tls, Authenticator(path))


async def _main(
    config: ServerConfig, tls: ssl.SSLContext | None, authenticator: Authenticator
) -> int:
    try:
        listeners = await trio.open_tcp_listeners(
            config.bind_port, host=config.bind_host, backlog=_BACKLOG
        )
    except OSError as error:
        log.error("%s", _why_not_listening(config, error))
        return EXIT_FAILED
    port: int = listeners[0].socket.getsockname()[1]
    registry = Registry(partial(config.public_url_for, port=port), os.urandom)
    edge = Edge(config, authenticator, registry, port=port, version=version())
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        output = Output(config, edge.version)
        async with trio.open_nursery() as connections:
            accepting = trio.CancelScope()
            connections.start_soon(_accept, accepting, connections, edge, tls, listeners)
            connections.start_soon(sweep, edge)
            output.listening(port)
            await anext(signals)
            accepting.cancel()
            output.draining(sum(session.stream_count for session in edge.sessions))
            async with trio.open_nursery() as stopping:
                stopping.start_soon(_cancel_on, signals, stopping.cancel_scope)
                await drain(edge)
                stopping.cancel_scope.cancel()
            connections.cancel_scope.cancel()
    return EXIT_STOPPED


async def _accept(
    accepting: trio.CancelScope,
    connections: trio.Nursery,
    edge: Edge,
    tls: ssl.SSLContext | None,
    listeners: list[trio.SocketListener],
) -> None:
    serve = partial(serve_visitor, edge, Control(edge), tls)
    with accepting:
        await trio.serve_listeners(serve, listeners, handler_nursery=connections)


async def sweep(edge: Edge) -> None:
    """Look at every connection's deadlines, and now and then at every session's right."""
    tokens_checked_at = trio.current_time()
    while True:
        await trio.sleep(SWEEP_EVERY_S)
        now = trio.current_time()
        for connection in tuple(edge.connections):
            connection.sweep(now)
        edge.sweep(now)
        if now - tokens_checked_at >= RECHECK_TOKENS_EVERY_S:
            tokens_checked_at = now
            edge.end_revoked_sessions()


async def _cancel_on(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(signals)
    scope.cancel()


async def drain(edge: Edge) -> None:
    """Let what is in flight end, to the deadline; then end it, WebSockets first; then sessions."""
    edge.drain()
    deadline_s = edge.config.drain_timeout_s
    for session in edge.sessions:
        session.goaway("shutting-down", "the server stops", round(deadline_s))
    with trio.move_on_after(deadline_s):
        await _wait_until_idle(edge)
    for connection in tuple(edge.connections):
        if not connection.close_websocket(SERVICE_RESTART):
            connection.end()
    with trio.move_on_after(WEBSOCKET_CLOSE_S):
        await _wait_until_idle(edge)
    for connection in tuple(edge.connections):
        connection.end()
    await _end_sessions(edge)


async def _end_sessions(edge: Edge) -> None:
    """Close every session, once all that was queued for it has left."""
    with trio.move_on_after(CLOSE_TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            for session in edge.sessions:
                nursery.start_soon(session.wait_quiet)
    for session in tuple(edge.sessions):
        session.close("the server has stopped")
    with trio.move_on_after(CLOSE_TIMEOUT_S):
        await _wait_until_sessionless(edge)


async def _wait_until_sessionless(edge: Edge) -> None:
    while True:
        if not edge.sessions:
            return
        await trio.sleep(IDLE_CHECK_EVERY_S)


async def _wait_until_idle(edge: Edge) -> None:
    while True:
        for connection in tuple(edge.connections):
            if not connection.busy:
                connection.stop_when_idle()
        if not any(connection.busy for connection in edge.connections):
            return
        await trio.sleep(IDLE_CHECK_EVERY_S)


def _why_not_listening(config: ServerConfig, error: OSError) -> str:
    where = bind_address(config.bind_host, config.bind_port)
    if error.errno == errno.EADDRINUSE:
        return f"{PROGRAM}: {where} is in use by another program; stop it or choose another --bind"
    return f"{PROGRAM}: cannot listen on {where}: {error.strerror or error}; choose another --bind"
