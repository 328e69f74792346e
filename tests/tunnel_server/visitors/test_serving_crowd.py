"""Slow visitors, and many of them: on sockets, with the visitors' addresses from PROXY headers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.sockets import drop
from protocol.drivers.stream import TunnelStream
from tests.edge_fakes import HELLO, World, get, hello, logged, open_world
from tests.tunnel_server.control_client import HELLO_MESSAGE, handshake, message
from tunnel_server.owners.waiting import WAIT_S
from tunnel_server.settings.values import parse_networks
from tunnel_server.visitors.crowd import Crowd
from tunnel_server.visitors.serving import serve_visitor
from tunnel_server.visitors.sweeping import sweep_once

SLOW, OTHER, PROXY = "203.0.113.9", "203.0.113.10", "203.0.113.11"
PROXIED: dict[str, Any] = {
    "proxy_protocol": True,
    "trusted_proxies": parse_networks(f"127.0.0.1,{PROXY}", ""),
}
FIRST_HALF, SECOND_HALF = get()[:20], get()[20:]
BODY_MISSING = b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 9\r\n\r\n"


class Crowded:
    """A server with few places."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def visit(self, address: str = SLOW, sent: bytes = b"") -> trio.SocketStream:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listeners[0]:
            ours = await trio.testing.open_stream_to_socket_listener(listeners[0])
            theirs = await listeners[0].accept()
        assert isinstance(ours, trio.SocketStream)
        self.world.streams.append(ours)
        world = self.world
        world.tasks.start_soon(serve_visitor, world.edge, world.control, None, theirs)
        await ours.send_all(f"PROXY TCP4 {address} 127.0.0.1 40000 443\r\n".encode() + sent)
        await wait_all_tasks_blocked(0.01)
        return ours

    async def is_let_in(self, address: str) -> bool:
        """Whether a connection of this address is not closed at once."""
        stream = await self.visit(address)
        await wait_all_tasks_blocked(0.01)
        return not await is_closed(stream)

    async def is_served(self, stream: trio.SocketStream, sent: bytes) -> None:
        await stream.send_all(sent)
        assert await received(stream, len(HELLO)) == HELLO


async def received(stream: trio.SocketStream, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := await stream.receive_some(size - len(data))):
        data += more
    return data


async def is_closed(stream: trio.SocketStream) -> bool:
    """Whether the server has closed it; what was not read makes that a reset."""
    if not stream.socket.is_readable():
        return False
    try:
        return not await stream.receive_some()
    except trio.BrokenResourceError:
        return True


@asynccontextmanager
async def crowded(most: int = 8, app: Any = hello, spare: int = 0) -> AsyncIterator[Crowded]:
    async with open_world(**PROXIED) as world:
        world.edge.crowd = Crowd(most, spare)
        await world.client(app)
        yield Crowded(world)
        assert world.edge.crowd.count == len(world.edge.connections)


