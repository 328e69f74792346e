"""The stream that programs use, over a core whose other end the test plays."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.bonds import Bonds
from protocol.drivers.session_log import SessionLog
from protocol.drivers.stream import TunnelStream
from protocol.errors import SessionClosed, StreamReset, StreamStopped
from protocol.limits import KIB, START_WINDOW_BYTES, STREAM_UNSENT_MAX_BYTES
from protocol.mux.core import Core
from tests.protocol.mux.pair import CONTINUE, GET, OK, CorePair, post


class Owner:
    """A session in which nothing goes by itself."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.bonds = Bonds()
        self.closed_reason: str | None = None
        self.detached_at: float | None = None
        self.log = SessionLog(logging.getLogger(__name__), bytes.fromhex("4f1c9a03"))
        self.flushed = 0

    def flush(self) -> None:
        self.flushed += 1

    def head_queued(self) -> None:
        self.flush()

    async def wait_for_batch(self) -> None:
        """Nobody else is there to have a turn."""


class Ends:
    """The server's stream as its program has it, and the client's as the core has it."""

    def __init__(self) -> None:
        self.pair = CorePair()
        server, self.other = self.pair.open(post("chunked"))
        self.owner = Owner(self.pair.server)
        self.stream = TunnelStream(self.owner, server)

    def arrive(self) -> None:
        if self.pair.to_server():
            self.stream.wake_reader()

    def answer(self, data: bytes) -> None:
        self.pair.client.send_head(self.other, OK)
        self.pair.client.send_data(self.other, data)
        self.arrive()

    def lose(self, reason: str = "the connection was lost") -> None:
        self.owner.closed_reason = reason
        self.stream.wake_reader()
        self.stream.peer_stopped()


async def raised_after(
    call: Callable[[], Awaitable[object]], then: Callable[[], None]
) -> BaseException | None:
    """What a waiting call raises after something happened."""
    caught: BaseException | None = None

    async def wait() -> None:
        nonlocal caught
        try:
            await call()
        except (StreamReset, StreamStopped, SessionClosed) as error:
            caught = error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1, "it did not wait"
        then()
    return caught


async def test_heads_come_in_order_and_are_waited_for() -> None:
    ends = Ends()
    ends.pair.client.send_head(ends.other, CONTINUE)
    ends.arrive()
    assert await ends.stream.receive_head() == CONTINUE

    def final() -> None:
        ends.pair.client.send_head(ends.other, OK)
        ends.arrive()

    assert await raised_after(ends.stream.receive_head, final) is None


async def test_data_comes_and_then_the_end_with_its_trailers() -> None:
    ends = Ends()
    ends.answer(b"some")
    ends.pair.client.send_end(ends.other, ((b"T", b"1"),))
    ends.arrive()
    await ends.stream.receive_head()
    assert await ends.stream.receive_some() == b"some"
    assert await ends.stream.receive_some() == b""
    assert ends.stream.receive_ended
    assert ends.stream.trailers == ((b"T", b"1"),)


async def test_take_some_never_waits() -> None:
    ends = Ends()
    assert ends.stream.take_some() == b""
    ends.answer(b"some")
    assert ends.stream.take_some() == b"some"
    assert ends.owner.flushed == 0  # nobody has to be told


async def test_news_are_data_and_a_call_of_who_wants_the_reader(autojump_clock: MockClock) -> None:
    ends = Ends()

    assert await raised_after(ends.stream.wait_readable, lambda: ends.answer(b"some")) is None
    assert ends.stream.take_some() == b"some"
    assert await raised_after(ends.stream.wait_readable, ends.stream.wake_reader) is None
    ends.stream.wake_reader()
    await ends.stream.wait_readable()  # woken before it waited
    with trio.move_on_after(1) as waited:
        await ends.stream.wait_readable()
    assert waited.cancelled_caught
    assert await raised_after(ends.stream.wait_readable, ends.lose) is None
    with pytest.raises(SessionClosed):
        await ends.stream.wait_readable()


