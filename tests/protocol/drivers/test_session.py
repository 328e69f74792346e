"""Two sessions on one line: in memory with faults, and over the control WebSocket."""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from protocol.drivers.session import Session, SessionEvent
from protocol.drivers.stream import TunnelStream
from protocol.drivers.transport import (
    Transport,
    TransportClosed,
    accept_websocket,
    open_websocket,
)
from protocol.errors import LocalProtocolError, SessionClosed, StreamReset, StreamStopped
from protocol.limits import (
    ACK_DELAY_S,
    CLOSE_TIMEOUT_S,
    PING_INTERVAL_S,
    START_WINDOW_BYTES,
    TIMEOUT_S,
)
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.events import ClaimAnswered, ClaimAsked, GoingAway, Released
from protocol.mux.inflight import InFlight
from protocol.mux.messages import Claimed
from protocol.mux.wire import FrameType, frame
from tests.fakes import MemoryTransport, transport_pair
from tests.protocol.mux.pair import CLAIM, GET, OK, kinds_of, post

# How much later than its timeout a dead peer may be noticed.
WATCH_S = 1.0


class End:
    """One session and what it told its program."""

    def __init__(self, transport: Transport, *, is_server: bool) -> None:
        self.events: list[SessionEvent] = []
        self.over = trio.Event()
        self.reason = ""
        self.scope = trio.CancelScope()
        say_opened, self.opened = trio.open_memory_channel[TunnelStream](math.inf)
        self.session = Session(
            Core(
                is_server=is_server,
                heartbeat=Heartbeat(PING_INTERVAL_S, TIMEOUT_S),
                now=trio.current_time(),
            ),
            transport,
            on_stream=say_opened.send_nowait,
            on_event=self.events.append,
        )

    async def run(self) -> None:
        with self.scope:
            self.reason = await self.session.run()
        self.reason = self.reason or self.session.closed_reason or ""
        self.over.set()


class Ends:
    """A server's session and a client's, running."""

    def __init__(self, server: Transport, client: Transport) -> None:
        self.server = End(server, is_server=True)
        self.client = End(client, is_server=False)

    async def open(self, body: int | str | None = "chunked") -> tuple[TunnelStream, TunnelStream]:
        """A stream, as each end has it, its answer's head sent and taken."""
        opened = post("chunked") if body == "chunked" else GET
        stream = self.server.session.open(opened)
        other = await self.client.opened.receive()
        await other.send_head(OK)
        assert await stream.receive_head() == OK
        return stream, other


@asynccontextmanager
async def running(server: Transport, client: Transport) -> AsyncIterator[Ends]:
    ends = Ends(server, client)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.server.run)
        nursery.start_soon(ends.client.run)
        yield ends
        ends.server.session.close("the test is over")
        ends.client.session.close("the test is over")


@asynccontextmanager
async def in_memory(
    capacity: int = 4,
) -> AsyncIterator[tuple[Ends, MemoryTransport, MemoryTransport]]:
    server, client = transport_pair(capacity)
    async with running(server, client) as ends:
        yield ends, server, client


@asynccontextmanager
async def alone() -> AsyncIterator[tuple[End, MemoryTransport, MemoryTransport]]:
    """A server whose peer takes everything and says what the test wants."""
    server, peer = transport_pair()
    end = End(server, is_server=True)

    async def take() -> None:
        with contextlib.suppress(TransportClosed):
            while True:
                await peer.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.run)
        nursery.start_soon(take)
        yield end, server, peer
        end.session.close("the test is over")


async def hear_for(server: MemoryTransport, seconds: int) -> None:
    """The peer says bytes all the time, which are no message yet."""
    for _ in range(seconds):
        await trio.sleep(1)
        server.hear()


@asynccontextmanager
async def over_websocket() -> AsyncIterator[Ends]:
    server_stream, client_stream = memory_stream_pair()
    transports: dict[str, Transport] = {}
    async with trio.open_nursery() as server_nursery, trio.open_nursery() as client_nursery:

        async def accept() -> None:
            transports["server"] = await accept_websocket(server_nursery, server_stream, b"")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept)
            transports["client"] = await open_websocket(
                client_nursery, client_stream, host="tunnel.example", authorization="Bearer tt_x"
            )
        async with running(transports["server"], transports["client"]) as ends:
            yield ends


def kinds_sent(transport: MemoryTransport) -> list[FrameType]:
    return [kind for message in transport.sent for kind in kinds_of(message)]