@pytest.mark.parametrize("sent", [b"", FIRST_HALF])
async def test_too_many_heads_of_one_address_close_the_one_that_waited_longest(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with crowded(5) as server:
        other = await server.visit(OTHER, FIRST_HALF)
        first, second, third = [await server.visit(SLOW, sent) for _ in range(3)]
        assert not await is_closed(first)
        fourth = await server.visit(SLOW, sent)
        assert await is_closed(first)
        for stream in (second, third, fourth):
            await server.is_served(stream, SECOND_HALF if sent else get())
        await server.is_served(other, SECOND_HALF)
        await sweep_once(server.world.edge, trio.current_time())
        (line,) = [line for line in logged(caplog.records) if "waited for longest" in line]
        assert line.startswith("closed 1 connection that waited for longest: ")
        assert " had its share of the 5 places; " in line


async def test_between_two_requests_a_connection_is_among_them() -> None:
    async with crowded(4) as server:
        idle = await server.visit()
        await server.is_served(idle, get())
        await wait_all_tasks_blocked(0.01)
        for _ in range(3):
            await server.visit()
        assert await is_closed(idle)


async def test_bodies_that_are_missing_are_among_them_and_the_app_is_told() -> None:
    async with crowded(4, app=takes_a_body) as server:
        first, second, *_ = [await server.visit(SLOW, BODY_MISSING) for _ in range(4)]
        assert await is_closed(first)
        await second.send_all(b"nine more")
        assert await received(second, len(HELLO)) == HELLO
        await wait_all_tasks_blocked(0.01)
        session = next(iter(server.world.directory.sessions))
        assert len(session.core.streams) == 2


async def takes_a_body(stream: Any) -> None:
    while await stream.receive_some():
        pass
    await hello(stream)


async def test_one_that_gets_an_answer_is_not_pending() -> None:
    async with crowded(app=answers_never) as server:
        asking = [await server.visit(SLOW, get()) for _ in range(4)]
        assert not any([await is_closed(stream) for stream in asking])
        assert server.world.edge.crowd.count == 4


async def answers_never(stream: Any) -> None:
    await stream.receive_some()
    await trio.sleep_forever()


async def test_a_request_over_the_share_of_its_address_waits_and_is_then_told_why(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with crowded(8, app=answers_never) as server:
        asking = [await server.visit(SLOW, get()) for _ in range(7)]
        others = await server.visit(OTHER, get())
        answer = await received(asking[6], 1000)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in answer
        assert b"\r\nConnection: close\r\n" in answer
        assert b"503 Too many requests from your address (overloaded)" in answer
        assert b"Your address has its share of what this server serves at once" in answer
        assert b"Whose side:     this tunnel service" in answer
        assert (
            f"{SLOW}: overloaded: a request for this server: its address has its share of the"
            " places; --max-connections allows more"
        ) in logged(caplog.records)
        assert not any([await is_closed(stream) for stream in (*asking[:6], others)])
        drop(asking[0], reset=True)
        await wait_all_tasks_blocked(0.01)
        session = next(iter(server.world.directory.sessions))
        before = len(session.core.streams)
        await server.visit(SLOW, get())  # there is one again
        assert len(session.core.streams) == before + 1


async def test_each_of_many_requests_over_the_share_of_their_address_has_an_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with crowded(32, app=answers_never) as server:
        served = [await server.visit(SLOW, get()) for _ in range(24)]
        over = [await server.visit(SLOW, get()) for _ in range(5)]
        began_at = trio.current_time()
        answers = [await received(stream, 1000) for stream in over]
        assert {answer[:13] for answer in answers} == {b"HTTP/1.1 503 "}
        assert trio.current_time() - began_at >= WAIT_S  # two of them have waited
        assert not any([await is_closed(stream) for stream in served])
        assert await server.is_let_in(OTHER)


async def test_what_was_refused_and_stays_costs_its_own_address_alone(
    mock_clock: trio.testing.MockClock,
) -> None:
    """Each has its 503, and its visitor does not end the connection."""
    async with crowded(32, app=answers_never) as server:
        idle = await server.visit(OTHER)
        for _ in range(24):
            await server.visit(SLOW, get())
        over = [await server.visit(SLOW, get()) for _ in range(16)]
        assert [(await received(stream, 12))[:12] for stream in over[:-1]] == [b"HTTP/1.1 503"] * 15
        assert not await is_closed(idle)
        # Those that are served, one that waits, and one that is told so or lingers.
        assert server.world.edge.crowd._places.of(f"{SLOW}/32") <= 26
        assert await server.is_let_in(OTHER)


@pytest.mark.parametrize("reset", [True, False], ids=["RST", "FIN"])
@pytest.mark.parametrize(("places", "streams"), [(8, 1024), (64, 8)], ids=["server", "tunnel"])
async def test_a_visitor_that_leaves_while_its_request_waits_for_a_share_takes_nothing(
    autojump_clock: trio.testing.MockClock, places: int, streams: int, reset: bool
) -> None:
    served: list[bytes] = []

    async def app(stream: Any) -> None:
        served.append(stream.opened.target)
        await answers_never(stream)

    async with crowded(places, app=app) as server:
        (carrier,) = server.world.directory.sessions
        carrier.core.max_streams = streams
        asking = [await server.visit(SLOW, get(b"/%d" % number)) for number in range(7)]
        drop(asking[6], reset=reset)
        await wait_all_tasks_blocked(0.01)
        drop(asking[0], reset=True)  # there is one of its own again
        await wait_all_tasks_blocked(0.01)
        assert served == [b"/%d" % number for number in range(6)]
        await server.visit(SLOW, get(b"/next"))
        assert served[6:] == [b"/next"]


async def test_what_a_visitor_sends_while_its_request_waits_for_a_share_is_read_ahead(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bodies: list[bytes] = []

    async def app(stream: Any) -> None:
        body = b""
        while data := await stream.receive_some():
            body += data
        bodies.append(body)
        await trio.sleep_forever()

    async with crowded(8, app=app) as server:
        asking = [await server.visit(SLOW, get()) for _ in range(6)]
        late = await server.visit(SLOW, BODY_MISSING + b"four")
        await late.send_all(b" more")
        await wait_all_tasks_blocked(0.01)
        drop(asking[0], reset=True)
        await wait_all_tasks_blocked(0.01)
        assert bodies == [b""] * 6 + [b"four more"]


async def test_what_is_no_request_makes_room_while_it_lingers() -> None:
    async with crowded(4, app=answers_never) as server:
        for _ in range(4):
            await server.visit(SLOW, b"garbage\r\n\r\n")
        assert server.world.edge.crowd.count == 3
        await server.visit(PROXY)
        other = await server.visit(OTHER, get())
        assert not await is_closed(other)
        session = next(iter(server.world.directory.sessions))
        assert len(session.core.streams) == 1


async def test_a_visitors_streams_of_a_tunnel_are_a_share(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with crowded(64, app=answers_never) as server:
        (carrier,) = server.world.directory.sessions
        carrier.core.max_streams = 8
        asking = [await server.visit(SLOW, get()) for _ in range(7)]
        other = await server.visit(OTHER, get())
        assert len(carrier.core.streams) == 7
        assert b"its share of what this tunnel serves at once" in await received(asking[6], 1000)
        why = "its address has its share of the 8 that its client takes at once"
        assert f"{SLOW}: overloaded: a request for tunnel app: {why}" in logged(caplog.records)
        drop(asking[0], reset=True)
        drop(other, reset=True)
        await wait_all_tasks_blocked(0.01)
        late = await server.visit(SLOW, get())
        drop(asking[1], reset=True)  # it waits for one of its own
        await wait_all_tasks_blocked(0.01)
        assert not await is_closed(late)
        assert repr(server.world.directory.streams.of(carrier)) == "<RoomShare 5 of 8, 1 keys>"


async def test_the_place_of_a_proxys_connection_is_that_of_each_requests_visitor() -> None:
    go = trio.Event()

    async def answers_later(stream: TunnelStream) -> None:
        await go.wait()
        await hello(stream)

    async with crowded(8, answers_later) as server:
        stream = await server.visit(PROXY)
        crowd = server.world.edge.crowd
        for visitor in (SLOW, OTHER):
            head = get(b"/", b"X-Forwarded-For: " + visitor.encode())
            await stream.send_all(head)
            await wait_all_tasks_blocked(0.01)
            assert [crowd._places.of(f"{each}/32") for each in (SLOW, OTHER)] == [
                int(each == visitor) for each in (SLOW, OTHER)
            ]
            go.set()
            await received(stream, len(HELLO))
            await wait_all_tasks_blocked(0.01)
            go = trio.Event()
            # Until the next request comes it is no visitor's, whose share could close it.
            assert [crowd._places.of(f"{each}/32") for each in (SLOW, OTHER)] == [0, 0]


async def test_a_trusted_proxy_has_as_many_as_it_likes() -> None:
    async with crowded() as server:
        streams = [await server.visit(PROXY) for _ in range(8)]
        assert not any([await is_closed(stream) for stream in streams])


async def test_all_places_taken_by_requests_let_nobody_in_until_one_ends() -> None:
    async with crowded(2, app=answers_never) as server:
        first, _ = [await server.visit(address, get()) for address in (SLOW, OTHER)]
        late = await server.visit(PROXY)
        assert await is_closed(late)
        drop(first, reset=True)
        await wait_all_tasks_blocked(0.01)
        assert not await is_closed(await server.visit(PROXY))


async def test_where_all_places_are_taken_a_client_connects_and_visitors_are_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with crowded(2, app=answers_never, spare=2) as server:
        for address in (SLOW, OTHER):
            await server.visit(address, get())
        client = await server.visit(SLOW, handshake())
        assert await received(client, 13) == b"HTTP/1.1 101 "
        for address in (SLOW, PROXY):
            late = await server.visit(address, get())
            answer = await received(late, 5000)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nRetry-After: 1\r\n" in answer
            assert b"Tunnel-Error: overloaded\r\n" in answer


async def test_behind_a_proxy_nobodys_idle_connection_is_closed_for_a_crowd_of_one_address() -> (
    None
):
    """It may just be sending another's request there, which would be lost."""
    async with crowded(8, app=answers_never, spare=8) as server:
        idle = [await server.visit(PROXY) for _ in range(2)]
        asked = get(b"/", b"X-Forwarded-For: " + SLOW.encode())
        for _ in range(12):
            await server.visit(PROXY, asked)
        assert not any([await is_closed(stream) for stream in idle])
        await idle[0].send_all(get(b"/", b"X-Forwarded-For: " + OTHER.encode()))
        await wait_all_tasks_blocked(0.01)
        (session,) = server.world.directory.sessions
        assert len(session.core.streams) == 7
        assert server.world.edge.crowd._served.of(f"{OTHER}/32") == 1


async def test_a_session_takes_no_place() -> None:
    async with crowded(2) as server:
        handshake = get(
            b"/_tunnel/control",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            b"Sec-WebSocket-Protocol: trio-tunnel.2",
            host=b"localhost",
        )
        crowd = server.world.edge.crowd
        for _ in range(3):
            stream = await server.visit(SLOW, handshake)
            assert (await received(stream, 12)) == b"HTTP/1.1 101"
            assert crowd.count == 1  # until it has said which session it wants, as anybody else
            await stream.send_all(message(HELLO_MESSAGE))
            await wait_all_tasks_blocked(0.01)
            assert crowd.count == 0
        server.world.edge.connections.clear()  # they are there all the same
