"""A session over one connection after the other: nothing is lost, nothing comes twice."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.session import Session, SessionEvent
from protocol.drivers.stream import TunnelStream
from protocol.errors import RemoteProtocolError, SessionClosed
from protocol.limits import CLOSE_TIMEOUT_S, PING_INTERVAL_S, TIMEOUT_S
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.events import GoingAway
from protocol.mux.inflight import InFlight
from protocol.mux.map_bodies import pack_map
from protocol.mux.messages import Goaway
from protocol.mux.wire import FrameType, frame
from tests.fakes import transport_pair
from tests.protocol.mux.pair import CLAIM, OK, kinds_of, post

HOLD_S = 60


class Ends:
    """Two sessions, and the connection that they have."""

    def __init__(self, nursery: trio.Nursery, hold_s: float) -> None:
        self._nursery = nursery
        self.opened: list[TunnelStream] = []
        self.lines = transport_pair()
        self.server, self.client = (
            Session(
                Core(
                    is_server=is_server,
                    heartbeat=Heartbeat(PING_INTERVAL_S, TIMEOUT_S),
                    now=trio.current_time(),
                ),
                line,
                hold_s=hold_s,
                on_stream=self.opened.append,
            )
            for is_server, line in zip((True, False), self.lines, strict=True)
        )
        self.reasons: list[str] = []
        self.start()

    def start(self) -> None:
        self.start_one(self.server)
        self.start_one(self.client)

    def start_one(self, session: Session) -> None:
        self._nursery.start_soon(self._run, session)

    async def _run(self, session: Session) -> None:
        self.reasons.append(await session.run())

    def resume(self) -> None:
        """The client comes back by a new connection; the server need not have missed the old."""
        self.lines = transport_pair()
        self.server.resume(self.lines[0], self.client.core.received.count)
        self.client.resume(self.lines[1], self.server.core.received.count)
        self.start()

    async def cut_and_resume(self) -> None:
        self.lines[0].cut()
        await wait_all_tasks_blocked()
        self.resume()

    async def open(self) -> tuple[TunnelStream, TunnelStream]:
        stream = self.server.open(post("chunked"))
        await wait_all_tasks_blocked()
        return stream, self.opened.pop()


@asynccontextmanager
async def two_ends(hold_s: float = HOLD_S) -> AsyncIterator[Ends]:
    async with trio.open_nursery() as nursery:
        ends = Ends(nursery, hold_s)
        yield ends
        ends.server.close("the test is over")
        ends.client.close("the test is over")


async def write(stream: TunnelStream, data: bytes) -> None:
    await stream.send_all(data)
    stream.send_eof()


async def test_streams_go_on_after_many_cuts_in_the_middle(autojump_clock: MockClock) -> None:
    chance = random.Random(7)
    body, answer = chance.randbytes(3_000_000), chance.randbytes(3_000_000)
    taken = {"body": b"", "answer": b""}

    async def read(kind: str, stream: TunnelStream) -> None:
        while data := await stream.receive_some():
            taken[kind] += data
            await trio.sleep(0.001)

    async with two_ends() as ends:
        stream, other = await ends.open()
        await other.send_head(OK)
        assert await stream.receive_head() == OK
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, stream, body)
            nursery.start_soon(write, other, answer)
            nursery.start_soon(read, "body", other)
            nursery.start_soon(read, "answer", stream)
            for _ in range(12):
                await trio.sleep(chance.uniform(0, 0.01))
                await ends.cut_and_resume()
        assert len(ends.reasons) == 24
        assert (taken["body"], taken["answer"]) == (body, answer)
        await trio.sleep(1)
        assert ends.server.core.streams == ends.client.core.streams == {}
        assert ends.server.core.sent.unacked_bytes == ends.client.core.sent.unacked_bytes == 0


async def test_what_is_begun_while_it_is_detached_goes_afterwards(
    autojump_clock: MockClock,
) -> None:
    async with two_ends() as ends:
        ends.lines[0].cut()
        await wait_all_tasks_blocked()
        assert ends.server.detached_at == trio.current_time()
        assert not ends.server.batch_is_full
        stream = ends.server.open(post("chunked"))
        await stream.send_all(b"in the gap")
        stream.send_eof()
        assert ends.server.core.sent.count == 0  # nothing is numbered
        ends.resume()
        await wait_all_tasks_blocked()
        assert ends.server.attached
        assert await ends.opened[0].receive_some() == b"in the gap"


async def test_a_session_that_still_seems_attached_is_taken_at_once(
    autojump_clock: MockClock,
) -> None:
    async with two_ends() as ends:
        stream, other = await ends.open()
        old = ends.lines[0]
        for line in ends.lines:
            line.stall()
        await stream.send_all(b"stuck")
        await wait_all_tasks_blocked()
        ends.client.drop_connection()
        ends.resume()
        assert await other.receive_some() == b"stuck"
        await wait_all_tasks_blocked()
        assert old.closed
        assert not old.politely
        assert "resumed by another connection" in ends.reasons


async def test_a_message_in_the_old_readers_hands_is_not_taken_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with two_ends() as ends:
        stream, other = await ends.open()
        await other.send_head(OK)
        await other.send_all(b"once")
        await wait_all_tasks_blocked()
        assert await stream.receive_head() == OK
        assert await stream.receive_some() == b"once"
        old = ends.lines[0]
        receive = old.receive

        async def receive_and_lose() -> bytes:
            message = await receive()
            if ends.lines[0] is old:
                ends.resume()
            return message

        monkeypatch.setattr(old, "receive", receive_and_lose)
        await other.send_all(b"passed on")  # by the wait that was there before
        await wait_all_tasks_blocked()
        await other.send_all(b", twice")
        await wait_all_tasks_blocked()
        assert ends.lines[0] is not old
        assert await stream.receive_some() == b"passed on, twice"
        window = stream._record.receiving.window
        assert window.received == window.consumed


async def test_an_old_writer_that_was_in_a_send_numbers_nothing_more(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with two_ends() as ends:
        stream, other = await ends.open()
        old = ends.lines[0]
        send = old.send

        async def send_and_lose(message: bytes) -> None:
            await send(message)
            if ends.lines[0] is old:
                await stream.send_all(b"second")  # what the old writer would find next
                ends.resume()

        monkeypatch.setattr(old, "send", send_and_lose)
        await stream.send_all(b"first, ")
        stream_data = b""
        with trio.fail_after(5):
            while stream_data != b"first, second":
                stream_data += await other.receive_some()
        assert ends.lines[0] is not old


async def test_events_of_a_message_are_told_when_the_session_is_taken_among_them(
    autojump_clock: MockClock,
) -> None:
    streams = 100  # far more than are woken at once
    async with two_ends() as ends:
        for _ in range(streams):
            ends.server.open(post("chunked"))
        taken: list[TunnelStream] = []

        def take(stream: TunnelStream) -> None:
            taken.append(stream)
            if len(taken) == 10:
                ends.lines = transport_pair()
                ends.client.resume(ends.lines[1], ends.server.core.received.count)
                ends.server.resume(ends.lines[0], ends.client.core.received.count)

        ends.client._on_stream = take
        await wait_all_tasks_blocked()
        assert len(taken) >= 10
        ends.start()
        await wait_all_tasks_blocked()
        assert [stream.id for stream in taken] == list(range(1, streams + 1))


async def test_a_claim_that_was_lost_with_its_connection_is_not_told(
    autojump_clock: MockClock,
) -> None:
    """It stands behind another frame, and the client asks again on the new connection."""
    told: list[SessionEvent] = []
    async with two_ends() as ends:

        def take(event: SessionEvent) -> None:
            told.append(event)
            if len(told) == 1:
                ends.resume()

        ends.server.on_event = take
        leaving = Goaway("shutting-down", "", 8)
        frames = [frame(FrameType.GOAWAY, 0, pack_map(leaving))]
        frames.append(frame(FrameType.CLAIM, 0, pack_map(CLAIM)))
        await ends.lines[1].send(b"".join(frames))
        await wait_all_tasks_blocked()
        assert told == [GoingAway(leaving)]
        assert ends.server.attached


async def test_a_polite_close_ends_it_and_a_lost_connection_does_not(
    autojump_clock: MockClock,
) -> None:
    async with two_ends() as ends:
        stream, _ = await ends.open()
        await stream.send_all(b"x")
        await trio.lowlevel.checkpoint()  # the server sends that, and the client an ack
        ends.client.close("the client has stopped")
        with pytest.raises(SessionClosed):
            await stream.receive_head()
        assert ends.server.closed_reason is not None


async def test_a_connection_that_is_dropped_says_no_close() -> None:
    async with two_ends() as ends:
        await wait_all_tasks_blocked()
        ends.client.drop_connection()
        await wait_all_tasks_blocked()
        assert ends.lines[1].closed
        assert not ends.lines[1].politely
        assert ends.server.detached_at is not None  # and not ended


async def test_a_session_that_ends_in_the_middle_of_a_message_is_closed_behind_it(
    autojump_clock: MockClock,
) -> None:
    async with two_ends() as ends:
        stream, other = await ends.open()
        ends.lines[1].stall()
        await other.send_head(OK)
        await wait_all_tasks_blocked()
        ends.client.close("the client has stopped")
        await wait_all_tasks_blocked()
        assert not ends.lines[1].closed
        ends.lines[1].resume()
        with pytest.raises(SessionClosed):
            await stream.receive_some()


async def test_a_message_that_cannot_be_sent_keeps_no_session_from_its_end(
    autojump_clock: MockClock,
) -> None:
    async with two_ends() as ends:
        _, other = await ends.open()
        ends.lines[1].stall()
        await other.send_head(OK)
        await wait_all_tasks_blocked()
        before = trio.current_time()
        ends.client.close("the client has stopped")
        await trio.sleep(CLOSE_TIMEOUT_S)
        await wait_all_tasks_blocked()
        assert ends.lines[1].closed
        assert not ends.lines[1].politely
        assert ends.server.detached_at == before + CLOSE_TIMEOUT_S


async def test_without_a_hold_a_lost_connection_ends_it() -> None:
    async with two_ends(hold_s=0) as ends:
        ends.lines[0].cut()
        await wait_all_tasks_blocked()
        assert ends.server.closed_reason == ends.client.closed_reason == "the connection was lost"


@pytest.mark.parametrize(("code", "resumable"), [("shutting-down", False), ("no-error", True)])
async def test_a_server_that_stops_gives_no_session_back(code: str, resumable: bool) -> None:
    async with two_ends() as ends:
        ends.server.goaway(code, "said the server", 8)
        await wait_all_tasks_blocked()
        assert ends.server.resumable == ends.client.resumable == resumable
        ends.lines[0].cut()
        await wait_all_tasks_blocked()
        assert (ends.server.closed_reason is None) == resumable


async def test_a_count_that_cannot_be_changes_nothing() -> None:
    async with two_ends() as ends:
        stream, other = await ends.open()
        line = transport_pair()[0]
        with pytest.raises(RemoteProtocolError):
            ends.server.resume(line, 99)
        await stream.send_all(b"still here")
        assert await other.receive_some() == b"still here"


async def test_closing_a_detached_session_wakes_who_waits_and_tells_once() -> None:
    told: list[str] = []
    async with two_ends() as ends:
        stream, _ = await ends.open()
        ends.server.on_closed = lambda: told.append("closed")
        ends.lines[0].cut()
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(SessionClosed, match="nobody came"):
                    await stream.receive_head()

            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            ends.server.close("nobody came")
            ends.server.close("again")
        assert told == ["closed"]


async def test_a_session_that_ended_while_it_was_asked_for_is_closed_on_the_new_connection(
    autojump_clock: MockClock,
) -> None:
    async with two_ends() as ends:
        stream, _ = await ends.open()
        ends.lines[0].cut()
        await wait_all_tasks_blocked()
        ends.client.close("given up")
        ends.resume()
        with pytest.raises(SessionClosed):
            await stream.receive_head()
        assert ends.server.closed_reason is not None


async def test_the_first_message_goes_before_anything_else() -> None:
    async with two_ends() as ends:
        ends.lines[0].cut()
        await wait_all_tasks_blocked()
        ends.server.open(post("chunked"))
        line, peer = transport_pair()
        ends.server.resume(line, ends.client.core.received.count, b"resumed")
        ends.start_one(ends.server)
        assert await peer.receive() == b"resumed"
        assert kinds_of(await peer.receive())


async def test_a_silent_connection_is_dropped_and_the_session_kept(
    autojump_clock: MockClock,
) -> None:
    async with two_ends() as ends:
        before = trio.current_time()
        for line in ends.lines:
            line.stall()
        await trio.sleep(TIMEOUT_S + PING_INTERVAL_S + 2)
        for session in (ends.server, ends.client):
            assert session.closed_reason is None
            assert session.detached_at is not None
            assert TIMEOUT_S <= session.detached_at - before <= TIMEOUT_S + PING_INTERVAL_S + 1
            assert session.heard_at <= before + 1


async def test_a_session_that_ends_while_it_is_detached_is_detached_no_more() -> None:
    async with two_ends() as ends:
        stream, _ = await ends.open()
        ends.lines[0].cut()
        await wait_all_tasks_blocked()
        assert stream.detached
        ends.server.close("nobody came")
        assert not stream.detached


async def test_an_ack_that_waited_is_dropped_by_a_resume() -> None:
    async with two_ends() as ends:
        stream, _ = await ends.open()
        await stream.send_all(b"x")
        await trio.lowlevel.checkpoint()
        core = ends.client.core
        core.received.received(0, trio.current_time())
        assert core.ack_due_at < math.inf
        core.resume(core.sent.count, trio.current_time())  # the other end was told by `resume`
        assert core.ack_due_at == math.inf
        assert not core.received.ack_pending


async def test_quiet_waits_for_what_goes_again(autojump_clock: MockClock) -> None:
    async with two_ends() as ends:
        stream, other = await ends.open()
        stream.send_eof()
        await other.send_head(OK)
        await wait_all_tasks_blocked()
        assert await other.receive_some() == b""
        ends.lines[1].delay_s = 10
        await write(other, b"the end of an answer")
        await wait_all_tasks_blocked()
        assert not ends.client.core.streams  # all of it has left, and is lost
        await ends.cut_and_resume()
        sent = ends.client.core.sent
        line, sent.in_flight = sent.in_flight, Full()
        with trio.move_on_after(5) as early:
            await ends.client.wait_quiet()
        assert early.cancelled_caught
        sent.in_flight = line
        await ends.client.wait_quiet()
        ends.client.close("the client has stopped")
        assert await stream.receive_head() == OK
        assert await stream.receive_some() == b"the end of an answer"
        assert await stream.receive_some() == b""


class Full(InFlight):
    """A line that takes nothing."""

    def may_go(self, now: float) -> bool:
        return False