async def receive_all(stream: TunnelStream) -> bytes:
    parts = []
    while data := await stream.receive_some():
        parts.append(data)
        await trio.lowlevel.checkpoint()
    return b"".join(parts)


# --- work ----------------------------------------------------------------------------------------


async def test_both_directions_full_never_stall(autojump_clock: MockClock) -> None:
    data = bytes(range(251)) * 8000  # 2 MB: many windows

    async def write(stream: TunnelStream) -> None:
        await stream.send_all(data)
        stream.send_eof()

    async def read(stream: TunnelStream) -> None:
        assert await receive_all(stream) == data

    async with in_memory(capacity=1) as (ends, *_):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                for stream in await ends.open():
                    nursery.start_soon(write, stream)
                    nursery.start_soon(read, stream)
        await ends.server.session.wait_quiet()


async def test_both_directions_full_never_stall_over_the_websocket(
    autojump_clock: MockClock,
) -> None:
    data = bytes(range(251)) * 4000

    async def write(stream: TunnelStream) -> None:
        await stream.send_all(data)
        stream.send_eof()

    async def read(stream: TunnelStream) -> None:
        assert await receive_all(stream) == data

    async with over_websocket() as ends:
        async with trio.open_nursery() as nursery:
            for stream in await ends.open():
                nursery.start_soon(write, stream)
                nursery.start_soon(read, stream)
        await ends.server.session.wait_quiet()


async def test_stalled_send_never_blocks_the_reader(autojump_clock: MockClock) -> None:
    async with in_memory() as (ends, _, client):
        stream, other = await ends.open()
        client.stall()
        await other.send_all(b"this stays here")
        await stream.send_all(b"this arrives")
        with trio.fail_after(1):
            assert await other.receive_some() == b"this arrives"
        second = ends.server.session.open(GET)
        with trio.fail_after(1):
            await ends.client.opened.receive()
        client.resume()
        assert await stream.receive_some() == b"this stays here"
        assert second.id == 2


async def test_slow_line_delivers_in_order(autojump_clock: MockClock) -> None:
    async with in_memory() as (ends, server, client):
        server.delay_s = client.delay_s = 0.2
        stream, other = await ends.open()
        await other.send_all(bytes(3 * START_WINDOW_BYTES)[: 2**17])
        other.send_eof()
        assert len(await receive_all(stream)) == 2**17


async def test_slow_reader_holds_its_writer_back_and_no_other(
    autojump_clock: MockClock,
) -> None:
    async with in_memory() as (ends, *_):
        slow, slow_writer = await ends.open()
        fast, fast_writer = await ends.open()
        with trio.move_on_after(5) as scope:
            await slow_writer.send_all(bytes(10**7))
        assert scope.cancelled_caught
        held = slow._record.receiving.window.received
        assert START_WINDOW_BYTES - 1000 <= held <= START_WINDOW_BYTES
        await fast_writer.send_all(b"hello")
        assert await fast.receive_some() == b"hello"
        slow_writer.cancel("cancelled")


# --- waiting, and being told ---------------------------------------------------------------------


async def outcome(call: Callable[[], Awaitable[object]], results: list[object]) -> None:
    try:
        results.append(await call())
    except (SessionClosed, StreamReset, StreamStopped) as error:
        results.append(error)


@pytest.mark.parametrize("how", ["closed", "cut", "cancelled", "protocol error", "peer closed"])
async def test_end_of_a_session_wakes_every_waiter(autojump_clock: MockClock, how: str) -> None:
    results: list[object] = []
    stopped: list[str] = []
    async with trio.open_nursery() as nursery:
        async with in_memory() as (ends, server, client):
            first, _ = await ends.open()
            full, _ = await ends.open()
            second = ends.server.session.open(GET)
            server.stall()
            await full.send_all(bytes(64 * 1024))
            waiting = [
                first.receive_some,
                second.receive_head,
                lambda: full.send_all(bytes(10**6)),
                ends.server.session.wait_quiet,
                ends.server.session.wait_quiet,
            ]
            first.on_stopped = lambda: stopped.append("told")
            for call in waiting:
                nursery.start_soon(outcome, call, results)
            await wait_all_tasks_blocked()
            assert results == []
            if how == "closed":
                ends.server.session.close("as the test wants")
            elif how == "cut":
                server.cut()
            elif how == "protocol error":
                await client.send(frame(FrameType.ACK, 0, b"\x7f"))
            elif how == "peer closed":
                ends.client.session.close("as the test wants")
            else:
                ends.server.scope.cancel()
            with trio.fail_after(CLOSE_TIMEOUT_S + 1):
                await ends.server.over.wait()
    errors = [one for one in results if one is not None]
    assert len(errors) == 3
    assert all(isinstance(error, SessionClosed) for error in errors)
    assert stopped == ["told"]
    assert ends.server.reason


