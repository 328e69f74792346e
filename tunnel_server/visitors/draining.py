"""Letting a server's work end: what is under way as its kind does (`stopping`), then sessions.

A client that was told connects anew at once, to the server that takes this one's place if there is
one; its old session goes on for the requests that are here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from protocol.drivers.portions import in_portions
from protocol.drivers.session import Session
from protocol.limits import CLOSE_TIMEOUT_S
from tunnel_server.tunnels.directory import Directory
from tunnel_server.tunnels.resumes import CLOSED_AT_ONCE
from tunnel_server.visitors.connection import SERVICE_RESTART, STOP_SETTLE_S
from tunnel_server.visitors.edge import Edge, Swept
from tunnel_server.visitors.stopping import Stop

STOPS: Final = "the server stops"
REPLACED: Final = "another server takes its place"

# 2 s for the answers to such a Close, as much to linger, and the sweep is a second late.
WEBSOCKET_CLOSE_S: Final = 6.0
IDLE_CHECK_EVERY_S: Final = 0.05  # while the server stops

# Sessions in one turn: to tell one something takes 15 us.
_TOLD_AT_ONCE: Final = 64


def _nothing() -> int:
    return 0


async def drain(
    edge: Edge, arriving: Callable[[], int] = _nothing, stop: Stop | None = None
) -> None:
    """Let what is in flight end, to the deadline; then end the rest, and then sessions.

    Where nobody takes the server's place, what does not end by itself is ended before that.

    Args:
        edge: the server, which accepts no more.
        arriving: how many connections were accepted and are not among the edge's yet: they are
            still in their TLS handshake. Where nobody takes the server's place they have
            STOP_SETTLE_S.
        stop: decides, and counts; None: nobody takes the server's place, and nobody asks.
    """
    stop = stop or Stop()
    began_at = trio.current_time()
    why = REPLACED if stop.replaced else STOPS
    edge.hurries = not stop.replaced
    directory = edge.directory
    await edge.look_at_all(stop.lose)
    await directory.drain()
    deadline_s = edge.config.drain_timeout_s

    def tell(session: Session) -> None:
        session.goaway("shutting-down", why, round(deadline_s))

    def to_come() -> int:
        is_over = edge.hurries and trio.current_time() >= began_at + STOP_SETTLE_S
        return 0 if is_over else arriving()

    await _with_sessions(directory, tell, _TOLD_AT_ONCE)
    await edge.look_at_all(lambda connection: connection.hurry())
    with trio.move_on_after(deadline_s):
        await _wait_until_idle(edge, to_come, stop)
    await edge.end_all(partial(_end_with_close, stop))
    with trio.move_on_after(WEBSOCKET_CLOSE_S):
        await _wait_until_idle(edge, _nothing, Stop(replaced=True))
    await edge.end_all(lambda connection: connection.end())
    await _end_sessions(directory)


def _end_with_close(stop: Stop, connection: Swept) -> None:
    stop.cut(connection)
    if not connection.close_upgrade(SERVICE_RESTART):
        connection.end()


async def _with_sessions(
    directory: Directory, do: Callable[[Session], object], at_once: int
) -> None:
    """Do something with each session that there is, so many in each turn."""
    sessions, still_there = tuple(directory.sessions), directory.sessions.__contains__
    await in_portions(sessions, do, at_once=at_once, when=still_there)


async def _end_sessions(directory: Directory) -> None:
    """Close every session, once all that was queued for it has left."""
    with trio.move_on_after(CLOSE_TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            wait_for = partial(_start_waiting, nursery)
            await _with_sessions(directory, wait_for, _TOLD_AT_ONCE)
    close = partial(Session.close, reason="the server has stopped")
    await _with_sessions(directory, close, CLOSED_AT_ONCE)
    with trio.move_on_after(CLOSE_TIMEOUT_S):
        await _wait_until_sessionless(directory)


def _start_waiting(nursery: trio.Nursery, session: Session) -> None:
    nursery.start_soon(session.wait_quiet)


async def _wait_until_sessionless(directory: Directory) -> None:
    while True:
        if not directory.sessions:
            return
        await trio.sleep(IDLE_CHECK_EVERY_S)


async def _wait_until_idle(edge: Edge, arriving: Callable[[], int], stop: Stop) -> None:
    while True:
        to_come = arriving()  # before the others are looked at, among whom these are afterwards
        is_busy = await _any_is_busy(edge, stop)
        stop.looked()
        if not is_busy and not to_come:
            return
        await trio.sleep(IDLE_CHECK_EVERY_S)


async def _any_is_busy(edge: Edge, stop: Stop) -> bool:
    """Whether a connection is; those that are not are told to stop, others are ended."""
    is_busy = False

    def is_to_end(connection: Swept) -> bool:
        nonlocal is_busy
        is_busy = is_busy or connection.busy
        connection.stop_when_idle()
        return stop.is_to_end(connection)

    await edge.end_all(stop.end, is_to_end)
    return is_busy
