"""What a stop of the client does with each kind of request, and how soon."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from protocol.errors import StreamReset
from protocol.http.fields import BodyForm
from protocol.http.stopping import STILL_S, STOP_ANSWER_S, STUCK_S, VISITOR_STUCK, Verdict
from protocol.http.websocket import close_frame
from tests.origin_fakes import App, MemoryTunnel, RawOrigin, a_shared_app, broken, failure
from tests.switched_apps import CLOSE, HELLO, MASKED, a_websocket, unmasked
from tests.tunnel_client.origin.test_any_upgrade import an_upgrade
from tunnel_client.origin.dispatch import SWEEP_EVERY_S
from tunnel_client.origin.replay import REFUSED, STOPPED, STOPPED_STUCK, Replay
from tunnel_client.origin.stopping import ENDED_AT_ONCE, LOOK_EVERY_S

PATIENCE_S = 8.0
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
PAGE = CHUNKED + b"Content-Type: text/html\r\n\r\n"
EVENTS = CHUNKED + b"Content-Type: text/event-stream\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
FIRST = b"5\r\nfirst\r\n"


class Stopped:
    """A stop that runs, and what it told."""

    def __init__(self, tunnel: MemoryTunnel, nursery: trio.Nursery) -> None:
        self.told: list[tuple[int, Replay]] = []
        self.stopping = tunnel.dispatcher.stopping
        nursery.start_soon(self.stopping.run, PATIENCE_S, lambda *told: self.told.append(told))


async def asked(
    tunnel: MemoryTunnel,
    origin: RawOrigin,
    method: bytes = b"GET",
    body: BodyForm = None,
    said: bytes = b"",
) -> tuple[TunnelStream, App]:
    """A request that is under way, and the beginning of its answer."""
    stream = tunnel.open(method, body=body)
    app = await origin.accept()
    await app.request()
    if said:
        await app.send(said)
        assert (await stream.receive_head()).status == 200
    return stream, app


async def later(clock: MockClock, seconds_s: float) -> None:
    """So much time goes by, in steps of a sweep at most."""
    await wait_all_tasks_blocked(0.01)
    while seconds_s > 0:
        step_s = min(seconds_s, SWEEP_EVERY_S)
        clock.jump(step_s)
        await wait_all_tasks_blocked(0.01)
        seconds_s -= step_s


# --- what has not been answered ------------------------------------------------------------------


async def test_a_long_poll_is_refused_so_that_it_may_be_asked_again(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream, app = await asked(tunnel, origin)
        await later(mock_clock, STILL_S)
        stopped = Stopped(tunnel, nursery)
        assert (await failure(stream))[0] == "draining"
        assert await app.is_reset()
        await tunnel.dispatcher.wait_quiet()
        told = tunnel.told.requests()[0]
        assert (told[0], told[3]) == (503, REFUSED)
        assert stopped.stopping.cut_off == 0
        assert stopped.told == []


async def test_a_request_that_has_just_begun_has_a_second(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream, _ = await asked(tunnel, origin)
        await later(mock_clock, STILL_S / 2)
        stopped = Stopped(tunnel, nursery)
        await later(mock_clock, STILL_S / 2 - 0.01)
        assert tunnel.dispatcher.busy_count == 1
        ((waiting, oldest),) = stopped.told
        assert (waiting, oldest.stream.opened.method) == (1, b"GET")
        await later(mock_clock, 0.01 + LOOK_EVERY_S)
        assert (await failure(stream))[0] == "draining"


async def test_without_a_connection_its_second_passes_all_the_same(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_shared_app() as (tunnel, origin):
        _, app = await asked(tunnel, origin)
        tunnel.client.drop_connection()
        Stopped(tunnel, nursery)
        await later(mock_clock, STILL_S + LOOK_EVERY_S)
        assert await app.is_reset()
        await tunnel.dispatcher.wait_quiet()
        assert tunnel.told.requests()[0][0] is None  # nobody knows what the visitor gets


async def test_what_may_not_be_sent_again_is_waited_for_and_then_cut_off(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream, app = await asked(tunnel, origin, b"POST")
        await later(mock_clock, STILL_S)
        stopped = Stopped(tunnel, nursery)
        await later(mock_clock, PATIENCE_S - 0.01)
        assert tunnel.dispatcher.busy_count == 1
        await later(mock_clock, 0.02)
        assert (await failure(stream))[0] == "cancelled"
        assert await app.is_reset()
        assert stopped.stopping.cut_off == 1
        told = tunnel.told.requests()[0]
        assert (told[0], told[3]) == (502, STOPPED)


async def test_no_status_is_told_of_what_is_cut_off_without_a_connection(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_shared_app() as (tunnel, origin):
        await asked(tunnel, origin, b"POST")
        stopped = Stopped(tunnel, nursery)
        tunnel.client.hold_s = 60
        tunnel.client.drop_connection()
        await later(mock_clock, PATIENCE_S + 0.01)
        await tunnel.dispatcher.wait_quiet()
        assert stopped.stopping.cut_off == 1
        told = tunnel.told.requests()[0]
        assert (told[0], told[3]) == (None, STOPPED)


async def test_an_upload_is_waited_for_and_its_progress_is_known(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=10)
        await stream.send_all(b"first")
        app = await origin.accept()
        await app.request(5)
        stopped = Stopped(tunnel, nursery)
        await later(mock_clock, 3)
        ((_, oldest),) = stopped.told
        assert oldest.stream.request_progress == (5, 10)
        assert oldest.stream.answer_progress == (0, None)
        await stream.send_all(b"2ndly")
        stream.send_eof()
        assert await app.exactly(5) == b"2ndly"
        await app.send(SIZED + b"0123456789")
        assert await tunnel.answer(stream) == (200, b"0123456789")
        await tunnel.dispatcher.wait_quiet()
        assert stopped.stopping.cut_off == 0
        assert tunnel.told.requests()[0][3] is None


# --- answers -------------------------------------------------------------------------------------


async def test_an_endless_answer_is_cut_at_once(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream, app = await asked(tunnel, origin, said=EVENTS + FIRST)
        assert await stream.receive_some() == b"first"
        stopped = Stopped(tunnel, nursery)
        assert await broken(stream) == (b"", "cancelled", "")
        assert await app.is_reset()
        await tunnel.dispatcher.wait_quiet()
        assert stopped.stopping.cut_off == 1
        assert stopped.told == []
        assert tunnel.told.requests()[0][0] == 200


async def test_a_page_without_a_length_is_cut_once_nothing_has_moved_for_a_second(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream, app = await asked(tunnel, origin, said=PAGE + FIRST)
        Stopped(tunnel, nursery)
        for _ in range(6):  # it is made while it is sent
            await later(mock_clock, STILL_S / 2)
            await app.send(FIRST)
            await wait_all_tasks_blocked(0.01)
        assert tunnel.dispatcher.busy_count == 1
        await later(mock_clock, LOOK_EVERY_S)  # to see the last of it
        await later(mock_clock, STILL_S + LOOK_EVERY_S)
        data, code, _ = await broken(stream)
        assert (data, code) == (b"first" * 7, "cancelled")


async def test_a_page_that_has_not_moved_before_is_cut_at_once(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream, _ = await asked(tunnel, origin, said=PAGE + FIRST)
        await later(mock_clock, STILL_S + 2 * SWEEP_EVERY_S)
        Stopped(tunnel, nursery)
        assert (await broken(stream))[1] == "cancelled"


async def test_an_answer_with_a_length_is_waited_for_also_where_the_app_pauses(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream, app = await asked(tunnel, origin, said=SIZED + b"first")
        stopped = Stopped(tunnel, nursery)
        await later(mock_clock, STUCK_S + 1)
        assert tunnel.dispatcher.busy_count == 1
        assert stopped.told[0][1].stream.answer_progress == (5, 10)
        await app.send(b"2ndly")
        await later(mock_clock, LOOK_EVERY_S)
        data = b""
        while more := await stream.receive_some():
            data += more
        assert data == b"first2ndly"


@pytest.mark.parametrize("sized", [True, False])
async def test_a_visitor_that_has_stopped_reading_holds_up_nothing(
    nursery: trio.Nursery, mock_clock: MockClock, sized: bool
) -> None:
    size = 4 << 20
    large = SIZED.replace(b"10\r", b"%d\r" % size)
    async with a_shared_app() as (tunnel, origin):
        stream, app = await asked(tunnel, origin, said=large if sized else PAGE)
        body = bytes(size) if sized else b"%x\r\n%b\r\n" % (size, bytes(size))
        nursery.start_soon(send_until_reset, app, body)
        await wait_all_tasks_blocked(0.05)
        patience_s = STUCK_S if sized else STILL_S
        await later(mock_clock, patience_s + 2 * SWEEP_EVERY_S)
        Stopped(tunnel, nursery)
        await tunnel.dispatcher.wait_quiet()
        assert (await broken(stream))[1] == "cancelled"


@pytest.mark.parametrize("sized", [True, False])
async def test_what_waits_for_its_visitor_alone_is_left_to_a_server_that_knows(
    nursery: trio.Nursery, mock_clock: MockClock, sized: bool
) -> None:
    size = 4 << 20
    large = SIZED.replace(b"10\r", b"%d\r" % size)
    async with a_shared_app() as (tunnel, origin):
        tunnel.client.core.ends_stuck = True
        _, app = await asked(tunnel, origin, said=large if sized else PAGE)
        body = bytes(size) if sized else b"%x\r\n%b\r\n" % (size, bytes(size))
        nursery.start_soon(send_until_reset, app, body)
        await wait_all_tasks_blocked(0.05)
        stopped = Stopped(tunnel, nursery)
        await later(mock_clock, STUCK_S + 1)
        assert tunnel.dispatcher.busy_count == 1
        await later(mock_clock, PATIENCE_S - STUCK_S)
        await tunnel.dispatcher.wait_quiet()
        assert stopped.stopping.cut_off == 1


async def test_what_the_server_ends_for_a_visitor_that_has_stopped_reading_is_cut_off(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream, app = await asked(tunnel, origin, said=SIZED + b"first")
        gone, gone_app = await asked(tunnel, origin, said=SIZED + b"first")
        stopped = Stopped(tunnel, nursery)
        await later(mock_clock, LOOK_EVERY_S)
        stream.cancel(VISITOR_STUCK)
        gone.cancel("visitor-gone")
        assert await app.is_reset()
        assert await gone_app.is_reset()
        await tunnel.dispatcher.wait_quiet()
        assert stopped.stopping.cut_off == 1
        assert {(told[0], told[3]) for told in tunnel.told.requests()} == {
            (200, STOPPED_STUCK),
            (200, "the visitor went away"),
        }


async def test_what_the_client_has_cut_off_itself_is_counted_once(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream, _ = await asked(tunnel, origin, said=EVENTS)
        stopped = Stopped(tunnel, nursery)
        stream.cancel(VISITOR_STUCK)  # they cross
        await tunnel.dispatcher.wait_quiet()
        assert stopped.stopping.cut_off == 1


async def send_until_reset(app: App, data: bytes) -> None:
    try:
        await app.send(data)
    except trio.BrokenResourceError:
        return
    raise AssertionError("it was taken")


async def test_time_without_a_connection_is_no_pause(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_shared_app() as (tunnel, origin):
        await asked(tunnel, origin, said=PAGE + FIRST)
        Stopped(tunnel, nursery)
        await later(mock_clock, STILL_S / 2)
        tunnel.client.hold_s = 60
        tunnel.client.drop_connection()
        await later(mock_clock, 3)
        assert tunnel.dispatcher.busy_count == 1


async def test_the_oldest_of_what_is_waited_for_is_told(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_shared_app() as (tunnel, origin):
        first, _ = await asked(tunnel, origin, b"POST")
        await later(mock_clock, 1)
        await asked(tunnel, origin, b"PUT")
        await asked(tunnel, origin, said=EVENTS)
        stopped = Stopped(tunnel, nursery)
        await later(mock_clock, LOOK_EVERY_S)
        ((waiting, oldest),) = stopped.told
        assert (waiting, oldest.stream.id) == (2, first.id)


async def test_many_end_in_portions(nursery: trio.Nursery, mock_clock: MockClock) -> None:
    async with a_shared_app() as (tunnel, origin):
        streams = [(await asked(tunnel, origin, said=EVENTS))[0] for _ in range(4 * ENDED_AT_ONCE)]
        stopped = Stopped(tunnel, nursery)
        turns: list[int] = []

        async def look() -> None:
            while True:
                turns.append(stopped.stopping.cut_off)
                await trio.lowlevel.checkpoint()

        nursery.start_soon(look)
        for stream in streams:
            with pytest.raises(StreamReset):
                await stream.receive_some()
        assert stopped.stopping.cut_off == len(streams)
        assert max(b - a for a, b in pairwise(turns)) <= 2 * ENDED_AT_ONCE


# --- WebSockets ----------------------------------------------------------------------------------


async def test_a_websocket_is_closed_both_ways_and_both_may_answer(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_websocket() as (tunnel, stream, app):
        stopped = Stopped(tunnel, nursery)
        said = await app.exactly(8)
        assert (said[:2], unmasked(said)) == (b"\x88\x82", (1001).to_bytes(2, "big"))
        assert await stream.receive_some() == close_frame(1001)
        await app.send(HELLO + close_frame(1001))  # nothing goes behind our Close
        await stream.send_all(MASKED)
        await wait_all_tasks_blocked(0.01)
        assert tunnel.dispatcher.busy_count == 1
        await stream.send_all(CLOSE)
        assert await stream.receive_some() == b""
        assert await app.rest() == b""
        await tunnel.dispatcher.wait_quiet()
        assert stopped.stopping.cut_off == 0
        assert tunnel.told.requests()[0][3] is None


async def test_who_does_not_answer_gets_fin_half_a_second_later(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_websocket() as (tunnel, stream, app):
        Stopped(tunnel, nursery)
        assert await stream.receive_some() == close_frame(1001)
        await app.exactly(8)
        await later(mock_clock, STOP_ANSWER_S - 0.01)
        assert tunnel.dispatcher.busy_count == 1
        await later(mock_clock, 0.02)
        assert await app.rest() == b""
        assert await stream.receive_some() == b""
        await tunnel.dispatcher.wait_quiet()


async def test_in_the_middle_of_a_frame_to_the_app_that_is_reset_and_the_visitor_is_told(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_websocket() as (tunnel, stream, app):
        await stream.send_all(MASKED[:7])
        await app.exactly(7)
        Stopped(tunnel, nursery)
        assert await stream.receive_some() == close_frame(1001)
        assert await app.is_reset()
        await later(mock_clock, STOP_ANSWER_S)
        assert await stream.receive_some() == b""


async def test_in_the_middle_of_a_frame_to_the_visitor_that_is_reset_and_the_app_is_told(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_websocket() as (tunnel, stream, app):
        await app.send(HELLO[:3])
        assert await stream.receive_some() == HELLO[:3]
        Stopped(tunnel, nursery)
        assert unmasked(await app.exactly(8)) == (1001).to_bytes(2, "big")
        assert (await broken(stream))[1] == "truncated"
        await app.send(HELLO[3:] + close_frame(1001))
        await later(mock_clock, STOP_ANSWER_S)
        assert await app.rest() == b""


async def test_no_second_close_follows_one_that_has_passed(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_websocket() as (tunnel, stream, app):
        await stream.send_all(CLOSE)
        assert await app.exactly(len(CLOSE)) == CLOSE
        await app.send(close_frame(1000))
        assert await stream.receive_some() == close_frame(1000)
        Stopped(tunnel, nursery)
        assert await app.rest() == b""
        assert await stream.receive_some() == b""


async def test_a_visitor_that_takes_nothing_of_a_websocket_is_reset(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    endless = b"\x82\x7f" + (1 << 30).to_bytes(8, "big")
    async with a_websocket() as (tunnel, stream, app):
        nursery.start_soon(send_until_reset, app, endless + bytes(8 << 20))
        await wait_all_tasks_blocked(0.05)
        Stopped(tunnel, nursery)
        await later(mock_clock, STOP_ANSWER_S)
        mock_clock.rate = 1.0  # what is on its way wants to be acknowledged
        assert (await broken(stream))[1] == "truncated"
        await tunnel.dispatcher.wait_quiet()


async def test_after_a_half_close_a_stop_ends_the_other_half(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_websocket() as (tunnel, stream, app):
        stream.send_eof()
        assert await app.rest() == b""
        Stopped(tunnel, nursery)
        assert await stream.receive_some() == close_frame(1001)
        await later(mock_clock, STOP_ANSWER_S)
        assert await stream.receive_some() == b""
        await tunnel.dispatcher.wait_quiet()


async def test_an_app_that_answers_the_close_with_a_reset_takes_nothing_from_the_visitor(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_websocket() as (tunnel, stream, app):
        Stopped(tunnel, nursery)
        await app.exactly(8)
        app.reset()
        await wait_all_tasks_blocked(0.01)
        assert await stream.receive_some() == close_frame(1001)
        await stream.send_all(CLOSE)
        await later(mock_clock, STOP_ANSWER_S)
        assert await stream.receive_some() == b""


async def test_a_session_that_is_lost_during_the_stop_changes_nothing_for_the_app(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_websocket() as (tunnel, _, app):
        Stopped(tunnel, nursery)
        await app.exactly(8)
        tunnel.client.close("lost")
        await later(mock_clock, STOP_ANSWER_S)
        assert await app.rest() == b""  # and no second Close
        await tunnel.dispatcher.wait_quiet()


async def test_a_session_that_ends_as_the_stop_begins_leaves_the_app_its_close(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with a_websocket() as (tunnel, _, app):
        (replay,) = tunnel.dispatcher.stopping._busy
        replay.stop(Verdict.CLOSE)
        tunnel.client.close("lost")  # before any of its tasks has its turn
        assert unmasked(await app.exactly(8)) == (1001).to_bytes(2, "big")
        await app.send(close_frame(1001))
        await later(mock_clock, STOP_ANSWER_S)
        await tunnel.dispatcher.wait_quiet()
        assert tunnel.told.requests()[0][3] is None


async def test_a_websocket_that_is_ended_at_once_does_not_count_as_cut_off(
    nursery: trio.Nursery,
) -> None:
    async with a_websocket() as (tunnel, stream, app):
        stopping = tunnel.dispatcher.stopping
        await stopping.cut_all()
        assert (await broken(stream))[1] == "cancelled"
        assert await app.is_reset()
        await tunnel.dispatcher.wait_quiet()
        assert stopping.cut_off == 0


# --- other upgrades ------------------------------------------------------------------------------


async def test_any_other_upgrade_is_reset_both_ways_after_half_a_second(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    async with an_upgrade() as (tunnel, stream, app):
        stopped = Stopped(tunnel, nursery)
        await later(mock_clock, 2 * LOOK_EVERY_S)
        assert stopped.told == []
        await later(mock_clock, STOP_ANSWER_S - 2 * LOOK_EVERY_S - 0.01)
        await app.send(b"what is still on its way")
        assert await stream.receive_some() == b"what is still on its way"
        await later(mock_clock, LOOK_EVERY_S + 0.01)
        with pytest.raises(StreamReset):
            await stream.receive_some()
        assert await app.is_reset()
        await tunnel.dispatcher.wait_quiet()
        assert stopped.stopping.cut_off == 1
        assert tunnel.told.requests()[0][3] == STOPPED
