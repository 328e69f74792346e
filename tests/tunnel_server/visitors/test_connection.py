from __future__ import annotations

import math
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked

from protocol.drivers.sockets import drop
from protocol.drivers.stream import TunnelStream
from protocol.http.heads import parse_request
from tests.edge_fakes import VISITOR, get, make_edge
from tunnel_server.visitors.connection import (
    HALF_CLOSED_S,
    IDLE_TIMEOUT_S,
    SETTLE_S,
    WRITE_TIMEOUT_S,
    Connection,
    VisitorGone,
)
from tunnel_server.visitors.exchange import Exchange
from tunnel_server.visitors.exchange_states import AnswerEvent, AnswerState
from tunnel_server.visitors.lingering import linger
from tunnel_server.visitors.phases import Phase
from tunnel_server.visitors.visitor import Source


def new(stream: trio.abc.Stream, *, secure: bool = False) -> Connection:
    return Connection(make_edge(), stream, Source(VISITOR, secure=secure))


def over() -> Exchange:
    exchange = Exchange(parse_request(get()))
    exchange.begin_answer(AnswerEvent.KEEP)
    exchange.finish()
    return exchange


@asynccontextmanager
async def sockets() -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listeners[0]:
        ours = await trio.testing.open_stream_to_socket_listener(listeners[0])
        theirs = await listeners[0].accept()
    async with ours, theirs:
        assert isinstance(ours, trio.SocketStream)
        yield ours, theirs


# --- bytes ---------------------------------------------------------------------------------------


async def test_bytes_cross_both_ways() -> None:
    visitor, stream = memory_stream_pair()
    connection = new(stream)
    await visitor.send_all(b"abc")
    assert await connection.receive(2) == b"ab"
    assert await connection.receive() == b"c"
    await connection.send(b"xyz")
    assert await visitor.receive_some() == b"xyz"
    await visitor.send_eof()
    assert await connection.receive() == b""
    assert await connection.send_eof()
    assert await visitor.receive_some() == b""


async def test_a_broken_connection_is_a_visitor_who_is_gone() -> None:
    visitor, stream = memory_stream_pair()
    connection = new(stream)
    await visitor.aclose()
    with pytest.raises(VisitorGone):
        await connection.send(b"x")
    await stream.aclose()
    with pytest.raises(VisitorGone):
        await connection.receive()


async def test_a_deadline_stands_while_something_is_sent(nursery: trio.Nursery) -> None:
    visitor, stream = lockstep_stream_pair()
    connection = new(stream)
    assert connection.deadlines.write == math.inf
    nursery.start_soon(connection.send, b"x")
    now = trio.current_time()
    await wait_all_tasks_blocked()
    assert connection.deadlines.write == pytest.approx(now + WRITE_TIMEOUT_S, abs=5)
    await visitor.receive_some()
    await wait_all_tasks_blocked()
    assert connection.deadlines.write == math.inf


async def test_half_closed_each_progress_moves_the_deadline(autojump_clock: MockClock) -> None:
    _, stream = memory_stream_pair()
    connection = new(stream)
    connection.visitor_half_closed()
    assert connection.deadlines.write == trio.current_time() + HALF_CLOSED_S
    await trio.sleep(3)
    await connection.send(b"x")
    assert connection.deadlines.write == trio.current_time() + HALF_CLOSED_S
    connection.visitor_half_closed(60)
    await connection.send(b"x")
    assert connection.deadlines.write == trio.current_time() + 60


# --- the sweep -----------------------------------------------------------------------------------


async def test_the_sweep_ends_reading_past_its_deadline_and_not_before() -> None:
    connection = new(memory_stream_pair()[0])
    connection.deadlines.read = 10.0
    connection.sweep(10.0)
    before = connection.phase is Phase.EXPIRED
    connection.sweep(10.1)
    assert (before, connection.phase is Phase.EXPIRED) == (False, True)
    assert connection.reading.cancel_called
    assert not connection.scope.cancel_called
    assert connection.deadlines.read == math.inf


async def test_the_sweep_drops_the_connection_past_the_other_deadline() -> None:
    connection = new(memory_stream_pair()[0])
    connection.deadlines.write = 10.0
    connection.sweep(10.0)
    before = connection.scope.cancel_called
    connection.sweep(10.1)
    assert (before, connection.scope.cancel_called) == (False, True)


async def test_the_sweep_finds_a_reset_only_where_nobody_reads(nursery: trio.Nursery) -> None:
    async with sockets() as (visitor, stream):
        connection = new(stream)
        await visitor.send_all(b"x")
        seen = []
        for _ in range(2):
            connection.sweep(0.0)
            seen.append(connection.scope.cancel_called)
            drop(visitor, reset=True)
        assert seen == [False, True]
        await stream.aclose()
        connection.sweep(0.0)  # a socket that was closed does no harm


async def test_a_connection_that_both_ended_was_not_reset() -> None:
    """The last bytes may still wait to be read, and to be taken by the app."""
    async with sockets() as (visitor, stream):
        connection = new(stream)
        await connection.send_eof()
        await visitor.send_all(b"last words")
        await visitor.aclose()
        connection.sweep(0.0)
        assert not connection.scope.cancel_called
        assert await connection.receive() == b"last words"


async def idle(nursery: trio.Nursery, stream: trio.abc.Stream | None = None) -> Connection:
    """A connection that has waited for a request for long; told to read no more, it lingers."""
    connection = new(stream or memory_stream_pair()[0])
    connection.deadlines.read = trio.current_time() + IDLE_TIMEOUT_S - SETTLE_S

    async def read() -> None:
        with connection.reading:
            await connection.receive()
        await linger(connection)

    nursery.start_soon(read)
    await wait_all_tasks_blocked()
    return connection