async def test_own_cancel_wakes_waiters_also_when_nothing_can_be_sent(
    autojump_clock: MockClock,
) -> None:
    results: list[object] = []
    async with in_memory() as (ends, server, _):
        stream, _ = await ends.open()
        server.stall()
        await stream.send_all(bytes(64 * 1024))
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcome, stream.receive_some, results)
            nursery.start_soon(outcome, lambda: stream.send_all(bytes(10**6)), results)
            await wait_all_tasks_blocked()
            stream.cancel("visitor-gone")
        assert {type(one) for one in results} == {StreamReset, StreamStopped}
        server.resume()


async def test_program_is_told_when_the_peer_stops_its_half(autojump_clock: MockClock) -> None:
    async with in_memory() as (ends, *_):
        stream, other = await ends.open()
        told = trio.Event()
        other.on_stopped = told.set
        stream.stop_sending("no-error")
        await told.wait()
        assert other.stopped == "no-error"
        with pytest.raises(StreamStopped):
            await other.send_all(b"x")
        await stream.send_all(b"the request goes on")
        assert await other.receive_some() == b"the request goes on"


async def test_quiet_is_when_no_stream_is_left_and_all_is_sent(
    autojump_clock: MockClock,
) -> None:
    async with in_memory() as (ends, *_):
        stream, other = await ends.open()
        other.send_eof()
        quiet: list[str] = []

        async def wait(name: str) -> None:
            await ends.server.session.wait_quiet()
            quiet.append(name)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, "first")
            nursery.start_soon(wait, "second")
            await trio.sleep(5)
            assert quiet == []
            assert ends.server.session.stream_count == 1
            stream.send_eof()
        assert sorted(quiet) == ["first", "second"]
        await ends.server.session.wait_quiet()


async def test_nothing_is_opened_on_a_session_that_is_gone(autojump_clock: MockClock) -> None:
    async with in_memory() as (ends, *_):
        ends.server.session.close("gone")
        with pytest.raises(SessionClosed, match="gone"):
            ends.server.session.open(GET)
        await ends.server.session.wait_quiet()


# --- acknowledgements and silence ----------------------------------------------------------------


async def test_ack_leaves_alone_after_5_ms(autojump_clock: MockClock) -> None:
    async with in_memory() as (ends, _, client):
        await trio.sleep(1)
        ends.server.session.open(GET)
        await wait_all_tasks_blocked()
        before = len(client.sent)
        await trio.sleep(ACK_DELAY_S - 0.001)
        assert len(client.sent) == before
        await trio.sleep(0.002)
        assert kinds_sent(client)[-1] is FrameType.ACK
        assert len(client.sent) == before + 1


