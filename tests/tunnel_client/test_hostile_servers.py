"""Servers that break the rules, over real sockets or in virtual time: each is left alone.

Beside each of them the client has another link, as while a server drains, and it goes on.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trio
import trio.testing

from protocol.drivers.stream import TunnelStream
from protocol.drivers.tcp import TcpStream
from protocol.http.fields import BodyForm
from protocol.http.websocket import accept_for
from protocol.limits import (
    CLAIMS_MAX,
    HANDSHAKE_TIMEOUT_S,
    MESSAGE_MAX_BYTES,
    START_WINDOW_BYTES,
    STREAMS_MAX,
    TIMEOUT_S,
)
from protocol.mux.handshake import welcome_message
from protocol.mux.head_bodies import pack_open
from protocol.mux.messages import Head, Open
from protocol.mux.pieces import pieces_of
from protocol.mux.wire import FrameType, frame
from tests import hostile_peers
from tests.hostile_peers import (
    BOMBS,
    RawPeer,
    ack,
    claim,
    claimed,
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
from tests.origin_fakes import Told
from tests.server_fakes import WELCOME, Network, Server, a_config
from tunnel_client.uplink import link as link_module
from tunnel_client.uplink.attempts import Attempts
from tunnel_client.uplink.claims import Claims, WantedName
from tunnel_client.uplink.link import Link

WELCOME_MESSAGE = welcome_message(WELCOME)


def opening(stream_id: int, body: BodyForm = None, limit: int = 0) -> bytes:
    opened = Open(
        *("http", 1, b"POST", b"/", b"1.1", ((b"Host", b"app.test"),), body, "http", "app.test"),
        *("192.0.2.1", limit),
    )
    return frame(FrameType.OPEN, stream_id, pack_open(opened))


class Hostile(RawPeer):
    """A server whose session has been welcomed and its claim granted, unless it is stopped."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        super().__init__(stream, masked=False)

    async def upgrade(self) -> bytes:
        """Read the handshake; the answer that would be right."""
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            asked += bytes(await self.stream.receive_some(1))
        key = re.search(rb"(?i)sec-websocket-key: (\S+)", asked)
        assert key is not None
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: trio-tunnel.2\r\nSec-WebSocket-Accept: %b\r\n\r\n"
        ) % accept_for(key[1])

    async def begin(self) -> None:
        await self.raw(await self.upgrade())
        await self.until(FrameType.HELLO)
        await self.message(WELCOME_MESSAGE)
        await self.until(FrameType.CLAIM)
        await self.message(claimed(1, "app"))


class OneAttempt(Attempts):
    """No session of these servers is worth to be resumed."""

    async def pause(
        self,
        lived_s: float,
        reason: str = "",
        *,
        held: bool = False,
        asked_s: float | None = None,
        code: str = "lost",
    ) -> bool:
        raise AssertionError(reason)


class Client:
    """Two links of one process: to a server that will break the rules, and to a good one."""

    def __init__(self, nursery: trio.Nursery, network: Network) -> None:
        self.nursery = nursery
        self.network = network
        self.streams: list[TunnelStream] = []
        self.bad = self._link()
        self.good = self._link()

    def _link(self) -> Link:
        return Link(
            a_config(),
            "1.2",
            on_stream=self.serve,
            claims=Claims([WantedName("app")], bytes(16), a_config(), lambda _: None),
            attempts=OneAttempt(Told(), server="http://tunnel.test", random=lambda: 0.0),
        )

    async def run(self, link: Link) -> None:
        await link.run()

    def serve(self, stream: TunnelStream) -> None:
        self.streams.append(stream)

    async def begin(self) -> tuple[Hostile, Server]:
        """Connected to the hostile server, and served by the good one."""
        self.nursery.start_soon(self.run, self.good)
        good = await self.network.serve(self.nursery)
        self.nursery.start_soon(self.run, self.bad)
        bad = await self.network.accept()
        return Hostile(bad.stream), good

    async def other_is_served(self, server: Server) -> None:
        before = len(self.streams)
        asked = server.request()
        await trio.testing.wait_all_tasks_blocked()
        stream = self.streams[before]
        await stream.send_head(Head(204, b"", (), None))
        stream.send_eof()
        assert (await asked.receive_head()).status == 204
        assert not self.good.ended.is_set()


class TcpNetwork(Network):
    """The same over real sockets.

    Attributes:
        accepted: the servers' ends.
    """

    def __init__(self) -> None:
        super().__init__()
        self.accepted: list[trio.SocketStream] = []

    async def open_stream(self, *_: object) -> trio.abc.Stream:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listeners[0]:
            ours = await trio.testing.open_stream_to_socket_listener(listeners[0])
            self.accepted.append(await listeners[0].accept())
        self._arrive.send_nowait(self.accepted[-1])
        return TcpStream(ours)


