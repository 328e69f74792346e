"""Clients that break the rules, over real sockets or in virtual time: each is cut off alone.

Beside each of them another client's tunnel goes on, and the log has one line that says why.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio
import trio.testing

from protocol.drivers.tcp import TcpStream
from protocol.limits import (
    CLAIMS_MAX,
    CLAIMS_PER_MINUTE_MAX,
    INFORMATIONAL_HEADS_MAX,
    MESSAGE_MAX_BYTES,
    START_WINDOW_BYTES,
    STREAMS_MAX,
    TIMEOUT_S,
    WEBSOCKET_FRAMES_A_MESSAGE_MAX,
)
from protocol.mux.handshake import hello_message
from protocol.mux.messages import Hello
from protocol.mux.pieces import pieces_of
from protocol.mux.wire import FrameType, frame
from tests import hostile_peers
from tests.edge_fakes import HELLO, VISITOR, Visitor, World, get, hello, logged
from tests.hostile_peers import (
    BOMBS,
    CLOSED,
    RawPeer,
    ack,
    claim,
    credit,
    data,
    end,
    goaway,
    head,
    ping,
    pong,
    release,
    reset,
    said,
    sent,
    stop_sending,
    until_closed,
)

HANDSHAKE = get(
    b"/_tunnel/control",
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Protocol: trio-tunnel.2",
    host=b"localhost:8080",
)
HELLO_MESSAGE = hello_message(Hello((), "hostile/1", STREAMS_MAX, 16384))
LOCAL = "127.0.0.1"


class Hostile(RawPeer):
    """A client with a session that holds `app`, and the world that it is in."""

    def __init__(self, world: World, visitor: Visitor) -> None:
        super().__init__(visitor.stream, masked=True)
        self.world = world
        self.done = visitor.done

    async def begin(self, key: str | None = None) -> None:
        field = f"\r\nAuthorization: Bearer {key}\r\n\r\n" if key else "\r\n\r\n"
        await self.raw(HANDSHAKE.removesuffix(b"\r\n\r\n") + field.encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += bytes(await self.stream.receive_some(1))
        await self.message(HELLO_MESSAGE)
        await self.until(FrameType.WELCOME)
        await self.message(claim(1, "app"))
        await self.until(FrameType.CLAIMED)

    async def opened(self) -> int:
        """A visitor asks for something; the number of the stream."""
        visitor = self.world.visit(address="198.51.100.1")
        await visitor.send(get())
        _, stream_id, _ = await self.until(FrameType.OPEN)
        await self.message(ack(2 * stream_id))  # its open and its end
        return stream_id

    async def ended(self) -> int:
        """The same, answered."""
        stream_id = await self.opened()
        await self.message(head(stream_id), end(stream_id))
        return stream_id


async def by_tcp(world: World) -> Visitor:
    """As the server has it: its own kind of stream on the socket."""
    listeners = await trio.open_tcp_listeners(0, host=LOCAL)
    async with listeners[0]:
        ours = await trio.testing.open_stream_to_socket_listener(listeners[0])
        theirs = TcpStream(await listeners[0].accept())
    return world._visitor(ours, theirs, LOCAL, secure=False)


async def hostile(world: World, visitor: Visitor, key: str | None = None) -> Hostile:
    peer = Hostile(world, visitor)
    await peer.begin(key)
    return peer


async def others_are_served(world: World) -> None:
    visitor = world.visit(address="198.51.100.2")
    await visitor.send(get(host=b"other.localhost"))
    await visitor.expect(HELLO)
    await visitor.end()
    await visitor.done.wait()


# --- what ends the session at once ---------------------------------------------------------------

Attack = Callable[[Hostile], Awaitable[None]]


def on_a_stream(*makers: Callable[[int], bytes]) -> Attack:
    """Frames for a stream that is open."""

    async def attack(peer: Hostile) -> None:
        stream_id = await peer.opened()
        await peer.message(*(make(stream_id) for make in makers))

    return attack


def after_a_stream(make: Callable[[int], bytes]) -> Attack:
    """A frame for a stream that is over."""

    async def attack(peer: Hostile) -> None:
        await peer.message(make(await peer.ended()))

    return attack


def a_frame(kind: FrameType, stream_id: int, body: bytes) -> Attack:
    return said(frame(kind, stream_id, body))


async def too_many_claims(peer: Hostile) -> None:
    for number in range(2, CLAIMS_MAX + 2):
        await peer.message(claim(number, f"app{number}"))
        if number <= CLAIMS_MAX:
            await peer.until(FrameType.CLAIMED)


async def claims_without_end(peer: Hostile) -> None:
    """One after the other, each refused, each a line in the log; the first was granted."""
    for number in range(1, CLAIMS_PER_MINUTE_MAX + 1):
        await peer.message(claim(2, "Not Legal"))
        if number < CLAIMS_PER_MINUTE_MAX:
            await peer.until(FrameType.REFUSED)


async def pings_that_fill_a_message(peer: Hostile) -> None:
    await peer.message(*[ping(1)] * 4_000)


async def resets_that_fill_a_message(peer: Hostile) -> None:
    stream_id = await peer.opened()
    await peer.message(*[reset(stream_id)] * 2_000)


async def endless_data(peer: Hostile) -> None:
    """Ignores credit, and goes on whatever is said to it."""
    stream_id = await peer.opened()
    await peer.message(head(stream_id))
    piece = peer.websocket(data(stream_id, bytes(60_000)))
    while True:
        await peer.raw(piece)


def informational(stream_id: int) -> bytes:
    return head(stream_id, 103, None) * (INFORMATIONAL_HEADS_MAX + 1)


AT_ONCE: dict[str, tuple[Attack, str]] = {
    **hostile_peers.AT_ONCE,
    "data without end": (endless_data, r"broke the protocol: \d+ bytes with \d+ of credit"),
    "credit that falls": (
        on_a_stream(lambda i: credit(i, 20_000) + credit(i, 19_999)),
        "broke the protocol: credit fell from 20000 to 19999",
    ),
    "head of a stream that is not open": (said(head(7)), "stream 7 is not open yet"),
    "credit of a stream that is not open": (said(credit(7, 1)), "stream 7 is not open yet"),
    "reset of a stream that is not open": (said(reset(7)), "stream 7 is not open yet"),
    "stop-sending of one that is not open": (said(stop_sending(7)), "stream 7 is not open yet"),
    "data of a stream that is over": (after_a_stream(lambda i: data(i, b"x")), "1 has ended"),
    "reset of a stream that is over": (after_a_stream(reset), "stream 1 has ended"),
    "a flood of resets": (resets_that_fill_a_message, "stream 1 has ended"),
    "an open": (a_frame(FrameType.OPEN, 1, b""), "stream 1 is opened out of turn"),
    "data before the head": (on_a_stream(lambda i: data(i, b"x")), "DATA in state HEADS"),
    "a second final head": (on_a_stream(head, head), "FINAL in state BODY"),
    "33 informational heads": (on_a_stream(informational), "too many informational heads"),
    "a 101 unasked": (on_a_stream(lambda i: head(i, 101, None)), "a 101 that nobody asked for"),
    "an ack that falls": (on_a_stream(lambda i: ack(1)), "an ack of 1, between 2 and 2"),
    "a flood of pings": (pings_that_fill_a_message, "too many pings"),
    "two claims at once": (said(claim(2, "a"), claim(3, "b")), "second claim before the answer"),
    "17 claims": (too_many_claims, "claim 17 is one too many"),
    "claims without end": (claims_without_end, "too many claims"),
    "a second hello": (said(HELLO_MESSAGE), "a frame of type 32 where none belongs"),
    "a frame of the server": (a_frame(FrameType.WELCOME, 0, b""), "a frame of type 33 where none"),
    "a flag": (said(b"\x12\x01" + ping(1)[2:]), "with flags 0x1"),
    "half a header": (said(ping(1)[:5]), "ends inside a frame's header"),
    "more than is there": (said(b"\x12\x00\xff\xff" + ping(1)[4:]), "announces 65535 bytes"),
    "no WebSocket": (sent(lambda p: b"\xff" * 500), "1002"),
    "a frame without a mask": (sent(lambda p: b"\x82\x05hello"), "1002"),
    "a Close": (sent(lambda p: p.websocket(b"\x03\xe8", 0x88)), "the WebSocket was closed"),
    "a message in 257 fragments": (
        sent(
            lambda p: (
                p.websocket(ping(1), 0x02)
                + p.websocket(b"", 0x00) * (WEBSOCKET_FRAMES_A_MESSAGE_MAX - 1)
                + p.websocket(b"", 0x80)
            )
        ),
        "too many WebSocket frames for one message",
    ),
    **{
        f"{kind.name} of {name}": (a_frame(kind, 0, bomb), "broke the protocol")
        for kind in (FrameType.CLAIM, FrameType.ACK, FrameType.PING, FrameType.GOAWAY)
        for name, bomb in BOMBS.items()
    },
    **{
        f"HEAD of {name}": (
            on_a_stream(lambda i, bomb=bomb: frame(FrameType.HEAD, i, bomb)),  # type: ignore[misc]  # a default
            "broke the protocol",
        )
        for name, bomb in BOMBS.items()
    },
}


@pytest.mark.parametrize("name", AT_ONCE)
async def test_who_breaks_a_rule_is_cut_off_alone(
    world: World, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    attack, why = AT_ONCE[name]
    caplog.set_level("INFO")
    other = await world.client(hello, "other")
    peer = await hostile(world, await by_tcp(world))
    caplog.clear()
    async with trio.open_nursery() as nursery:
        if attack is not endless_data:
            nursery.start_soon(read_after, attack, peer)
        else:
            await until_closed(attack, peer)
        await peer.done.wait()
    (line,) = [line for line in logged(caplog.records) if line.startswith(LOCAL)]
    assert re.search(why, line), line
    assert not [record for record in caplog.records if record.levelname != "INFO"]
    await others_are_served(world)
    await trio.testing.wait_all_tasks_blocked()
    assert list(world.directory.sessions) == [other.server]
    assert other.server.core.streams == {}


async def read_after(attack: Attack, peer: Hostile) -> None:
    await until_closed(attack, peer)
    await peer.rest()


@pytest.mark.parametrize(
    "name",
    ["data without end", "text", "empty fragments", "no WebSocket", "a message too long", "a flag"],
)
async def test_who_breaks_a_rule_gets_no_session_back(world: World, name: str) -> None:
    """With a key the session of a connection that is lost is held for a while; not this one."""
    peer = await hostile(world, await by_tcp(world), key="ti_" + "k" * 43)
    assert [session.hold_s > 0 for session in world.directory.sessions] == [True]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_after, AT_ONCE[name][0], peer)
        await peer.done.wait()
    assert world.directory.sessions == {}


# --- what only time ends -------------------------------------------------------------------------


async def takes_a_request_and_never_acks(peer: Hostile) -> None:
    visitor = peer.world.visit(address="198.51.100.1")
    await visitor.send(get())
    await peer.until(FrameType.OPEN)
    await hostile_peers.never_acks(peer)


IN_TIME: dict[str, tuple[Attack, float, str]] = {
    **hostile_peers.IN_TIME,
    "never acknowledges": (
        takes_a_request_and_never_acks,
        TIMEOUT_S,
        "nothing was acknowledged for 31 s",
    ),
}


@pytest.mark.parametrize("name", IN_TIME)
async def test_who_wastes_time_is_cut_off_alone(
    world: World,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: trio.testing.MockClock,
    name: str,
) -> None:
    attack, within_s, why = IN_TIME[name]
    caplog.set_level("INFO")
    other = await world.client(hello, "other")
    peer = await hostile(world, world.visit())
    caplog.clear()
    begun_at = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(until_closed, attack, peer)
        while not peer.done.is_set():
            with trio.move_on_after(5):
                await peer.done.wait()
            await others_are_served(world)
        assert trio.current_time() - begun_at <= within_s + 5 + 5  # and the closing handshake
        nursery.cancel_scope.cancel()
    (line,) = [line for line in logged(caplog.records) if line.startswith(VISITOR)]
    assert why in line
    assert list(world.directory.sessions) == [other.server]


async def test_who_sends_and_never_reads_is_cut_off_alone(
    world: World, caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    """Each of our writes waits until it is read: the kernel's buffers are full."""
    caplog.set_level("INFO")
    await world.client(hello, "other")
    peer = await hostile(world, world.visit(lockstep=True))
    caplog.clear()
    begun_at = trio.current_time()

    async def send() -> None:
        for number in range(1_000):
            await peer.message(ping(number))
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(until_closed, lambda _: send(), peer)
        await peer.done.wait()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - begun_at <= TIMEOUT_S + 3
    (line,) = [line for line in logged(caplog.records) if line.startswith(VISITOR)]
    assert "nothing could be sent for" in line
    await others_are_served(world)


