"""The ends of a WebSocket that the server makes."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from protocol.drivers.upgrade_leg import CLOSE_ANSWER_S
from protocol.errors import StreamStopped
from protocol.http.websocket import close_frame
from protocol.limits import FIRST_CREDIT_BYTES, STREAM_UNSENT_MAX_BYTES
from tests.edge_fakes import Visitor, World, get, open_world
from tests.upgrade_peers import (
    MASK,
    SWITCH,
    SWITCHED,
    UPGRADE,
    Peer,
    frame,
    masked,
    restart,
    switched,
)

# --- ends that are ours: the session is lost -----------------------------------------------------


async def test_when_the_session_is_lost_the_visitor_is_told_1014(world: World) -> None:
    visitor, peer, client = await switched(world, world.visit())
    await peer.send(frame(b"x"))
    await visitor.expect(frame(b"x"))
    client.session.close("gone")
    await visitor.expect(close_frame(1014))
    await visitor.nothing_comes()  # its answer is awaited first
    await visitor.send(masked(b"late"))
    await visitor.nothing_comes()
    await visitor.send(close_frame(1014, mask=MASK))
    assert await visitor.rest() == b""
    await visitor.end()
    await visitor.done.wait()


async def test_the_answer_to_our_close_is_awaited_also_of_who_was_not_heard_any_more(
    world: World,
) -> None:
    visitor, peer, client = await switched(world, world.visit())
    peer.stop()
    await wait_all_tasks_blocked()
    await visitor.send(masked(b"x"))
    await wait_all_tasks_blocked()
    client.session.close("gone")
    await visitor.expect(close_frame(1014))
    await visitor.nothing_comes()
    await visitor.send(close_frame(1014, mask=MASK))
    assert await visitor.rest() == b""


async def test_who_does_not_answer_a_close_of_ours_gets_fin_after_2_s(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, _, client = await switched(world, world.visit())
    client.session.close("gone")
    await visitor.expect(close_frame(1014))
    began = trio.current_time()
    assert await visitor.rest() == b""
    assert 2 <= trio.current_time() - began <= 4
    await visitor.done.wait()


async def test_a_visitor_who_only_leaves_after_a_close_of_ours_is_let_go(world: World) -> None:
    visitor, _, client = await switched(world, world.visit())
    client.session.close("gone")
    await visitor.expect(close_frame(1014))
    await visitor.end()
    assert await visitor.rest() == b""
    await visitor.done.wait()


async def test_in_the_middle_of_a_frame_a_lost_session_is_a_reset() -> None:
    async with open_world() as world:
        visitor, peer, client = await switched(world, await world.visit_by_tcp())
        await peer.send(frame(b"abc")[:-1])
        await visitor.expect(frame(b"abc")[:-1])
        client.session.close("gone")
        with pytest.raises(trio.BrokenResourceError):
            await visitor.rest()
        await visitor.done.wait()


async def test_behind_an_illegal_header_a_lost_session_is_a_reset() -> None:
    async with open_world() as world:
        visitor, peer, client = await switched(world, await world.visit_by_tcp())
        await peer.send(b"\x83\x00")
        await visitor.expect(b"\x83\x00")
        client.session.close("gone")
        with pytest.raises(trio.BrokenResourceError):
            await visitor.rest()


async def test_a_held_part_of_a_control_frame_does_not_stand_before_our_close(
    world: World,
) -> None:
    visitor, peer, client = await switched(world, world.visit())
    await peer.send(frame(b"ping", 0x89)[:-1])
    await wait_all_tasks_blocked()
    client.session.close("gone")
    await visitor.expect(close_frame(1014))


async def test_no_second_close_follows_the_apps(world: World, autojump_clock: MockClock) -> None:
    visitor, peer, client = await switched(world, world.visit())
    await peer.send(close_frame(1000))
    await visitor.expect(close_frame(1000))
    client.session.close("gone")
    await wait_all_tasks_blocked()
    await visitor.send(close_frame(1000, mask=MASK))
    assert await visitor.rest() == b""
    await visitor.end()
    await visitor.done.wait()


# --- ends that are ours: the server stops --------------------------------------------------------


async def test_a_stop_says_1012_both_ways_and_waits_for_both_answers(world: World) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    restart(world)
    await visitor.expect(close_frame(1012))
    await wait_all_tasks_blocked()
    assert peer.received[:2] == b"\x88\x82"
    key, payload = peer.received[2:6], peer.received[6:]
    assert bytes(a ^ b for a, b in zip(payload, key, strict=False)) == (1012).to_bytes(2, "big")
    await visitor.send(masked(b"late") + close_frame(1012, mask=MASK))
    await visitor.nothing_comes()
    assert peer.ended is None
    await peer.send(frame(b"late") + close_frame(1012))
    assert await visitor.rest() == b""
    await visitor.end()
    await visitor.done.wait()
    await wait_all_tasks_blocked()
    assert len(peer.received) == 8  # nothing went behind our Close
    assert peer.ended == "end"


async def test_a_stop_waits_2_s_for_the_answers(world: World, autojump_clock: MockClock) -> None:
    visitor, peer, client = await switched(world, world.visit())
    began = trio.current_time()
    restart(world)
    assert await visitor.rest() == close_frame(1012)
    assert 2 <= trio.current_time() - began <= 4
    await visitor.end()
    await visitor.done.wait()
    await client.stopped[0].wait()
    assert peer.ended == "end"
    peer.there.cancel("cancelled")
    await world.nothing_is_left()


async def test_a_stop_ends_by_close_only_what_is_between_two_frames() -> None:
    async with open_world() as world:
        visitor, peer, _ = await switched(world, await world.visit_by_tcp())
        await visitor.send(masked(b"abc")[:-1])
        await wait_all_tasks_blocked(0.01)
        restart(world)
        await visitor.expect(close_frame(1012))
        await wait_all_tasks_blocked(0.01)
        assert (peer.received, peer.ended) == (masked(b"abc")[:-1], "truncated")


async def test_a_stop_in_the_middle_of_a_frame_to_the_visitor_is_a_reset() -> None:
    async with open_world() as world:
        visitor, peer, _ = await switched(world, await world.visit_by_tcp())
        await peer.send(frame(b"abc")[:-1])
        await visitor.expect(frame(b"abc")[:-1])
        restart(world)
        with pytest.raises(trio.BrokenResourceError):
            await visitor.rest()
        await visitor.done.wait()
        await wait_all_tasks_blocked(0.01)
        assert peer.ended == "visitor-gone"


async def test_a_stop_sends_no_close_where_one_has_passed(world: World) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    await visitor.send(close_frame(1000, mask=MASK))
    await wait_all_tasks_blocked()
    restart(world)
    await visitor.expect(close_frame(1012))
    await wait_all_tasks_blocked()
    assert peer.received == close_frame(1000, mask=MASK)
    await peer.send(close_frame(1000))
    assert await visitor.rest() == b""
    await wait_all_tasks_blocked()
    assert (peer.received, peer.ended) == (close_frame(1000, mask=MASK), "end")


async def test_a_stop_lets_what_is_being_sent_to_the_visitor_go_first(world: World) -> None:
    visitor, peer, _ = await switched(world, world.visit(lockstep=True))
    await peer.send(frame(b"abc"))
    await wait_all_tasks_blocked()
    restart(world)
    await wait_all_tasks_blocked()
    await visitor.expect(frame(b"abc") + close_frame(1012))


async def test_a_stop_in_the_instant_in_which_a_frame_arrives_is_a_close_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor, peer, _ = await switched(world, world.visit(lockstep=True))
    wake = TunnelStream.wake_reader

    def wake_and_stop(stream: TunnelStream) -> None:
        monkeypatch.undo()
        wake(stream)
        restart(world)

    await peer.send(frame(b"abc"))
    monkeypatch.setattr(TunnelStream, "wake_reader", wake_and_stop)
    await visitor.expect(close_frame(1012))


async def test_a_stop_of_a_visitor_who_does_not_read_is_a_reset_in_the_end(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, _, client = await switched(world, world.visit(lockstep=True))
    restart(world)
    began = trio.current_time()
    await visitor.done.wait()
    assert trio.current_time() - began == 2
    await client.stopped[0].wait()


async def test_only_a_websocket_is_closed_by_a_close(world: World) -> None:
    async def never(stream: TunnelStream) -> None:
        await trio.sleep_forever()

    await world.client(never)
    idle, busy = world.visit(), world.visit()
    await busy.send(get())
    await wait_all_tasks_blocked()
    for connection in tuple(world.edge.connections):
        assert not connection.close_upgrade(1012)
    await idle.nothing_comes()
    await busy.nothing_comes()


# --- whoever leaves, whenever --------------------------------------------------------------------

Step = Callable[[Visitor, Peer], Awaitable[None]]


async def nothing(_: Visitor, __: Peer) -> None:
    pass


async def app_ends(_: Visitor, peer: Peer) -> None:
    peer.end()


async def app_closes(_: Visitor, peer: Peer) -> None:
    await peer.send(close_frame(1000))


async def app_stops(_: Visitor, peer: Peer) -> None:
    peer.stop()


async def visitor_ends(visitor: Visitor, _: Peer) -> None:
    await visitor.end()


@pytest.mark.parametrize("before", [nothing, app_ends, app_closes, app_stops, visitor_ends])
@pytest.mark.parametrize("end", ["reset", "lost", "both"])
async def test_no_task_or_stream_is_left_over(before: Step, end: str) -> None:
    async with open_world() as world:
        visitor, peer, client = await switched(world, await world.visit_by_tcp())
        await before(visitor, peer)
        await wait_all_tasks_blocked(0.01)
        if end != "lost":
            await visitor.reset()
        if end != "reset":
            client.session.close("gone")
        await wait_all_tasks_blocked(0.01)
        if end == "lost":
            await visitor.reset()
        if before is visitor_ends and end == "reset":
            with contextlib.suppress(StreamStopped):  # nobody reads: a write finds out
                while True:
                    await peer.send(frame(b"x"))
                    await wait_all_tasks_blocked(0.01)
        await visitor.done.wait()
        await world.nothing_is_left()


@pytest.mark.parametrize("code", [1012, 1014])
async def test_under_tls_frames_and_an_end_behind_our_close_disturb_nothing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    async with open_world() as world:
        visitor, peer, client = await switched(world, await world.visit_by_tls())
        if code == 1014:
            client.session.close("gone")
        else:
            restart(world)
        await visitor.expect(close_frame(code))
        await trio.sleep(CLOSE_ANSWER_S)  # the app has not answered its own
        await visitor.send(masked(b"late"))
        await wait_all_tasks_blocked()
        assert isinstance(visitor.stream, trio.SSLStream)
        await visitor.stream.transport_stream.aclose()
        await visitor.done.wait()
    assert peer.ended is not None
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_under_tls_an_end_of_the_apps_cuts_off_nothing_that_is_on_its_way() -> None:
    takes = trio.Event()
    streams = []

    async def app(stream: TunnelStream) -> None:
        streams.append(stream)
        await stream.send_head(SWITCH)
        await takes.wait()
        while await stream.receive_some():
            pass

    # As much as the tunnel takes without the app: what is on its way, and what waits to go.
    size_bytes = FIRST_CREDIT_BYTES + STREAM_UNSENT_MAX_BYTES
    whole = b"\x82\xff" + (size_bytes - 14).to_bytes(8, "big") + MASK + bytes(size_bytes - 14)
    async with open_world() as world:
        await world.client(app)
        visitor = await world.visit_by_tls()
        await visitor.send(UPGRADE)
        await visitor.expect(SWITCHED)
        await visitor.send(whole + b"\x82")
        await wait_all_tasks_blocked()
        assert isinstance(visitor.stream, trio.SSLStream)
        await visitor.stream.transport_stream.aclose()
        await wait_all_tasks_blocked()
        streams[0].send_eof()  # half a frame of the visitor waits for room just now
        await wait_all_tasks_blocked()
        assert not visitor.done.is_set()
        takes.set()
        await visitor.done.wait()