@pytest.fixture
async def by_tcp(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Network]:
    network = TcpNetwork()
    monkeypatch.setattr(link_module, "open_stream", network.open_stream)
    yield network
    for stream in network.accepted:
        stream.socket.close()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    network = Network()
    monkeypatch.setattr(link_module, "open_stream", network.open_stream)
    return network


# --- what ends the session at once ---------------------------------------------------------------

Attack = Callable[[Hostile], Awaitable[None]]


async def opens_without_end(peer: Hostile) -> None:
    for stream_id in range(1, 100_000):
        await peer.message(opening(stream_id), end(stream_id))


async def endless_data(peer: Hostile) -> None:
    await peer.message(opening(1, "chunked"))
    while True:
        await peer.message(data(1, bytes(60_000)))


AT_ONCE: dict[str, tuple[Attack, str]] = {
    **hostile_peers.AT_ONCE,
    "opens without end": (opens_without_end, "more streams than were announced"),
    "an open out of turn": (said(opening(2)), "stream 2 is opened out of turn"),
    "the same open again": (said(opening(1), opening(1)), "stream 1 is opened out of turn"),
    "data without end": (endless_data, r"\d+ bytes with \d+ of credit"),
    "credit that falls": (said(opening(1, limit=9), credit(1, 8)), "credit fell from 9 to 8"),
    "data of a stream that is not open": (said(data(1, b"x")), "stream 1 is not open yet"),
    "a head": (said(opening(1, "chunked"), head(1)), "FINAL in state BODY"),
    "data after the end": (said(opening(1, "chunked"), end(1), data(1, b"x")), "DATA in state EN"),
    "two resets": (said(opening(1, "chunked"), reset(1), reset(1)), "RESET in state RESET"),
    "a claim": (said(claim(1, "app")), "a frame of type 36 where none belongs"),
    "a grant that nobody asked for": (said(claimed(2, "x")), "a claim that was not asked"),
    "a second welcome": (said(WELCOME_MESSAGE), "a frame of type 33 where none belongs"),
    "a frame with a mask": (sent(lambda _: b"\x82\x81" + bytes(5)), "1002"),
    **{
        f"{kind.name} of {name}": (said(frame(kind, int(kind == FrameType.OPEN), bomb)), "broke")
        for kind in (FrameType.OPEN, FrameType.CLAIMED, FrameType.ACK, FrameType.GOAWAY)
        for name, bomb in BOMBS.items()
    },
}


@pytest.mark.parametrize("name", AT_ONCE)
async def test_who_breaks_a_rule_is_left_alone(
    by_tcp: Network, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    attack, why = AT_ONCE[name]
    client = Client(nursery, by_tcp)
    peer, good = await client.begin()
    await peer.begin()
    async with trio.open_nursery() as both:
        both.start_soon(peer.rest)
        await until_closed(attack, peer)
        await client.bad.ended.wait()
    assert re.search(why, client.bad.reason), client.bad.reason
    assert client.bad.refused is None  # so another attempt follows
    assert len(client.streams) <= STREAMS_MAX
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]
    await client.other_is_served(good)
    nursery.cancel_scope.cancel()


# --- what only time ends -------------------------------------------------------------------------


async def wants_no_answer_and_never_acks(peer: Hostile) -> None:
    """It is told that there is none, and does not say that it heard."""
    await peer.message(opening(1), end(1), stop_sending(1))
    await hostile_peers.never_acks(peer)


def after_the_beginning(attack: Attack) -> Attack:
    async def begin_and_attack(peer: Hostile) -> None:
        await peer.begin()
        await attack(peer)

    return begin_and_attack


async def never_welcomes(peer: Hostile) -> None:
    await peer.raw(await peer.upgrade())
    await trio.sleep_forever()


async def trickles_its_welcome(peer: Hostile) -> None:
    await peer.raw(await peer.upgrade())
    for byte in peer.websocket(WELCOME_MESSAGE):
        await peer.raw(bytes([byte]))
        await trio.sleep(1)


async def trickles_its_101(peer: Hostile) -> None:
    for byte in await peer.upgrade():
        await peer.raw(bytes([byte]))
        await trio.sleep(1)


async def never_grants(peer: Hostile) -> None:
    await peer.raw(await peer.upgrade())
    await peer.until(FrameType.HELLO)
    await peer.message(WELCOME_MESSAGE)
    for number in range(1_000):
        await peer.message(ping(number))
        await trio.sleep(1)