async def test_taking_half_a_window_wakes_the_writer_for_its_credit() -> None:
    ends = Ends()
    ends.pair.client.send_head(ends.other, OK)
    sent = 0
    while not ends.owner.flushed:
        ends.pair.client.send_data(ends.other, bytes(16 * KIB))
        ends.arrive()
        sent += len(ends.stream.take_some())
        assert sent <= START_WINDOW_BYTES
    assert sent >= START_WINDOW_BYTES // 2


async def test_cancelled_receive_loses_nothing() -> None:
    ends = Ends()
    with trio.move_on_after(0):
        await ends.stream.receive_some()
    ends.answer(b"some")
    await ends.stream.receive_head()
    assert await ends.stream.receive_some() == b"some"


async def test_reset_comes_after_what_was_sent_before_it() -> None:
    ends = Ends()
    ends.answer(b"half")
    ends.pair.client.reset(ends.other, "truncated", "the app hung up")
    ends.arrive()
    await ends.stream.receive_head()
    assert await ends.stream.receive_some() == b"half"
    with pytest.raises(StreamReset, match="the app hung up") as caught:
        await ends.stream.receive_some()
    assert caught.value.code == "truncated"
    assert not ends.stream.receive_ended


async def test_lost_session_still_gives_what_had_come() -> None:
    ends = Ends()
    ends.answer(b"half")
    ends.lose()
    await ends.stream.receive_head()
    assert await ends.stream.receive_some() == b"half"
    with pytest.raises(SessionClosed, match="the connection was lost"):
        await ends.stream.receive_some()


@pytest.mark.parametrize("call", ["receive_head", "receive_some"])
async def test_lost_session_wakes_a_reader(call: str) -> None:
    ends = Ends()
    error = await raised_after(getattr(ends.stream, call), ends.lose)
    assert isinstance(error, SessionClosed)


@pytest.mark.parametrize("give_up", ["cancel", "stop_sending"])
async def test_giving_up_wakes_a_reader(give_up: str) -> None:
    ends = Ends()
    error = await raised_after(
        ends.stream.receive_some, lambda: getattr(ends.stream, give_up)("visitor-gone")
    )
    assert isinstance(error, StreamReset)


async def test_answer_that_was_dropped_after_its_end_does_not_look_whole() -> None:
    ends = Ends()
    ends.answer(b"all of it")
    ends.pair.client.send_end(ends.other)
    ends.arrive()
    await ends.stream.receive_head()
    ends.stream.cancel("cancelled")
    assert not ends.stream.receive_ended
    with pytest.raises(StreamReset):
        await ends.stream.receive_some()


async def test_cancel_after_all_was_taken_changes_nothing() -> None:
    ends = Ends()
    ends.answer(b"all of it")
    ends.pair.client.send_end(ends.other)
    ends.arrive()
    await ends.stream.receive_head()
    await ends.stream.receive_some()
    ends.stream.cancel("no-error")
    assert ends.stream.receive_ended


# --- writing -------------------------------------------------------------------------------------


async def filled() -> Ends:
    ends = Ends()
    await ends.stream.send_all(bytes(STREAM_UNSENT_MAX_BYTES))
    return ends


async def test_most_unsent_bytes_do_not_wait_and_one_more_does() -> None:
    ends = await filled()

    def send() -> None:
        ends.pair.server.next_message(0.0)
        (record,) = ends.pair.server.take_made_room()
        assert record.driver is ends.stream
        ends.stream.wake_writer()

    assert await raised_after(lambda: ends.stream.send_all(b"x"), send) is None


async def test_data_of_any_length_arrives_whole_and_is_never_queued_beyond_the_limit() -> None:
    ends = Ends()
    data = bytes(range(256)) * 3000
    came = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.stream.send_all, data)
        while len(came) < len(data):
            await wait_all_tasks_blocked()
            assert ends.pair.server.room(ends.pair.server.streams[1]) >= 0
            ends.pair.to_client()
            came += ends.pair.read_all(ends.pair.client, ends.other)
            ends.pair.to_server()
            if ends.pair.server.take_made_room():
                ends.stream.wake_writer()
    assert came == data