# --- the stop ------------------------------------------------------------------------------------


async def test_busy_is_what_serves_or_has_begun_a_request(nursery: trio.Nursery) -> None:
    connection = await idle(nursery)
    seen = [connection.busy]
    connection.begin_head(trio.current_time())
    seen.append(connection.busy)
    connection.hand_over(Exchange(parse_request(get())))
    seen += [connection.phase is Phase.HEAD, connection.busy]
    connection.stop_when_idle()
    seen.append(connection.reading.cancel_called)
    exchange = await connection.next_exchange(None)
    exchange.begin_answer(AnswerEvent.KEEP)
    exchange.finish()
    seen.append(connection.busy)
    connection.stop_when_idle()
    seen.append(connection.reading.cancel_called)
    assert seen == [False, True, False, True, False, False, True]


async def test_what_was_just_used_is_busy_and_so_is_what_does_not_wait_for_bytes(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    assert new(memory_stream_pair()[0]).busy  # its tasks have not begun
    connection = await idle(nursery)
    connection.deadlines.read = trio.current_time() + IDLE_TIMEOUT_S
    seen = [connection.busy]
    for wait_s in (SETTLE_S - 0.1, 0.1):
        await trio.sleep(wait_s)
        seen.append(connection.busy)
    assert seen == [True, True, False]


async def test_what_was_sent_and_not_read_is_busy() -> None:
    async with sockets() as (visitor, stream), trio.open_nursery() as nursery:
        connection = await idle(nursery, stream)
        seen = [connection.busy]
        with socket.fromfd(visitor.socket.fileno(), socket.AF_INET, socket.SOCK_STREAM) as raw:
            raw.send(b"G")  # and no task has run since
        seen.append(connection.busy)
        nursery.cancel_scope.cancel()
    assert seen == [False, True]


async def test_what_ends_because_it_is_idle_holds_up_nothing(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    connection = await idle(nursery)
    connection.stop_when_idle()
    await wait_all_tasks_blocked()
    assert connection.phase is Phase.LEAVING
    assert not connection.busy


async def test_what_lingers_is_busy(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    connection = new(memory_stream_pair()[0])
    connection.exchange = over()
    nursery.start_soon(linger, connection)
    await wait_all_tasks_blocked()
    assert connection.busy


async def test_a_connection_with_a_session_is_left_alone() -> None:
    connection = new(memory_stream_pair()[0])
    connection.become_control()
    connection.stop_when_idle()
    connection.end()
    assert not connection.scope.cancel_called
    assert not connection.close_upgrade(1012)
    assert repr(connection) == f"<Connection CONTROL {VISITOR} None>"


async def test_end_ends_a_busy_one_too() -> None:
    connection = new(memory_stream_pair()[0])
    connection.hand_over(Exchange(parse_request(get())))
    connection.end()
    assert connection.scope.cancel_called


# --- ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "reset"),
    [
        (AnswerState.AWAITED, False),
        (AnswerState.KEPT, False),
        (AnswerState.LAST, False),
        (AnswerState.CUT, True),
        (AnswerState.SWITCHED, True),
        (AnswerState.OVER, False),
        (AnswerState.CLOSING, False),
    ],
)
async def test_closing_resets_only_what_would_else_look_whole(
    state: AnswerState, reset: bool
) -> None:
    async with sockets() as (visitor, stream):
        connection = new(stream)
        connection.exchange = Exchange(parse_request(get()))
        connection.exchange.answered = state
        await connection.aclose()
        if reset:
            with pytest.raises(trio.BrokenResourceError):
                await visitor.receive_some()
        else:
            assert await visitor.receive_some() == b""


@pytest.mark.parametrize("reset", [True, False])
async def test_the_first_abort_says_how(reset: bool) -> None:
    async with sockets() as (visitor, stream):
        connection = new(stream)
        connection.abort(reset=reset)
        connection.abort(reset=not reset)
        await connection.aclose()
        if reset:
            with pytest.raises(trio.BrokenResourceError):
                await visitor.receive_some()
        else:
            assert await visitor.receive_some() == b""


async def test_a_reset_control_connection_is_left_to_its_session() -> None:
    """Its own tasks notice, and the session is held; a sweep that is faster must not end it."""
    async with sockets() as (ours, theirs):
        connection = new(theirs)
        connection.become_control()
        drop(ours, reset=True)
        await trio.lowlevel.wait_readable(theirs.socket)
        connection.sweep(trio.current_time())
        assert not connection.scope.cancel_called


async def test_deadlines_stand_still_while_the_client_is_away() -> None:
    connection, stream = new(memory_stream_pair()[0]), Away()
    connection.exchange = Exchange(parse_request(get()), stream=stream)
    began = trio.current_time()
    connection.sweep(began)
    connection.deadlines.read = connection.deadlines.write = began + 10
    connection.sweep(began + 60)
    assert connection.deadlines.read == connection.deadlines.write == began + 70
    stream.is_away = False
    connection.sweep(began + 71)
    assert connection.scope.cancel_called


class Away(TunnelStream):
    """A stream whose session has no connection for a while."""

    def __init__(self) -> None:
        self.is_away = True

    @property
    def detached(self) -> bool:
        return self.is_away


async def test_a_connection_has_a_dozen_attributes() -> None:
    assert len(vars(new(memory_stream_pair()[0]))) == 12
