"""Letting a server's work end: first what is in flight, then WebSockets, then sessions.

A client that was told connects anew at once, to the server that takes this one's place if there is
one; its old session goes on for the requests that are here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from protocol.limits import CLOSE_TIMEOUT_S
from tunnel_server.tunnels.directory import Directory
from tunnel_server.visitors.edge import Edge

STOPS: Final = "the server stops"
REPLACED: Final = "another server takes its place"

SERVICE_RESTART: Final = 1012  # the registry of RFC 6455, 11.7
# 2 s for the answers to such a Close, as much to linger, and the sweep is a second late.
WEBSOCKET_CLOSE_S: Final = 6.0
IDLE_CHECK_EVERY_S: Final = 0.05  # while the server stops


def _nothing() -> int:
    return 0


async def drain(edge: Edge, arriving: Callable[[], int] = _nothing, *, why: str = STOPS) -> None:
    """Let what is in flight end, to the deadline; then end it, WebSockets first; then sessions.

    Args:
        edge: the server, which accepts no more.
        arriving: how many connections were accepted and are not among the edge's yet: they are
            still in their TLS handshake.
        why: what clients are told.
    """
    directory = edge.directory
    directory.drain()
    deadline_s = edge.config.drain_timeout_s
    for session in directory.sessions:
        session.goaway("shutting-down", why, round(deadline_s))
    with trio.move_on_after(deadline_s):
        await _wait_until_idle(edge, arriving)
    for connection in tuple(edge.connections):
        if not connection.close_websocket(SERVICE_RESTART):
            connection.end()
    with trio.move_on_after(WEBSOCKET_CLOSE_S):
        await _wait_until_idle(edge, _nothing)
    for connection in tuple(edge.connections):
        connection.end()
    await _end_sessions(directory)


async def _end_sessions(directory: Directory) -> None:
    """Close every session, once all that was queued for it has left."""
    with trio.move_on_after(CLOSE_TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            for session in directory.sessions:
                nursery.start_soon(session.wait_quiet)
    for session in tuple(directory.sessions):
        session.close("the server has stopped")
    with trio.move_on_after(CLOSE_TIMEOUT_S):
        await _wait_until_sessionless(directory)


async def _wait_until_sessionless(directory: Directory) -> None:
    while True:
        if not directory.sessions:
            return
        await trio.sleep(IDLE_CHECK_EVERY_S)


async def _wait_until_idle(edge: Edge, arriving: Callable[[], int]) -> None:
    while True:
        for connection in tuple(edge.connections):
            connection.stop_when_idle()
        if not arriving() and not any(connection.busy for connection in edge.connections):
            return
        await trio.sleep(IDLE_CHECK_EVERY_S)
