"""What a stop of the server does with each kind of exchange, and how soon."""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.peer_progress import PeerProgress
from protocol.drivers.sockets import socket_below
from protocol.drivers.stream import TunnelStream
from protocol.errors import SessionClosed, StreamReset, StreamStopped
from protocol.http.stopping import (
    CLOSED_S,
    FILLING_S,
    STILL_S,
    STOP_ANSWER_S,
    STUCK_S,
    TAKEN_S,
    WINDOW_STEP_BYTES,
)
from protocol.http.websocket import close_frame
from protocol.mux.messages import Head
from tests.clocks import elapsed_s
from tests.edge_fakes import FakeClient, Visitor, World, get, head, open_world, tunnel_error
from tests.tunnel_server.visitors import test_any_upgrade as any_upgrade
from tests.upgrade_peers import MASK, frame, masked, switched
from tunnel_server.visitors import connection as connection_module
from tunnel_server.visitors.connection import SETTLE_S, STOP_SETTLE_S, Connection
from tunnel_server.visitors.draining import IDLE_CHECK_EVERY_S, drain
from tunnel_server.visitors.lingering import LINGER_S, STOP_LINGER_S
from tunnel_server.visitors.stopping import InProgress, Stop

SOON_S = 3 * IDLE_CHECK_EVERY_S
EVENTS = head(200, b"OK", b"Content-Type: text/event-stream", body="chunked")
PAGE = head(200, b"OK", b"Content-Type: text/html", body="chunked")
POST = get().replace(b"GET", b"POST")


class Answer:
    """An app that sends a head and some of a body, and goes on when the test says so."""

    def __init__(
        self, said: Head | None, *pieces: bytes, pause_s: float = 0.0, ends: bool = False
    ) -> None:
        self.go = trio.Event()
        self.gone = trio.Event()
        self._said = said
        self._pieces = pieces
        self._pause_s = pause_s
        self._ends = ends

    async def __call__(self, stream: TunnelStream) -> None:
        stream.on_stopped = self.gone.set
        try:
            if self._said is not None:
                await stream.send_head(self._said)
            for piece in self._pieces:
                await stream.send_all(piece)
                await trio.sleep(self._pause_s)
            if self._ends:
                stream.send_eof()
            await self.go.wait()
        except (StreamStopped, StreamReset, SessionClosed):
            pass


class Stopped:
    """A stop that runs, and what it told."""

    def __init__(self, world: World, *, replaced: bool = False) -> None:
        self.told: list[tuple[int, InProgress | None]] = []
        self.over = trio.Event()
        self.began = elapsed_s()
        self.stop = Stop(replaced=replaced, tell=lambda *told: self.told.append(told))
        world.tasks.start_soon(self._run, world)

    async def _run(self, world: World) -> None:
        await drain(world.edge, stop=self.stop)
        self.over.set()

    async def took_s(self) -> float:
        await self.over.wait()
        return elapsed_s() - self.began


async def begun(
    world: World, app: Callable[[TunnelStream], Awaitable[None]], request: bytes = get()
) -> tuple[Visitor, FakeClient]:
    client = await world.client(app)
    visitor = world.visit()
    await visitor.send(request)
    await wait_all_tasks_blocked()
    return visitor, client


# --- what has not been answered ------------------------------------------------------------------


async def test_a_long_poll_is_refused_and_may_be_asked_again(
    world: World, autojump_clock: MockClock
) -> None:
    app = Answer(None)
    visitor, _ = await begun(world, app)
    await trio.sleep(STILL_S)
    stopped = Stopped(world)
    raw = await visitor.rest()
    assert tunnel_error(raw) == (503, "draining")
    assert b"\r\nRetry-After: 5\r\n" in raw
    assert b"\r\nConnection: close\r\n" in raw
    await app.gone.wait()
    await visitor.end()
    assert await stopped.took_s() < SOON_S
    assert stopped.stop.cut_off == 0
    assert stopped.told == [(0, None)]