@pytest.mark.parametrize("every_s", [0.1, 4.9])
async def test_a_hello_that_trickles_is_waited_for_5_s(
    world: World,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: trio.testing.MockClock,
    every_s: float,
) -> None:
    caplog.set_level("INFO")
    visitor = world.visit()
    await visitor.send(HANDSHAKE)
    await visitor.head()
    begun_at = trio.current_time()
    peer = Hostile(world, visitor)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def trickle() -> None:
            with suppress(*CLOSED):
                for byte in peer.websocket(HELLO_MESSAGE + bytes(1_000)):
                    await peer.raw(bytes([byte]))
                    await trio.sleep(every_s)

        await visitor.done.wait()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - begun_at == pytest.approx(5, abs=0.1)
    assert logged(caplog.records) == [f"{VISITOR}: no hello within 5 s"]


async def test_a_handshake_that_trickles_is_a_slow_head_like_another(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    visitor = world.visit()
    begun_at = trio.current_time()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def trickle() -> None:
            with suppress(*CLOSED):
                for byte in HANDSHAKE:
                    await visitor.send(bytes([byte]))
                    await trio.sleep(1)

        assert (await visitor.head()).startswith(b"HTTP/1.1 408 ")
        nursery.cancel_scope.cancel()
    assert 30 <= trio.current_time() - begun_at <= 32


async def test_a_client_that_is_of_no_use_but_alive_is_left_alone(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    """It never answers a ping, and there is nothing to acknowledge."""
    peer = await hostile(world, world.visit())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(until_closed, says_a_ping_now_and_then, peer)
        await trio.sleep(3_600)
        assert not peer.done.is_set()
        nursery.cancel_scope.cancel()


async def says_a_ping_now_and_then(peer: Hostile) -> None:
    while True:
        await peer.message(ping(1))
        await trio.sleep(20)


# --- floods of what breaks no rule ---------------------------------------------------------------

FLOODS: dict[str, Callable[[int], bytes]] = {
    "acks that say nothing new": lambda _: ack(2),
    "credit of an open stream": lambda i: credit(i, START_WINDOW_BYTES),
    "credit that grows": lambda i: credit(i, 1 << 40),
    "pongs": lambda _: pong(7),
    "stop-sendings": stop_sending,
    "releases of what nobody holds": lambda _: release(9),
    "goaways": lambda _: goaway(),
}
MESSAGES = 20


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_that_breaks_no_rule_holds_nobody_up_and_fills_nothing(
    world: World, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level("INFO")
    other = await world.client(hello, "other")
    peer = await hostile(world, await by_tcp(world))
    stream_id = await peer.opened()
    await trio.testing.wait_all_tasks_blocked()
    (session,) = world.directory.sessions.keys() - {other.server}
    one = FLOODS[name](stream_id)
    message = one * (MESSAGE_MAX_BYTES // len(one))
    caplog.clear()
    served = 0
    async with trio.open_nursery() as nursery:
        flooded = trio.Event()

        @nursery.start_soon
        async def flood() -> None:
            for _ in range(MESSAGES):
                await peer.message(message)
            await peer.message(ping(77))

        @nursery.start_soon
        async def read() -> None:
            await peer.until(FrameType.PONG)
            flooded.set()
            await peer.rest()

        visitor = world.visit(address="198.51.100.2")
        while not flooded.is_set():
            await visitor.send(get(host=b"other.localhost"))
            await visitor.expect(HELLO)
            served += 1
        await trio.testing.wait_all_tasks_blocked()
        assert not peer.done.is_set()
        assert len(session.core.control) == 0
        assert len(session.core.streams) <= 1
        nursery.cancel_scope.cancel()
    # Each piece leaves the others one round; a GET takes about a dozen. Taken whole, the messages
    # would leave time for four.
    assert served >= MESSAGES * len(pieces_of(message)) // 20 > 4
    assert [line for line in logged(caplog.records) if line.startswith(LOCAL)] == []
