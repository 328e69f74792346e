"""An upgrade to anything but WebSocket, through the edge: the test is the app."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from protocol.errors import SessionClosed, StreamReset, StreamStopped
from protocol.http.upgrades import MEMBERS_MAX
from protocol.limits import STREAM_UNSENT_MAX_BYTES
from protocol.mux.messages import Head
from tests.edge_fakes import (
    FakeClient,
    Visitor,
    World,
    answer,
    get,
    head,
    hello,
    open_world,
    tunnel_error,
)
from tests.upgrade_peers import restart
from tunnel_server.visitors.read_ahead import READ_AHEAD_MAX_BYTES

BODY = b'{"Detach":false,"Tty":false}\n'
OPTIONS = b"Connection: Upgrade", b"Upgrade: tcp"
SWITCH = head(101, b"UPGRADED", b"Content-Type: application/x", body=None)._replace(upgrade=b"tcp")
SWITCHED = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/x\r\n"
    b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
)
# No frames, whatever they look like.
TO_APP, TO_VISITOR = b"\x88\x80\0\0\0\0\x89", b"\x89\x02hi\x88\xff"


def asking(*lines: bytes, method: bytes = b"POST", body: bytes = BODY) -> bytes:
    length = (b"Content-Length: %d" % len(body),) * bool(body)
    return get(b"/exec/1/start", *length, *(lines or OPTIONS)).replace(b"GET", method) + body


class Peer:
    """An app that reads the body, switches and reads on.

    Attributes:
        ended: how the visitor's direction ended.
    """

    def __init__(self, said: Head = SWITCH, behind: bytes = b"") -> None:
        self.stream: TunnelStream | None = None
        self.body = self.received = b""
        self.ended: str | None = None
        self.over = trio.Event()
        self.reads = trio.Event()
        self.reads.set()
        self.stops = False
        self._said = said
        self._behind = behind

    async def __call__(self, stream: TunnelStream) -> None:
        self.stream = stream
        while data := await stream.receive_some():
            self.body += data
        await stream.send_head(self._said)
        if self._behind:
            await stream.send_all(self._behind)
        try:
            await self.reads.wait()
            while data := await stream.receive_some():
                self.received += data
            self.ended = "end"
        except (StreamReset, SessionClosed) as error:
            self.ended = getattr(error, "code", "lost")
            if not self.stops:
                stream.cancel("cancelled")
        self.over.set()

    @property
    def there(self) -> TunnelStream:
        assert self.stream is not None
        return self.stream

    def stop(self, code: str) -> None:
        """Take no more."""
        self.stops = True
        self.there.stop_sending(code)


async def switched(
    world: World, visitor: Visitor, peer: Peer | None = None
) -> tuple[Visitor, Peer, FakeClient]:
    peer = peer or Peer()
    client = await world.client(peer)
    await visitor.send(asking())
    await visitor.expect(SWITCHED)
    await wait_all_tasks_blocked()
    return visitor, peer, client


# --- what is asked -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD", b"what-ever"])
@pytest.mark.parametrize("body", [b"", BODY])
async def test_any_method_asks_with_a_body_or_without(
    world: World, method: bytes, body: bytes
) -> None:
    peer = Peer()
    await world.client(peer)
    visitor = world.visit()
    await visitor.send(asking(method=method, body=body))
    await visitor.expect(SWITCHED)
    opened = peer.there.opened
    assert (opened.kind, opened.method, opened.upgrade) == ("upgrade", method, b"tcp")
    assert not {b"Connection", b"Upgrade"} & {name for name, _ in opened.fields}
    assert peer.body == body
    await visitor.send(TO_APP)
    await peer.there.send_all(TO_VISITOR)
    await visitor.expect(TO_VISITOR)
    await wait_all_tasks_blocked()
    assert peer.received == TO_APP


async def test_chunks_and_trailers_end_before_the_other_protocol_begins(world: World) -> None:
    peer = Peer()
    await world.client(peer)
    visitor = world.visit()
    chunks = b"5\r\nfirst\r\n0\r\nX-Sum: 1\r\n\r\n"
    await visitor.send(asking(*OPTIONS, b"Transfer-Encoding: chunked", body=b"") + chunks + TO_APP)
    await visitor.expect(SWITCHED)
    await wait_all_tasks_blocked()
    assert (peer.body, peer.received) == (b"first", TO_APP)
    assert peer.there.trailers == ((b"X-Sum", b"1"),)


@pytest.mark.parametrize("listed", [b"Upgrade, HTTP2-Settings", b"Upgrade"])
async def test_what_is_http_or_tls_is_taken_out(world: World, listed: bytes) -> None:
    lines = (
        b"Connection: " + listed,
        b"HTTP2-Settings: AAMAAABkAAQAAP__",
        b"Upgrade: H2C, SPDY/3.1",
        b"Upgrade: TLS/1.2,HTTP/2.0,tcp",
    )
    client = await world.client(Peer())
    visitor = world.visit()
    await visitor.send(asking(*lines))
    await visitor.expect(SWITCHED)
    opened = client.streams[0].opened
    assert opened.upgrade == b"SPDY/3.1, tcp"
    assert b"http2-settings" not in [name.lower() for name, _ in opened.fields]


@pytest.mark.parametrize(
    "lines",
    [
        (b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: x", b"Upgrade: h2c"),
        (b"Connection: Upgrade", b"Upgrade: TLS/1.0, HTTP/2.0"),
        (b"Connection: Upgrade", b"Upgrade: h2c-14, H2-14, h2"),
        (b"Connection: Upgrade", b"Upgrade: tcp" + b"," * MEMBERS_MAX),
        (b"Connection: Upgrade", b"Upgrade: websocket"),
        (b"Connection: keep-alive", b"Upgrade: tcp"),
        (b"Connection: Upgrade",),
    ],
)
async def test_where_nothing_is_left_it_is_a_plain_request(
    world: World, lines: tuple[bytes, ...]
) -> None:
    client = await world.client(hello)
    visitor = world.visit()
    await visitor.send(asking(*lines))
    assert (await visitor.head()).startswith(b"HTTP/1.1 200 ")
    assert client.streams[0].opened.kind == "http"


@pytest.mark.parametrize(("version", "features"), [(1, ("upgrade",)), (2, ()), (2, ("later",))])
async def test_a_client_that_does_not_serve_it_gets_a_plain_request(
    world: World, version: int, features: tuple[str, ...]
) -> None:
    client = await world.client(hello, version=version, features=features)
    visitor = world.visit()
    for body in (BODY, b""):
        await visitor.send(asking(body=body))
        assert (await visitor.head()).startswith(b"HTTP/1.1 200 ")
        await visitor.expect(b"hello")
    assert [stream.opened.kind for stream in client.streams] == ["http", "http"]
    assert not any(stream.opened.upgrade for stream in client.streams)


# --- what is held --------------------------------------------------------------------------------


async def test_what_came_behind_the_body_is_held_until_the_101(world: World) -> None:
    go, peer = trio.Event(), Peer()

    async def app(stream: TunnelStream) -> None:
        await go.wait()
        await peer(stream)

    await world.client(app)
    visitor = world.visit()
    await visitor.send(asking() + TO_APP)
    await visitor.send(get(b"/no-request"))
    await wait_all_tasks_blocked()
    go.set()
    await visitor.expect(SWITCHED)
    await wait_all_tasks_blocked()
    assert (peer.body, peer.received) == (BODY, TO_APP + get(b"/no-request"))


async def test_no_more_is_held_than_is_read_ahead_and_all_of_it_crosses(world: World) -> None:
    go, peer = trio.Event(), Peer()

    async def app(stream: TunnelStream) -> None:
        await go.wait()
        await peer(stream)

    await world.client(app)
    visitor = world.visit()
    await visitor.send(asking() + bytes(READ_AHEAD_MAX_BYTES + 1))
    await wait_all_tasks_blocked()
    go.set()
    await visitor.expect(SWITCHED)
    await wait_all_tasks_blocked()
    assert len(peer.received) == READ_AHEAD_MAX_BYTES + 1


@pytest.mark.parametrize("status", [200, 404, 426, 501])
async def test_behind_any_other_answer_comes_the_next_request(world: World, status: int) -> None:
    async def app(stream: TunnelStream) -> None:
        while await stream.receive_some():
            pass
        await answer(stream, head(status, body=2), b"no")

    client = await world.client(app)
    visitor = world.visit()
    await visitor.send(asking() + asking(body=b"") + get(b"/next"))
    for _ in range(3):
        raw = await visitor.head()
        assert raw.startswith(b"HTTP/1.1 %d " % status)
        assert b"Connection" not in raw
        await visitor.expect(b"no")
    kinds = [(stream.opened.kind, stream.opened.target) for stream in client.streams]
    assert kinds[1:] == [("upgrade", b"/exec/1/start"), ("http", b"/next")]
    await visitor.end()
    await visitor.done.wait()
    await world.nothing_is_left()


async def test_an_answer_before_the_end_of_the_body_lets_that_go_on(world: World) -> None:
    bodies = []

    async def app(stream: TunnelStream) -> None:
        await stream.send_head(head(200, body=2))
        await stream.send_all(b"ok")
        stream.send_eof()
        body = b""
        while data := await stream.receive_some():
            body += data
        bodies.append(body)

    await world.client(app)
    visitor = world.visit()
    raw = asking()
    await visitor.send(raw[:-5])
    await visitor.expect(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await visitor.send(raw[-5:] + get(b"/next"))
    await visitor.expect(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await wait_all_tasks_blocked()
    assert sorted(bodies) == [b"", BODY]


async def test_an_answer_of_ours_closes_nothing_that_is_whole(world: World) -> None:
    visitor = world.visit()
    await visitor.send(asking(body=b"") + get(b"/next"))
    for _ in range(2):
        raw = await visitor.head()
        assert tunnel_error(raw) == (404, "tunnel-not-found")
        await visitor.receive(int(raw.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))


# --- the answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        SWITCH._replace(upgrade=b""),
        SWITCH._replace(upgrade=b"udp"),
        SWITCH._replace(upgrade=b"tcp/1"),
        SWITCH._replace(upgrade=b"tcp, udp"),
        SWITCH._replace(upgrade=b"websocket"),
        SWITCH._replace(upgrade=b"tcp\r\nX: y"),
        SWITCH._replace(body=0),
        SWITCH._replace(body="chunked"),
        SWITCH._replace(fields=((b"Content-Length", b"0"),)),
        SWITCH._replace(fields=((b"Transfer-Encoding", b"chunked"),)),
        SWITCH._replace(fields=((b"Upgrade", b"tcp"),)),
    ],
)
async def test_a_101_that_does_not_answer_what_was_asked_is_a_502(world: World, said: Head) -> None:
    client = await world.client(Peer(said))
    visitor = world.visit()
    await visitor.send(asking())
    assert tunnel_error(await visitor.head()) == (502, "origin-protocol-error")
    await client.stopped[0].wait()


async def test_a_101_names_one_of_several_as_the_app_spells_it(world: World) -> None:
    await world.client(Peer(SWITCH._replace(upgrade=b"TCP", fields=())))
    visitor = world.visit()
    await visitor.send(asking(OPTIONS[0], b"Upgrade: spdy/3.1, tcp"))
    await visitor.expect(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: TCP\r\n\r\n")


async def test_a_101_that_crosses_the_end_of_a_broken_request_switches_nothing(
    world: World,
) -> None:
    async def app(stream: TunnelStream) -> None:
        assert await stream.receive_some() == BODY[:-5]
        with pytest.raises(StreamReset):
            await stream.receive_some()
        await stream.send_head(SWITCH)
        await trio.sleep_forever()

    await world.client(app)
    visitor = world.visit()
    await visitor.send(asking()[:-5])
    await visitor.end()
    assert tunnel_error(await visitor.head()) == (400, "bad-request")


# --- ends ----------------------------------------------------------------------------------------


async def test_an_end_of_the_visitor_is_fin_and_the_other_direction_goes_on(world: World) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    await visitor.send(TO_APP)
    await visitor.end()
    await wait_all_tasks_blocked()
    assert (peer.received, peer.ended) == (TO_APP, "end")
    await peer.there.send_all(TO_VISITOR)
    peer.there.send_eof()
    assert await visitor.rest() == TO_VISITOR
    await visitor.done.wait()
    await world.nothing_is_left()


async def test_an_end_of_the_app_is_fin_and_the_other_direction_goes_on(world: World) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    peer.there.send_eof()
    assert await visitor.rest() == b""
    await visitor.send(TO_APP)
    await visitor.end()
    await visitor.done.wait()
    await wait_all_tasks_blocked()
    assert (peer.received, peer.ended) == (TO_APP, "end")
    await world.nothing_is_left()


@pytest.mark.parametrize("ends_first", ["app", "visitor"])
async def test_half_closed_it_ends_after_60_s_without_a_byte(
    world: World, autojump_clock: MockClock, ends_first: str
) -> None:
    visitor, peer, client = await switched(world, world.visit())
    if ends_first == "app":
        peer.there.send_eof()
    else:
        await visitor.end()
    for _ in range(3):
        await trio.sleep(59)
        if ends_first == "app":
            await visitor.send(TO_APP)
        else:
            await peer.there.send_all(TO_VISITOR)
    began = trio.current_time()
    await (client.stopped[0] if ends_first == "visitor" else visitor.done).wait()
    assert 60 <= trio.current_time() - began <= 64
    await visitor.done.wait()
    await world.nothing_is_left()


async def test_resets_cross_both_ways() -> None:
    async with open_world() as world:
        visitor, peer, client = await switched(world, await world.visit_by_tcp())
        await visitor.reset()
        await client.stopped[0].wait()
        await visitor.done.wait()
        assert peer.ended == "visitor-gone"
        await world.nothing_is_left()
    async with open_world() as world:
        visitor, peer, _ = await switched(world, await world.visit_by_tcp())
        peer.there.cancel("truncated")
        with pytest.raises(trio.BrokenResourceError):
            await visitor.rest()
        await visitor.done.wait()
        await world.nothing_is_left()


async def test_an_app_that_has_ended_and_takes_no_more_cuts_its_visitor_off() -> None:
    async with open_world() as world:
        visitor, peer, _ = await switched(world, await world.visit_by_tcp())
        await peer.there.send_all(TO_VISITOR)
        peer.there.send_eof()
        assert await visitor.rest() == TO_VISITOR
        peer.stop("truncated")
        await visitor.done.wait()
        assert visitor.met_a_reset()
        await world.nothing_is_left()


@pytest.mark.parametrize("code", ["truncated", "no-error"])
async def test_so_does_one_that_took_no_more_before(code: str) -> None:
    async with open_world() as world:
        visitor, peer, _ = await switched(world, await world.visit_by_tcp())
        peer.stop(code)
        await wait_all_tasks_blocked()
        await peer.there.send_all(TO_VISITOR)
        await visitor.expect(TO_VISITOR)
        peer.there.send_eof()
        if code == "no-error":  # it had no more to take
            assert await visitor.rest() == b""
            await visitor.end()
        else:
            with pytest.raises(trio.BrokenResourceError):
                await visitor.rest()
        await visitor.done.wait()
        await world.nothing_is_left()


async def test_what_comes_behind_the_end_of_both_is_cut_off() -> None:
    async with open_world() as world:
        visitor, peer, _ = await switched(world, await world.visit_by_tcp())
        peer.there.send_eof()
        assert await visitor.rest() == b""
        peer.stop("no-error")
        await wait_all_tasks_blocked()
        await visitor.send(TO_APP)
        await visitor.done.wait()
        assert visitor.met_a_reset()
        await world.nothing_is_left()


async def test_nothing_is_pinged_and_nothing_has_a_limit(
    world: World, autojump_clock: MockClock
) -> None:
    peer = Peer()
    await world.client(peer, options={"ws-keepalive": 10})
    visitor = world.visit()
    await visitor.send(asking())
    await visitor.expect(SWITCHED)
    await trio.sleep(3600)
    await visitor.nothing_comes()
    await visitor.send(TO_APP)
    await wait_all_tasks_blocked()
    assert peer.received == TO_APP


@pytest.mark.parametrize("busy", [False, True])
async def test_a_stop_resets_both_legs(busy: bool) -> None:
    async with open_world() as world:
        visitor, peer, client = await switched(world, await world.visit_by_tcp())
        if busy:  # with a visitor that does not read
            world.tasks.start_soon(fill, peer.there)
            await wait_all_tasks_blocked(0.01)
        restart(world)
        with pytest.raises(trio.BrokenResourceError):
            await visitor.rest()
        await visitor.done.wait()
        await client.stopped[0].wait()
        await peer.over.wait()
        assert peer.ended == "visitor-gone"
        await world.nothing_is_left()


async def fill(stream: TunnelStream) -> None:
    """More than all buffers hold."""
    with suppress(StreamStopped):
        await stream.send_all(bytes(20_000_000))


async def test_a_lost_session_is_a_reset() -> None:
    async with open_world() as world:
        visitor, _, client = await switched(world, await world.visit_by_tcp())
        client.session.close("gone")
        with pytest.raises(trio.BrokenResourceError):
            await visitor.rest()
        await visitor.done.wait()


async def test_an_app_that_does_not_read_holds_the_visitor_and_little_is_kept(
    world: World,
) -> None:
    peer = Peer()
    peer.reads = trio.Event()
    visitor, _, client = await switched(world, world.visit(), peer)
    size = 2_000_000
    await visitor.send(bytes(size))  # which is in the visitor's buffers, as they are endless here
    await wait_all_tasks_blocked()
    [stream] = client.server.core.streams.values()
    assert 0 < stream.sending.queue.unsent_bytes <= STREAM_UNSENT_MAX_BYTES
    peer.reads.set()
    await visitor.end()
    await peer.over.wait()
    assert (len(peer.received), peer.ended) == (size, "end")


# --- TLS -----------------------------------------------------------------------------------------


async def test_a_close_notify_of_the_visitor_ends_its_direction_alone(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, client = await switched(world, await world.visit_by_tls())
    assert isinstance(visitor.stream, trio.SSLStream)
    await visitor.send(TO_APP)
    with trio.move_on_after(1):
        await visitor.stream.unwrap()  # sends a close_notify and waits for the other
    assert (peer.received, peer.ended) == (TO_APP, "end")
    for _ in range(8):
        await trio.sleep(50)
        await peer.there.send_all(TO_VISITOR)
        assert not client.stopped[0].is_set()
        assert not visitor.done.is_set()
    peer.there.send_eof()
    await visitor.done.wait()


async def test_under_tls_an_end_without_a_close_notify_does_not_look_whole(world: World) -> None:
    visitor, peer, _ = await switched(world, await world.visit_by_tls())
    assert isinstance(visitor.stream, trio.SSLStream)
    await visitor.send(TO_APP)
    await wait_all_tasks_blocked()
    await visitor.stream.transport_stream.send_eof()
    await visitor.done.wait()
    await peer.over.wait()
    assert peer.received == TO_APP
    assert peer.ended not in (None, "end")
    await world.nothing_is_left()


async def test_under_tls_the_apps_end_is_a_close_notify(world: World) -> None:
    visitor, peer, _ = await switched(world, await world.visit_by_tls())
    await visitor.send(TO_APP)
    await wait_all_tasks_blocked()
    await peer.there.send_all(TO_VISITOR)
    peer.there.send_eof()
    assert await visitor.rest() == TO_VISITOR
    await visitor.stream.aclose()
    await visitor.done.wait()
    await wait_all_tasks_blocked()
    assert peer.received == TO_APP
    await world.nothing_is_left()


async def test_under_tls_what_the_visitor_still_sends_crosses_behind_the_apps_end(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, _ = await switched(world, await world.visit_by_tls())
    peer.there.send_eof()
    assert await visitor.rest() == b""
    sent = b""
    for size in (1, 59, 40_000):
        await trio.sleep(59)
        await visitor.send(TO_APP * size)
        sent += TO_APP * size
        assert not visitor.done.is_set()
    began = trio.current_time()
    await visitor.done.wait()
    assert 60 <= trio.current_time() - began <= 64
    assert peer.received == sent
    await world.nothing_is_left()


async def test_under_tls_a_close_notify_behind_the_apps_is_the_visitors_end(world: World) -> None:
    visitor, peer, _ = await switched(world, await world.visit_by_tls())
    peer.there.send_eof()
    assert await visitor.rest() == b""
    await visitor.send(TO_APP)
    assert isinstance(visitor.stream, trio.SSLStream)
    await visitor.stream.unwrap()
    await visitor.done.wait()
    await peer.over.wait()
    assert (peer.received, peer.ended) == (TO_APP, "end")
    await world.nothing_is_left()


async def test_under_tls_the_apps_end_waits_for_what_has_come_from_the_visitor(
    world: World,
) -> None:
    peer = Peer()
    peer.reads = trio.Event()
    visitor, _, _ = await switched(world, await world.visit_by_tls(), peer)
    size = 300_000  # more than the app is given before it reads
    world.tasks.start_soon(visitor.send, bytes(size))
    await wait_all_tasks_blocked(0.01)
    peer.there.send_eof()
    await wait_all_tasks_blocked(0.01)
    peer.reads.set()
    assert await visitor.rest() == b""
    await visitor.send(TO_APP)
    await visitor.stream.aclose()
    await peer.over.wait()
    assert (len(peer.received), peer.ended) == (size + len(TO_APP), "end")
    await world.nothing_is_left()
