from __future__ import annotations

import contextlib

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from protocol.http.websocket import accept_for
from protocol.mux.messages import Head
from tests.edge_fakes import World, answer, get, head, open_world, tunnel_error
from tests.upgrade_peers import KEY, MASK, SWITCH, SWITCHED, UPGRADE, Peer, frame, masked, switched

# --- the opening handshake -----------------------------------------------------------------------


async def test_the_upgrade_is_the_apps(world: World) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    opened = peer.there.opened
    assert (opened.kind, opened.method, opened.target) == ("websocket", b"GET", b"/ws")
    names = [name for name, _ in opened.fields]
    assert b"Sec-WebSocket-Key" in names
    assert b"Sec-WebSocket-Extensions" in names
    assert not {b"Connection", b"Upgrade"} & set(names)
    await visitor.nothing_comes()


async def test_what_came_behind_the_upgrade_is_held_until_the_101(world: World) -> None:
    go = trio.Event()
    peer = Peer()

    async def app(stream: TunnelStream) -> None:
        await go.wait()
        await peer(stream)

    client = await world.client(app)
    visitor = world.visit()
    await visitor.send(UPGRADE + masked(b"first"))
    await visitor.send(masked(b"second")[:3])
    await wait_all_tasks_blocked()
    assert client.streams[0].take_some() == b""
    go.set()
    await visitor.expect(SWITCHED)
    await visitor.send(masked(b"second")[3:])
    await wait_all_tasks_blocked()
    assert peer.received == masked(b"first") + masked(b"second")


async def test_frames_and_an_end_before_the_101_cross_after_it(world: World) -> None:
    go = trio.Event()
    peer = Peer()

    async def app(stream: TunnelStream) -> None:
        await go.wait()
        await peer(stream)
        await stream.send_all(frame(b"bye"))
        stream.send_eof()

    await world.client(app)
    visitor = world.visit()
    await visitor.send(UPGRADE + masked(b"first"))
    await visitor.end()
    await wait_all_tasks_blocked()
    go.set()
    assert await visitor.rest() == SWITCHED + frame(b"bye")
    assert (peer.received, peer.ended) == (masked(b"first"), "end")
    await visitor.done.wait()
    await world.nothing_is_left()


async def test_frames_in_the_segment_of_the_101_cross_behind_it(world: World) -> None:
    visitor, _, _ = await switched(world, world.visit(), behind=frame(b"welcome"))
    await visitor.nothing_comes()


async def test_a_refusal_crosses_whole_and_the_connection_lives_on(world: World) -> None:
    async def app(stream: TunnelStream) -> None:
        refusal = head(401, b"No", b"WWW-Authenticate: Basic", body=4)
        await answer(stream, refusal, b"nope")

    await world.client(app)
    visitor = world.visit()
    for _ in range(2):
        await visitor.send(UPGRADE)
        await visitor.expect(
            b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nnope"
        )
    await visitor.nothing_comes()


async def test_a_refusal_ends_the_request_for_the_client_too(world: World) -> None:
    ended = trio.Event()

    async def app(stream: TunnelStream) -> None:
        await stream.send_head(head(401, b"No", body=0))
        assert await stream.receive_some() == b""
        assert stream.receive_ended
        ended.set()
        stream.send_eof()

    await world.client(app)
    visitor = world.visit()
    await visitor.send(UPGRADE)
    await visitor.head()
    await ended.wait()