async def test_a_request_that_has_just_begun_has_a_second(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, _ = await begun(world, Answer(None))
    stopped = Stopped(world)
    raw = await visitor.rest()
    assert tunnel_error(raw) == (503, "draining")
    assert STILL_S <= elapsed_s() - stopped.began < STILL_S + SOON_S
    await visitor.end()
    await stopped.over.wait()
    ((waiting, oldest),) = stopped.told
    assert waiting == 1
    assert oldest is not None
    assert (oldest.name, oldest.method) == ("app", b"GET")


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_poll_whose_client_is_away_may_be_asked_again(
    world: World, autojump_clock: MockClock, replaced: bool
) -> None:
    visitor, client = await begun(world, Answer(None))
    client.server.detached_at = trio.current_time()
    stopped = Stopped(world, replaced=replaced)
    assert tunnel_error(await visitor.rest()) == (503, "draining")
    await visitor.end()
    await stopped.over.wait()
    assert stopped.stop.cut_off == 0


@pytest.mark.parametrize("said", [head(200, b"OK", body=10), PAGE, EVENTS])
async def test_an_answer_whose_client_is_away_counts_as_cut_off(
    world: World, autojump_clock: MockClock, said: Head
) -> None:
    visitor, client = await begun(world, Answer(said, b"abc", ends=False))
    client.server.detached_at = trio.current_time()
    stopped = Stopped(world)
    assert not (await visitor.rest()).endswith(b"0\r\n\r\n")
    await visitor.end()
    await stopped.over.wait()
    assert stopped.stop.cut_off == 1


async def test_what_may_not_be_sent_again_is_waited_for_and_then_cut_off(
    world: World, autojump_clock: MockClock
) -> None:
    app = Answer(None)
    visitor, _ = await begun(world, app, POST)
    await trio.sleep(STILL_S)
    stopped = Stopped(world)
    assert await visitor.rest() == b""
    assert elapsed_s() - stopped.began == pytest.approx(8, abs=SOON_S)
    await stopped.over.wait()
    assert stopped.stop.cut_off == 1
    await app.gone.wait()


async def test_an_upload_that_moves_is_waited_for(world: World, autojump_clock: MockClock) -> None:
    length = b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 30\r\n\r\n"
    visitor, _ = await begun(
        world, Answer(head(200, body=2), b"ok", ends=True), length + b"1234567890"
    )
    await visitor.head()
    stopped = Stopped(world)
    await trio.sleep(3)
    assert not stopped.over.is_set()
    await visitor.send(bytes(20))
    await visitor.expect(b"ok")
    await stopped.over.wait()
    assert stopped.stop.cut_off == 0
    ((waiting, oldest),) = stopped.told
    assert waiting == 1
    assert oldest is not None
    assert (oldest.request, oldest.answer) == ((10, 30), (2, 2))


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["text/event-stream", "multipart/x-mixed-replace; boundary=x", "application/x-ndjson"]
)
async def test_an_answer_that_is_endless_by_its_type_is_cut_at_once_and_visibly(
    world: World, autojump_clock: MockClock, kind: str
) -> None:
    said = head(200, b"OK", b"Content-Type: " + kind.encode(), body="chunked")
    app = Answer(said, b"first")
    visitor, _ = await begun(world, app)
    stopped = Stopped(world)
    raw = await visitor.rest()
    assert raw.endswith(b"5\r\nfirst\r\n")  # and no last chunk
    assert await stopped.took_s() < SOON_S
    assert stopped.stop.cut_off == 1
    await app.gone.wait()


async def test_an_answer_that_only_the_end_of_the_connection_ends_is_cut_with_a_reset() -> None:
    async with open_world() as world:
        await world.client(Answer(EVENTS, b"first"))
        visitor = await world.visit_by_tcp()
        await visitor.send(get().replace(b"HTTP/1.1", b"HTTP/1.0"))
        await visitor.head()
        await visitor.expect(b"first")
        Stopped(world)
        with pytest.raises(trio.BrokenResourceError):
            await visitor.rest()