IN_TIME: dict[str, tuple[Attack, float, str]] = {
    **{
        name: (after_the_beginning(attack), within_s, why)
        for name, (attack, within_s, why) in hostile_peers.IN_TIME.items()
    },
    "never acknowledges": (
        after_the_beginning(wants_no_answer_and_never_acks),
        TIMEOUT_S,
        "nothing was acknowledged for 31 s",
    ),
    "never welcomes": (never_welcomes, HANDSHAKE_TIMEOUT_S, "did not answer within 15 s"),
    "a welcome byte by byte": (trickles_its_welcome, HANDSHAKE_TIMEOUT_S, "within 15 s"),
    "a 101 byte by byte": (trickles_its_101, HANDSHAKE_TIMEOUT_S, "did not answer within 15 s"),
    "never grants": (never_grants, HANDSHAKE_TIMEOUT_S, "gave no name within 15 s"),
}


@pytest.mark.parametrize("name", IN_TIME)
async def test_who_wastes_time_is_left_alone(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, name: str
) -> None:
    attack, within_s, why = IN_TIME[name]
    client = Client(nursery, network)
    peer, good = await client.begin()
    begun_at = trio.current_time()

    nursery.start_soon(until_closed, attack, peer)
    await client.bad.ended.wait()
    assert trio.current_time() - begun_at <= within_s + 5  # and the closing handshake
    assert why in client.bad.reason
    await client.other_is_served(good)
    nursery.cancel_scope.cancel()


# --- floods of what breaks no rule ---------------------------------------------------------------

FLOODS = {
    "acks that say nothing new": ack(0),
    "credit of an open stream": credit(1, START_WINDOW_BYTES),
    "pongs": pong(7),
    "empty data": data(1, b""),
    "stop-sendings": stop_sending(1),
    "releases of what nobody holds": release(CLAIMS_MAX),
    "goaways": goaway(),
}
MESSAGES = 20


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_that_breaks_no_rule_holds_nobody_up_and_fills_nothing(
    by_tcp: Network, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    client = Client(nursery, by_tcp)
    peer, good = await client.begin()
    await peer.begin()
    await peer.message(opening(1, "chunked", START_WINDOW_BYTES))
    message = FLOODS[name] * (MESSAGE_MAX_BYTES // len(FLOODS[name]))
    rounds = 0
    tasks_before = trio.lowlevel.current_statistics().tasks_living
    async with trio.open_nursery() as tasks:

        @tasks.start_soon
        async def flood() -> None:
            for _ in range(MESSAGES):
                await peer.message(message)
            await peer.message(ping(77))

        @tasks.start_soon
        async def read() -> None:
            await peer.until(FrameType.PONG)
            tasks.cancel_scope.cancel()

        asked = good.request()
        while asked.id == 1:  # until the pong
            await trio.lowlevel.checkpoint()
            rounds += 1
    assert not client.bad.ended.is_set()
    session = client.bad.session
    assert session is not None
    assert trio.lowlevel.current_statistics().tasks_living <= tasks_before
    assert len(session.core.control) == 0
    assert len(session.core.streams) == 1
    assert rounds >= MESSAGES * len(pieces_of(message))
    assert caplog.records == []
    await client.other_is_served(good)
    nursery.cancel_scope.cancel()


async def test_streams_that_are_opened_and_reset_without_end_leave_nothing(
    by_tcp: Network, nursery: trio.Nursery
) -> None:
    """Each is over at once, so their number is never reached; whoever serves them is told."""
    client = Client(nursery, by_tcp)
    peer, good = await client.begin()
    await peer.begin()
    stopped = 0

    def count() -> None:
        nonlocal stopped
        stopped += 1

    def serve(stream: TunnelStream) -> None:
        stream.on_stopped = count

    session = client.bad.session
    assert session is not None
    session._on_stream = serve
    async with trio.open_nursery() as tasks:
        tasks.start_soon(peer.rest)
        for stream_id in range(1, 3 * STREAMS_MAX):
            await peer.message(
                opening(stream_id, "chunked"), reset(stream_id), stop_sending(stream_id)
            )
            if stream_id % 100 == 0:
                await trio.testing.wait_all_tasks_blocked()
                assert session.core.streams == {}
        await trio.testing.wait_all_tasks_blocked()
        assert stopped == 3 * STREAMS_MAX - 1
        assert session.core.streams == {}
        tasks.cancel_scope.cancel()
    await client.other_is_served(good)
    nursery.cancel_scope.cancel()