async def test_a_refusal_with_bytes_behind_the_upgrade_closes(world: World) -> None:
    async def app(stream: TunnelStream) -> None:
        await answer(stream, head(401, b"No", body=0))

    client = await world.client(app)
    visitor = world.visit()
    await visitor.send(UPGRADE + get(b"/smuggled"))
    assert await visitor.rest() == (
        b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    await visitor.end()
    await visitor.done.wait()
    assert len(client.streams) == 1
    await world.nothing_is_left()


@pytest.mark.parametrize("behind", [b"", masked(b"first")])
async def test_an_error_of_ours_to_an_upgrade_closes(world: World, behind: bytes) -> None:
    visitor = world.visit()
    await visitor.send(UPGRADE + behind)
    raw = await visitor.head()
    assert tunnel_error(raw) == (404, "tunnel-not-found")
    assert b"\r\nConnection: close\r\n" in raw
    assert b"HTTP/1.1" not in await visitor.rest()


async def test_a_101_sets_no_cookie_for_other_tunnels(world: World) -> None:
    fields = (*SWITCH.fields, (b"Set-Cookie", b"a=b; Domain=localhost"))

    async def app(stream: TunnelStream) -> None:
        await stream.send_head(SWITCH._replace(fields=fields))
        await trio.sleep_forever()

    await world.client(app)
    visitor = world.visit()
    await visitor.send(UPGRADE)
    raw = await visitor.head()
    assert raw.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nSet-Cookie: a=b\r\n" in raw


async def test_an_error_in_the_place_of_an_apps_101_closes(world: World) -> None:
    async def app(stream: TunnelStream) -> None:
        stream.cancel("origin-refused")

    await world.client(app)
    visitor = world.visit()
    await visitor.send(UPGRADE + masked(b"first"))
    raw = await visitor.head()
    assert tunnel_error(raw) == (502, "origin-refused")
    assert b"\r\nConnection: close\r\n" in raw
    assert b"HTTP/1.1" not in await visitor.rest()


@pytest.mark.parametrize(
    "said",
    [
        head(101, b"Go On", body=None),
        head(101, b"Go On", b"Sec-WebSocket-Accept: " + accept_for(b"x" * 24), body=None),
        head(101, b"Go On", *[b"Sec-WebSocket-Accept: " + accept_for(KEY)] * 2, body=None),
    ],
)
async def test_a_101_that_does_not_answer_the_key_is_a_502(world: World, said: Head) -> None:
    async def app(stream: TunnelStream) -> None:
        await stream.send_head(said)
        await trio.sleep_forever()

    client = await world.client(app)
    visitor = world.visit()
    await visitor.send(UPGRADE)
    assert tunnel_error(await visitor.rest()) == (502, "origin-protocol-error")
    await client.stopped[0].wait()


@pytest.mark.parametrize(
    "sent",
    [
        UPGRADE.replace(b"GET", b"PUT"),
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        UPGRADE.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        UPGRADE.replace(b"keep-alive, Upgrade", b"keep-alive"),
    ],
)
async def test_what_is_no_upgrade_is_a_plain_request_without_the_field(
    world: World, sent: bytes
) -> None:
    async def app(stream: TunnelStream) -> None:
        await answer(stream, head())

    client = await world.client(app)
    visitor = world.visit()
    await visitor.send(sent)
    assert (await visitor.head()).startswith(b"HTTP/1.1 200 OK\r\n")
    opened = client.streams[0].opened
    assert opened.kind == "http"
    assert b"upgrade" not in [name.lower() for name, _ in opened.fields]


async def test_an_upgrade_with_a_body_is_400(world: World) -> None:
    visitor = world.visit()
    await visitor.send(UPGRADE.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\nx"))
    assert tunnel_error(await visitor.rest()) == (400, "bad-request")


# --- frames --------------------------------------------------------------------------------------


async def test_frames_cross_verbatim_both_ways(world: World) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    to_app = masked(b"a", 0x41) + masked(b"ping", 0x89) + masked(b"b", 0xF0) + masked(b"", 0x8A)
    to_visitor = frame(b"a", 0x41) + frame(b"ping", 0x89) + frame(b"b", 0xF0) + frame(b"", 0x8A)
    await visitor.send(to_app)
    await peer.send(to_visitor)
    await visitor.expect(to_visitor)
    await wait_all_tasks_blocked()
    assert peer.received == to_app


async def test_a_control_frame_goes_on_when_it_is_whole(world: World) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    await peer.send(frame(b"ping", 0x89)[:-1])
    await visitor.nothing_comes()
    await peer.send(frame(b"ping", 0x89)[-1:])
    await visitor.expect(frame(b"ping", 0x89))


@pytest.mark.parametrize("illegal", [b"\x83\x00", b"\x09\x00", b"\x89\x7e\x00\x80", b"\xff" * 20])
async def test_illegal_headers_cross_as_well_for_the_ends_to_judge(
    world: World, illegal: bytes
) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    await visitor.send(masked(b"a") + illegal)
    await visitor.send(illegal)
    await peer.send(illegal + frame(b"a"))
    await visitor.expect(illegal + frame(b"a"))
    await wait_all_tasks_blocked()
    assert peer.received == masked(b"a") + illegal * 2


async def test_nothing_has_a_limit_after_a_101(world: World, autojump_clock: MockClock) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    await trio.sleep(3600)
    await visitor.send(masked(b"x"))
    await peer.send(frame(b"y"))
    await visitor.expect(frame(b"y"))
    await wait_all_tasks_blocked()
    assert peer.received == masked(b"x")


# --- ends that cross -----------------------------------------------------------------------------


async def test_an_end_of_the_app_is_fin_and_the_other_direction_goes_on(world: World) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    await peer.send(frame(b"x"))
    peer.end()
    assert await visitor.rest() == frame(b"x")
    await visitor.send(masked(b"y"))
    await wait_all_tasks_blocked()
    assert (peer.received, peer.ended) == (masked(b"y"), None)
    await visitor.end()
    await visitor.done.wait()
    await wait_all_tasks_blocked()
    assert peer.ended == "end"
    await world.nothing_is_left()


async def test_an_end_of_the_visitor_is_fin_and_the_other_direction_goes_on(
    world: World,
) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    await visitor.send(masked(b"x"))
    await visitor.end()
    await wait_all_tasks_blocked()
    assert (peer.received, peer.ended) == (masked(b"x"), "end")
    await peer.send(frame(b"y"))
    peer.end()
    assert await visitor.rest() == frame(b"y")
    await visitor.done.wait()
    await world.nothing_is_left()


@pytest.mark.parametrize("part", [masked(b"ping", 0x89)[:-1], b"\x82", masked(b"data")[:-1]])
async def test_an_end_in_the_middle_of_a_frame_crosses_with_its_part(
    world: World, part: bytes
) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    await visitor.send(part)
    await visitor.end()
    await wait_all_tasks_blocked()
    assert (peer.received, peer.ended) == (part, "end")
    await peer.send(b"\x82\x05ab")
    await peer.send(b"c")
    peer.end()
    assert await visitor.rest() == b"\x82\x05abc"


async def test_the_part_of_a_control_frame_before_an_end_of_the_app_crosses(world: World) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    await peer.send(b"\x89\x05ab")
    peer.end()
    assert await visitor.rest() == b"\x89\x05ab"


@pytest.mark.parametrize("ends_first", ["app", "visitor"])
async def test_half_closed_it_ends_after_60_s_without_a_byte(
    world: World, autojump_clock: MockClock, ends_first: str
) -> None:
    visitor, peer, client = await switched(world, world.visit())
    if ends_first == "app":
        peer.end()
    else:
        await visitor.end()
    for _ in range(3):
        await trio.sleep(59)
        if ends_first == "app":
            await visitor.send(masked(b"x"))
        else:
            await peer.send(frame(b"x"))
    began = trio.current_time()
    await client.stopped[0].wait() if ends_first == "visitor" else await visitor.done.wait()
    assert 60 <= trio.current_time() - began <= 64
    if ends_first == "app":
        await wait_all_tasks_blocked()
        assert peer.ended == "visitor-gone"
    await visitor.done.wait()
    await world.nothing_is_left()


async def test_a_reset_of_the_visitor_is_one_to_the_app() -> None:
    async with open_world() as world:
        visitor, peer, client = await switched(world, await world.visit_by_tcp())
        await visitor.send(masked(b"x"))
        await wait_all_tasks_blocked(0.01)
        await visitor.reset()
        await client.stopped[0].wait()
        await visitor.done.wait()
        assert (peer.received, peer.ended) == (masked(b"x"), "visitor-gone")
        await world.nothing_is_left()


async def test_a_reset_of_the_app_is_one_to_the_visitor() -> None:
    async with open_world() as world:
        visitor, peer, _ = await switched(world, await world.visit_by_tcp())
        await peer.send(frame(b"x"))
        await visitor.expect(frame(b"x"))
        peer.there.cancel("truncated")
        with pytest.raises(trio.BrokenResourceError):
            await visitor.rest()
        await visitor.done.wait()
        await world.nothing_is_left()


async def test_an_app_that_takes_no_more_may_still_send(world: World) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    peer.stop()
    await wait_all_tasks_blocked()
    await visitor.send(masked(b"x"))
    await peer.send(frame(b"last words"))
    await visitor.expect(frame(b"last words"))
    peer.end()
    assert await visitor.rest() == b""
    await visitor.end()
    await visitor.done.wait()
    await world.nothing_is_left()


@pytest.mark.parametrize("closes", [False, True])
async def test_one_that_has_ended_as_well_cuts_its_visitor_off_but_for_the_answer_to_its_close(
    closes: bool,
) -> None:
    async with open_world() as world:
        visitor, peer, _ = await switched(world, await world.visit_by_tcp())
        said = frame(b"x") + frame(b"\x03\xe8", 0x88) * closes
        await peer.send(said)
        peer.end()
        assert await visitor.rest() == said
        peer.stop()
        if closes:
            await wait_all_tasks_blocked()
            await visitor.send(masked(b"\x03\xe8", 0x88))
            await visitor.end()
            await visitor.done.wait()
            assert not visitor.met_a_reset()
        else:
            await visitor.done.wait()
            assert visitor.met_a_reset()
        await world.nothing_is_left()


# --- TLS, which has no half-close ----------------------------------------------------------------


async def test_under_tls_an_end_of_the_app_ends_the_visitors_leg(world: World) -> None:
    visitor, peer, _ = await switched(world, await world.visit_by_tls())
    await visitor.send(masked(b"x"))
    await wait_all_tasks_blocked()
    await peer.send(frame(b"y"))
    peer.end()
    assert await visitor.rest() == frame(b"y")  # with a close_notify
    await visitor.stream.aclose()
    await visitor.done.wait()
    await wait_all_tasks_blocked()
    assert peer.received == masked(b"x")
    await world.nothing_is_left()


async def test_under_tls_an_end_of_the_app_waits_until_what_is_on_its_way_is_passed_on(
    world: World, autojump_clock: MockClock
) -> None:
    go = trio.Event()
    received = 0

    async def app(stream: TunnelStream) -> None:
        nonlocal received
        await stream.send_head(SWITCH)
        stream.send_eof()
        await go.wait()
        while data := await stream.receive_some():
            received += len(data)

    await world.client(app)
    visitor = await world.visit_by_tls()
    size = 500_000
    await visitor.send(UPGRADE + b"\x82\xff" + size.to_bytes(8, "big") + MASK + bytes(size))
    await visitor.expect(SWITCHED)
    await trio.sleep(5)
    assert not visitor.done.is_set()
    go.set()
    assert await visitor.rest() == b""
    assert received == 14 + size


async def test_under_tls_that_wait_has_an_end(world: World, autojump_clock: MockClock) -> None:
    async def app(stream: TunnelStream) -> None:
        await stream.send_head(SWITCH)
        stream.send_eof()
        await trio.sleep_forever()

    await world.client(app)
    visitor = await world.visit_by_tls()
    size = 1_000_000
    await visitor.send(UPGRADE + b"\x82\xff" + size.to_bytes(8, "big") + MASK + bytes(size))
    await visitor.expect(SWITCHED)
    began = trio.current_time()
    with contextlib.suppress(trio.BrokenResourceError):  # its last bytes are no close_notify
        assert await visitor.rest() == b""
    assert 9 <= trio.current_time() - began <= 12
    await visitor.done.wait()


async def test_under_tls_an_end_of_the_visitor_gives_the_app_10_s(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, client = await switched(world, await world.visit_by_tls())
    assert isinstance(visitor.stream, trio.SSLStream)
    began = trio.current_time()
    with trio.move_on_after(1):
        await visitor.stream.unwrap()  # sends a close_notify and waits for the other
    assert peer.ended == "end"
    for _ in range(8):
        await trio.sleep(1)
        await peer.send(frame(b"x"))
    await client.stopped[0].wait()
    assert trio.current_time() - began == pytest.approx(10, abs=0.1)
    await visitor.done.wait()