@pytest.mark.parametrize("how", ["stopped", "cancelled", "lost"])
async def test_waiting_writer_is_told(how: str) -> None:
    ends = await filled()

    def happen() -> None:
        if how == "stopped":
            ends.pair.client.stop_sending(ends.other, "no-error")
            ends.pair.to_client()
            ends.pair.to_server()
            ends.stream.peer_stopped()
        elif how == "cancelled":
            ends.stream.cancel("visitor-gone")
        else:
            ends.lose()

    error = await raised_after(lambda: ends.stream.send_all(b"x"), happen)
    assert isinstance(error, SessionClosed if how == "lost" else StreamStopped)
    if how == "stopped":
        assert str(error) == ends.stream.stopped == "no-error"


async def test_half_that_is_over_takes_no_more_and_says_so() -> None:
    ends = Ends()
    ends.stream.reset("internal")
    with pytest.raises(StreamStopped):
        await ends.stream.send_all(b"x")
    with pytest.raises(StreamStopped):
        await ends.stream.send_head(OK)
    ends.stream.send_eof()
    ends.stream.reset("internal")
    assert ends.stream.stopped is None  # the peer did not


async def test_send_eof_after_the_session_is_gone_is_nothing() -> None:
    ends = Ends()
    ends.lose()
    ends.stream.send_eof()
    assert "BODY" in repr(ends.stream)


async def test_end_carries_its_trailers() -> None:
    ends = Ends()
    await ends.stream.send_all(b"x")
    ends.stream.send_eof(((b"T", b"1"),))
    ends.pair.to_client()
    assert ends.other.receiving.trailers == ((b"T", b"1"),)


@pytest.mark.parametrize("ours_first", [True, False])
async def test_it_is_gone_when_both_ends_have_crossed(ours_first: bool) -> None:
    ends = Ends()
    calls: list[str] = []
    ends.stream.on_gone = lambda: calls.append("gone")

    def ours() -> None:
        ends.stream.send_eof()
        ends.pair.to_client()

    def theirs() -> None:
        ends.answer(b"all")
        ends.pair.client.send_end(ends.other)
        ends.arrive()

    first, second = (ours, theirs) if ours_first else (theirs, ours)
    first()
    assert calls == []
    second()
    assert calls == ["gone"]
    assert not ends.pair.server.streams
    ends.stream.gone()
    assert calls == ["gone"]


async def test_one_that_is_cancelled_is_gone_when_the_peer_has_agreed() -> None:
    ends = Ends()
    calls: list[str] = []
    ends.stream.on_gone = lambda: calls.append("gone")
    ends.stream.cancel("cancelled")
    ends.pair.to_client()
    assert calls == []
    ends.pair.client.cancel(ends.other, "cancelled")
    ends.arrive()
    assert calls == ["gone"]


async def test_on_stopped_is_called() -> None:
    ends = Ends()
    calls: list[str] = []
    ends.stream.on_stopped = lambda: calls.append("called")
    ends.stream.peer_stopped()
    assert calls == ["called"]


async def test_stream_knows_what_it_was_opened_with() -> None:
    ends = Ends()
    assert ends.stream.id == 1
    assert ends.stream.opened._replace(credit=0) == post("chunked")
    assert ends.stream.opened.host == GET.host


async def test_half_has_not_ended_before_its_data_was_taken() -> None:
    ends = Ends()
    ends.answer(b"some")
    ends.pair.client.send_end(ends.other)
    ends.arrive()
    await ends.stream.receive_head()
    assert not ends.stream.receive_ended


def test_a_stream_that_was_cancelled_keeps_no_fields() -> None:
    ends = Ends()
    assert ends.stream.opened.fields
    ends.stream.cancel("visitor-gone")
    assert ends.stream.opened.fields == ()
    assert ends.stream.opened.method == b"POST"