async def test_a_page_without_a_length_is_cut_once_nothing_has_moved_for_a_second(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, _ = await begun(world, Answer(PAGE, b"first"))
    stopped = Stopped(world)
    raw = await visitor.rest()
    assert raw.endswith(b"5\r\nfirst\r\n")
    assert STILL_S <= await stopped.took_s() < STILL_S + SOON_S
    assert stopped.told[0][0] == 1


async def test_a_page_that_is_made_while_it_is_sent_comes_whole(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, _ = await begun(world, Answer(PAGE, *[b"piece"] * 6, pause_s=0.5, ends=True))
    stopped = Stopped(world)
    raw = await visitor.rest()
    assert raw.count(b"piece") == 6
    assert raw.endswith(b"\r\n0\r\n\r\n")
    await visitor.end()
    assert await stopped.took_s() == pytest.approx(3 + STOP_SETTLE_S, abs=SOON_S)
    assert stopped.stop.cut_off == 0


async def test_an_answer_with_a_length_is_waited_for_also_where_the_app_pauses(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, _ = await begun(world, Answer(head(200, body=10), b"first", pause_s=6.0))
    await trio.sleep(2)
    stopped = Stopped(world)
    await trio.sleep(3.9)
    assert not stopped.over.is_set()
    await visitor.end()


async def test_a_visitor_that_has_stopped_reading_holds_up_nothing(
    autojump_clock: MockClock,
) -> None:
    async with open_world(drain_timeout_s=600.0) as world:
        await world.client(Answer(head(200, body=1 << 30), *[bytes(1 << 20)] * 9))
        visitor = world.visit(lockstep=True)
        await visitor.send(get())
        await trio.sleep(STUCK_S)
        stopped = Stopped(world)
        assert await stopped.took_s() < SOON_S
        assert stopped.stop.cut_off == 1


# --- visitors that read slowly, or no more -------------------------------------------------------

QUICK = PeerProgress(0.0, is_closed=True, taken_bytes=10 << 20, taking_s=1.0)
# 3 s for each step of its window.
SLOW = QUICK._replace(taking_s=FILLING_S + 3 * (10 << 20) / WINDOW_STEP_BYTES)


class Kernel:
    """The system, which says how a visitor takes what waits for it; quiet since it took some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, said: PeerProgress | None) -> None:
        self.said = said
        self.since = elapsed_s()
        monkeypatch.setattr(connection_module, "peer_progress", self._progress)

    def _progress(self, _: trio.abc.Stream) -> PeerProgress | None:
        return self.said and self.said._replace(quiet_s=elapsed_s() - self.since)


async def begin_large(world: World, **visit: Any) -> FakeClient:
    """A large answer with a length, of which its visitor takes nothing."""
    client = await world.client(Answer(head(200, body=1 << 30), *[bytes(1 << 20)] * 9))
    await world.visit(lockstep=True, **visit).send(get())
    await wait_all_tasks_blocked()
    return client


@pytest.mark.parametrize(
    ("said", "after_s"),
    [
        (QUICK, CLOSED_S),
        (SLOW, 3.0),
        (QUICK._replace(is_closed=False), STUCK_S),
        (None, STUCK_S),
    ],
    ids=["quick", "slow", "on a bad line", "unknown"],
)
async def test_a_visitor_that_has_just_stopped_reading_is_known_by_its_window(
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    said: PeerProgress | None,
    after_s: float,
) -> None:
    async with open_world(drain_timeout_s=600.0) as world:
        await begin_large(world)
        Kernel(monkeypatch, said)
        stopped = Stopped(world)
        assert await stopped.took_s() == pytest.approx(after_s, abs=SOON_S)
        assert stopped.stop.cut_off == 1


async def test_a_visitor_is_not_cut_off_while_it_takes_something(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(drain_timeout_s=600.0) as world:
        await begin_large(world)
        kernel = Kernel(monkeypatch, QUICK)
        stopped = Stopped(world)
        for _ in range(20):  # no write moves for all that time
            await trio.sleep(CLOSED_S - SOON_S)
            kernel.since = elapsed_s()
        assert not stopped.over.is_set()
        await stopped.over.wait()
        assert elapsed_s() - kernel.since == pytest.approx(CLOSED_S, abs=SOON_S)


@pytest.mark.parametrize("moves", [True, False])
async def test_while_the_system_takes_what_is_written_no_window_is_looked_at(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, moves: bool
) -> None:
    async with open_world(drain_timeout_s=600.0) as world:
        await begin_large(world)
        kernel = Kernel(monkeypatch, QUICK)
        kernel.since -= 10.0
        [connection] = [each for each in world.edge.connections if each.under_way]
        assert isinstance(connection, Connection)
        stopped = Stopped(world)
        for _ in range(10):
            await trio.sleep(TAKEN_S / 2)
            connection.deadlines.moved_at += TAKEN_S / 2 if moves else 0.0
        assert stopped.over.is_set() is not moves
        await stopped.over.wait()


async def test_the_window_of_a_proxy_says_nothing_of_its_visitor(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = (ip_network("127.0.0.1"),)
    async with open_world(drain_timeout_s=600.0, trusted_proxies=trusted) as world:
        await begin_large(world, address="127.0.0.1")
        Kernel(monkeypatch, QUICK)
        stopped = Stopped(world)
        assert await stopped.took_s() == pytest.approx(STUCK_S, abs=SOON_S)


async def test_what_nobody_holds_up_is_not_asked_for(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor, _ = await begun(world, Answer(head(200, body=10), b"first", pause_s=3.0))
    Kernel(monkeypatch, QUICK)
    stopped = Stopped(world)
    await trio.sleep(3 * CLOSED_S)
    assert not stopped.over.is_set()
    await visitor.end()


# --- WebSockets ----------------------------------------------------------------------------------


async def test_a_websocket_is_closed_at_once_and_may_answer(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    stopped = Stopped(world)
    await visitor.expect(close_frame(1012))
    await visitor.send(close_frame(1012, mask=MASK))
    await peer.send(close_frame(1012))
    assert await visitor.rest() == b""
    await visitor.end()
    assert await stopped.took_s() < SOON_S
    assert stopped.stop.cut_off == 0
    assert stopped.told == [(0, None)]
    assert peer.ended == "end"


async def test_a_websocket_that_does_not_answer_ends_half_a_second_later(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, _, _ = await switched(world, world.visit())
    stopped = Stopped(world)
    assert await visitor.rest() == close_frame(1012)
    assert elapsed_s() - stopped.began < STOP_ANSWER_S + SOON_S
    assert await stopped.took_s() < STOP_ANSWER_S + STOP_LINGER_S + SOON_S


async def test_a_websocket_whose_visitor_takes_nothing_is_reset_after_half_a_second(
    autojump_clock: MockClock,
) -> None:
    async with open_world() as world:
        _, peer, _ = await switched(world, world.visit(lockstep=True))
        await peer.send(frame(b"x" * 100))
        await peer.send(frame(b"y" * 100))
        await trio.sleep(1)
        stopped = Stopped(world)
        assert await stopped.took_s() < STOP_ANSWER_S + SOON_S


async def test_a_websocket_whose_app_has_ended_before_is_not_waited_for(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    peer.end()
    assert await visitor.rest() == b""
    await visitor.send(masked(b"still here"))
    stopped = Stopped(world)
    assert await stopped.took_s() < STOP_ANSWER_S + SOON_S


# --- other upgrades ------------------------------------------------------------------------------


async def test_any_other_upgrade_is_reset_both_ways_after_half_a_second() -> None:
    async with open_world() as world:
        visitor, peer, _ = await any_upgrade.switched(world, await world.visit_by_tcp())
        stopped = Stopped(world)
        with pytest.raises(trio.BrokenResourceError):
            await visitor.rest()
        assert elapsed_s() - stopped.began >= STOP_ANSWER_S
        peer.reads.set()
        await peer.over.wait()
        assert peer.ended == "visitor-gone"
        await stopped.over.wait()
        assert stopped.stop.cut_off == 1
        assert stopped.told == [(0, None)]


async def test_an_upgrade_whose_app_has_ended_is_reset_like_any_other() -> None:
    async with open_world() as world:
        visitor, peer, _ = await any_upgrade.switched(world, await world.visit_by_tcp())
        peer.there.send_eof()
        assert await visitor.rest() == b""
        await visitor.send(any_upgrade.TO_APP)
        await wait_all_tasks_blocked(0.01)
        [connection] = world.edge.connections
        assert connection.busy
        stopped = Stopped(world)
        await visitor.done.wait()
        assert elapsed_s() - stopped.began >= STOP_ANSWER_S
        below = socket_below(visitor.stream)
        assert below is not None
        # So Linux tells of a reset behind an end.
        assert below.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EPIPE
        await peer.over.wait()
        assert peer.ended == "visitor-gone"
        await stopped.over.wait()
        assert stopped.stop.cut_off == 1


async def test_where_the_server_is_replaced_it_goes_on_to_the_deadline(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, _ = await any_upgrade.switched(world, world.visit())
    peer.there.send_eof()
    assert await visitor.rest() == b""
    await trio.sleep(SETTLE_S)
    stopped = Stopped(world, replaced=True)
    await trio.sleep(7)
    await visitor.send(any_upgrade.TO_APP)
    await wait_all_tasks_blocked()
    assert peer.received == any_upgrade.TO_APP
    await visitor.done.wait()
    assert elapsed_s() - stopped.began == pytest.approx(8, abs=SOON_S)
    assert stopped.stop.cut_off == 1


async def test_an_upgrade_of_which_the_app_takes_no_more_either_is_not_waited_for(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, _ = await any_upgrade.switched(world, world.visit())
    peer.there.send_eof()
    peer.there.stop_sending("no-error")
    assert await visitor.rest() == b""
    await trio.sleep(SETTLE_S)
    stopped = Stopped(world)
    assert await stopped.took_s() < STOP_LINGER_S + SOON_S
    assert stopped.stop.cut_off == 0


# --- all together --------------------------------------------------------------------------------


async def test_hundreds_of_event_streams_end_in_portions(
    world: World, autojump_clock: MockClock
) -> None:
    await world.client(Answer(EVENTS, b"first"))
    visitors = [world.visit() for _ in range(300)]
    for visitor in visitors:
        await visitor.send(get())
    await wait_all_tasks_blocked()
    stopped = Stopped(world)
    for visitor in visitors:
        assert (await visitor.rest()).endswith(b"first\r\n")
    assert await stopped.took_s() < SOON_S
    assert stopped.stop.cut_off == 300


async def test_a_server_that_is_replaced_ends_nothing_before_its_deadline(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, _ = await begun(world, Answer(EVENTS, b"first"))
    poll = world.visit()
    await poll.send(get())
    stopped = Stopped(world, replaced=True)
    await trio.sleep(7.9)
    assert not stopped.over.is_set()
    assert (await visitor.rest()).endswith(b"first\r\n")
    assert elapsed_s() - stopped.began == pytest.approx(8, abs=SOON_S)
    await stopped.over.wait()
    assert stopped.told[0][0] == 2
    assert stopped.stop.cut_off == 2


async def test_a_visitor_that_does_not_close_is_lingered_for_a_shorter_while(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, _ = await begun(world, Answer(None))
    await trio.sleep(max(STILL_S, SETTLE_S))
    stopped = Stopped(world)
    assert tunnel_error(await visitor.rest()) == (503, "draining")
    assert await stopped.took_s() < STOP_LINGER_S + SOON_S < LINGER_S