class Paced(InFlight):
    """Lets bulk go at one time, and no sooner."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self.at = at

    def may_go(self, now: float) -> bool:
        self.due_at = math.inf if now >= self.at else self.at
        return now >= self.at


async def test_bulk_that_waits_for_its_pace_leaves_in_time_with_nothing_coming_in(
    autojump_clock: MockClock,
) -> None:
    async with in_memory() as (ends, server, _):
        stream, _ = await ends.open()
        await trio.sleep(1)
        core = ends.server.session.core
        core.sent.in_flight = Paced(trio.current_time() + 0.02)
        await stream.send_all(bytes(50_000))
        await wait_all_tasks_blocked()
        before = len(server.sent)  # its waking turn has left
        await trio.sleep(0.019)
        assert len(server.sent) == before
        await trio.sleep(0.002)
        assert kinds_sent(server)[-1] is FrameType.DATA
        assert len(server.sent) > before


async def test_every_time_there_is_news_an_ack_follows(autojump_clock: MockClock) -> None:
    async with in_memory() as (ends, _, client):
        for count in range(1, 6):
            ends.server.session.open(GET)
            await trio.sleep(1)
            assert ends.server.session.core.sent.unacked_bytes == 0
            assert kinds_sent(client).count(FrameType.ACK) == count


async def test_idle_session_says_nothing_but_its_pings(autojump_clock: MockClock) -> None:
    async with in_memory() as (ends, server, client):
        stream, _ = await ends.open()
        stream.cancel("cancelled")
        await trio.sleep(1)
        for transport in (server, client):
            transport.sent.clear()
        await trio.sleep(600)
        assert ends.server.session.closed_reason is None
        for transport in (server, client):
            kinds = kinds_sent(transport)
            assert set(kinds) == {FrameType.PING, FrameType.PONG}
            assert 600 / PING_INTERVAL_S * 2 - 4 <= len(kinds) <= 600 / PING_INTERVAL_S * 2 + 2


# --- death ---------------------------------------------------------------------------------------


async def test_peer_that_says_nothing_is_dead_after_the_timeout(
    autojump_clock: MockClock,
) -> None:
    async with in_memory() as (ends, _, client):
        await trio.sleep(100)
        client.stall()
        stalled_at = trio.current_time()
        await ends.server.over.wait()
        took_s = trio.current_time() - stalled_at
        assert TIMEOUT_S - PING_INTERVAL_S - WATCH_S <= took_s <= TIMEOUT_S + WATCH_S
        assert "nothing was heard" in ends.server.reason


async def test_bytes_that_are_no_message_yet_are_life(autojump_clock: MockClock) -> None:
    async with alone() as (end, server, _):
        await hear_for(server, 3 * TIMEOUT_S)
        assert end.session.closed_reason is None


async def test_peer_that_acknowledges_nothing_is_dead_whatever_it_says(
    autojump_clock: MockClock,
) -> None:
    async with alone() as (end, server, _):
        await hear_for(server, 100)
        end.session.open(GET)
        await hear_for(server, TIMEOUT_S)
        assert end.session.closed_reason is None
        await hear_for(server, 2)
        assert end.reason == f"nothing was acknowledged for {TIMEOUT_S + 1} s"


async def test_peer_that_takes_nothing_is_dead_although_it_talks(
    autojump_clock: MockClock,
) -> None:
    async with alone() as (end, server, _):
        await hear_for(server, 100)
        server.stall()
        end.session.goaway("shutting-down", "", 8)  # not counted, so no ack is missed
        await hear_for(server, TIMEOUT_S)
        assert end.session.closed_reason is None
        await hear_for(server, 2)
        assert end.reason == f"nothing could be sent for {TIMEOUT_S + 1} s"
        assert server.closed
        assert not server.politely


async def test_protocol_error_ends_with_a_goaway_that_names_it(
    autojump_clock: MockClock,
) -> None:
    async with in_memory() as (ends, server, client):
        await client.send(frame(FrameType.ACK, 0, b"\x07"))
        await ends.server.over.wait()
        await ends.client.over.wait()
        assert ends.server.reason == "the peer broke the protocol: an ack of 7, between 0 and 0"
        (goaway,) = [one.goaway for one in ends.client.events if isinstance(one, GoingAway)]
        assert (goaway.code, goaway.message) == ("protocol-error", "an ack of 7, between 0 and 0")
        assert "protocol-error: an ack of 7" in ends.client.reason
        assert server.politely


async def test_protocol_error_ends_in_time_when_the_goaway_cannot_leave(
    autojump_clock: MockClock,
) -> None:
    async with in_memory() as (ends, server, client):
        await trio.sleep(1)
        server.stall()
        await client.send(frame(FrameType.ACK, 0, b"\x07"))
        started = trio.current_time()
        await ends.server.over.wait()
        assert trio.current_time() - started == CLOSE_TIMEOUT_S


@pytest.mark.parametrize("stalled", [False, True])
async def test_who_is_refused_reads_why_if_it_takes_anything_and_is_gone_in_time(
    autojump_clock: MockClock, stalled: bool
) -> None:
    async with in_memory() as (ends, server, _):
        await trio.sleep(1)
        if stalled:
            server.stall()
        started = trio.current_time()
        ends.server.session.refuse("unauthorized", "for you", reason="for us")
        assert ends.server.session.closed_reason == "for us"
        await ends.server.over.wait()
        assert trio.current_time() - started == (CLOSE_TIMEOUT_S if stalled else 0)
        if not stalled:
            await ends.client.over.wait()
            (goaway,) = [one.goaway for one in ends.client.events if isinstance(one, GoingAway)]
            assert goaway == ("unauthorized", "for you", 0)
            assert server.politely


class OneWay(MemoryTransport):
    """An end whose sending may fail while receiving goes on."""

    deaf = False

    async def send(self, message: bytes) -> None:
        if self.deaf:
            await trio.lowlevel.checkpoint()
            raise TransportClosed("sending failed")
        await super().send(message)


def one_way_pair() -> tuple[OneWay, OneWay]:
    server, client = OneWay(4), OneWay(4)
    server.peer, client.peer = client, server
    return server, client


async def test_a_send_that_fails_ends_the_connection_although_the_peer_is_heard(
    autojump_clock: MockClock,
) -> None:
    server, client = one_way_pair()
    async with running(server, client) as ends:
        await trio.sleep(1)
        server.deaf = True
        failed_at = trio.current_time()
        ends.server.session.open(GET)
        await hear_for(server, CLOSE_TIMEOUT_S)
        await ends.server.over.wait()
        assert trio.current_time() - failed_at == CLOSE_TIMEOUT_S
        assert ends.server.reason == "sending failed"
        assert server.closed


async def test_last_words_are_read_although_sending_has_failed(
    autojump_clock: MockClock,
) -> None:
    server, client = one_way_pair()
    async with running(server, client) as ends:
        await trio.sleep(1)
        client.delay_s = 0.5
        ends.client.session.goaway("shutting-down", "until tomorrow", 0)
        await wait_all_tasks_blocked()
        server.deaf = True
        ends.server.session.open(GET)
        await ends.server.over.wait()
        assert any(isinstance(event, GoingAway) for event in ends.server.events)


async def test_cancelled_session_closes_at_once_and_tells_its_streams(
    autojump_clock: MockClock,
) -> None:
    server, client = transport_pair()
    ends = Ends(server, client)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.client.run)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                inner.start_soon(ends.server.run)
                stream, _ = await ends.open()
                scope.cancel()
        assert server.closed
        with pytest.raises(SessionClosed, match="cancelled"):
            await stream.receive_some()
        await ends.client.over.wait()


async def test_session_closed_before_it_runs_ends_at_once(autojump_clock: MockClock) -> None:
    server, client = transport_pair()
    end = End(server, is_server=True)
    end.session.close("never mind")
    assert await end.session.run() == "never mind"
    assert server.closed
    assert not client.closed


# --- claims and goaway ---------------------------------------------------------------------------


async def test_claims_are_asked_answered_and_released(autojump_clock: MockClock) -> None:
    async with in_memory() as (ends, *_):
        ends.client.session.claim(CLAIM)
        with pytest.raises(LocalProtocolError):
            ends.client.session.claim(CLAIM._replace(claim=2))
        await trio.sleep(0.1)
        assert ends.server.events == [ClaimAsked(CLAIM)]
        granted = Claimed(1, "app", "http://app.example")
        ends.server.session.answer_claim(granted)
        await trio.sleep(0.1)
        assert ends.client.events == [ClaimAnswered(granted)]
        ends.server.session.release(1, "taken-over", "by another")
        await trio.sleep(0.1)
        assert isinstance(ends.client.events[-1], Released)


async def test_goaway_reaches_the_other_program_and_streams_go_on(
    autojump_clock: MockClock,
) -> None:
    async with in_memory() as (ends, *_):
        stream, other = await ends.open()
        ends.server.session.goaway("shutting-down", "until tomorrow", 8)
        await trio.sleep(0.1)
        (event,) = ends.client.events
        assert isinstance(event, GoingAway)
        assert event.goaway.deadline_s == 8
        await other.send_all(b"still")
        assert await stream.receive_some() == b"still"


async def test_events_behind_a_close_are_not_told(autojump_clock: MockClock) -> None:
    opened: list[TunnelStream] = []

    def close_at_once(stream: TunnelStream) -> None:
        opened.append(stream)
        ends.client.session.close("the first was enough")

    async with in_memory() as (ends, *_):
        ends.client.session._on_stream = close_at_once
        for _ in range(3):
            ends.server.session.open(GET)
        await ends.client.over.wait()
    assert len(opened) == 1


def test_session_shows_its_state() -> None:
    async def show() -> str:
        server, _ = transport_pair()
        end = End(server, is_server=True)
        before = repr(end.session)
        end.session.close("gone")
        return before + repr(end.session)

    shown = trio.run(show)
    assert "<Session attached" in shown
    assert "<Session gone" in shown
