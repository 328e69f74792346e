"""What a server holds for many visitors and sessions at once: it is what docs/limits.md says."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

from protocol.http.fields import Fields
from protocol.http.limits import FIELDS_MAX, HEAD_MAX_BYTES
from protocol.limits import KIB, MEMORY_LENT_BYTES
from protocol.mux.codec import pack_trailers
from protocol.mux.handshake import hello_message
from protocol.mux.head_bodies import pack_head
from protocol.mux.messages import Head, Hello
from protocol.mux.wire import FrameType
from tests.hostile_peers import CLOSED, RawPeer, claim
from tests.memory import MIB
from tests.memory_formula import (
    BASE_BYTES,
    PLACE_BYTES,
    SESSION_BYTES,
    USUAL_PLACE_BYTES,
    most_bytes,
    usual_bytes,
)
from tests.programs import Programs
from tests.system.answering_peer import AnsweringPeer, Part
from tests.system.test_hostile_memory import HANDSHAKE

PLACES, SESSIONS = 400, 200
# These sessions neither answer pings nor acknowledge anything.
NO_LIMITS = ("--max-connections", "4000", "--heartbeat", "600,1200")
# What one owner may have of what is lent.
ONE_OWNER_BYTES = MEMORY_LENT_BYTES * 3 // 4
PARTS = 20  # in which a slow head comes
LIMITS = Path(__file__).resolve().parent.parent.parent / "docs" / "limits.md"

GET = b"GET / HTTP/1.1\r\nHost: app0.localhost\r\n"


def largest_head() -> bytes:
    """As many bytes as may be, in as many fields as may be."""
    size = (HEAD_MAX_BYTES - len(GET) - 2) // (FIELDS_MAX - 1)
    fields = b"".join(b"X-%03d: %b\r\n" % (n, b"x" * (size - 9)) for n in range(FIELDS_MAX - 1))
    return GET + fields + b"\r\n"


def in_parts(data: bytes) -> list[bytes]:
    size = -(-len(data) // PARTS)
    return [data[at : at + size] for at in range(0, len(data), size)]


class Site:
    """A server, and those that are connected to it."""

    def __init__(self, programs: Programs, stack: AsyncExitStack) -> None:
        self._programs = programs
        self._stack = stack

    async def start(self) -> None:
        self.server, self.port = await self._programs.server(*NO_LIMITS)

    async def connect(self) -> trio.SocketStream:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        return await self._stack.enter_async_context(stream)

    async def visitors(self, parts: list[bytes]) -> None:
        for _ in range(PLACES):
            stream = await self.connect()
            for part in parts:
                await stream.send_all(part)
                await trio.lowlevel.checkpoint()

    async def visitors_with_small_buffers(self, sent: bytes) -> None:
        """They read nothing, and the kernel takes some 20 KiB for each of them."""
        for _ in range(PLACES):
            sock = trio.socket.socket()
            stream = await self._stack.enter_async_context(trio.SocketStream(sock))
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
            await sock.connect(("127.0.0.1", self.port))
            await stream.send_all(sent)

    async def answered(self, what: str, peer: AnsweringPeer) -> int:
        """What is resident when all are answered, as far as anybody takes it."""
        seen, sent = 0, -1
        while sent != peer.sent or peer.asked < PLACES:
            sent = peer.sent
            seen = await self.resident(what)
            await wait_all_tasks_blocked()  # what the server said, the peer has heard
        return seen

    async def session(self, number: int) -> RawPeer:
        stream = await self.connect()
        await stream.send_all(HANDSHAKE)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += bytes(await stream.receive_some(1))
        peer = RawPeer(stream, masked=True)
        await peer.message(hello_message(Hello((), "raw/1", 1024, 0)))
        await peer.until(FrameType.WELCOME)
        await peer.message(claim(1, f"app{number}"))
        await peer.until(FrameType.CLAIMED)
        return peer

    async def resident(self, what: str) -> int:
        """What it is when the server has taken all that was sent.

        What was sent has arrived: this is one machine. So a server that sleeps has nothing to do;
        one that waits for a processor is runnable, however long it waits.
        """
        while not (seen := self._asleep_with()) or seen != self._asleep_with():  # noqa: ASYNC110
            await trio.sleep(0.01)  # until the next look: no event of ours tells it
        print(f"{what}: {seen / MIB:.0f} MiB")
        return seen

    def _asleep_with(self) -> int:
        """The bytes that it holds while it sleeps; 0 while it has something to do."""
        stat = Path(f"/proc/{self.server.process.pid}/stat").read_text()
        state = stat.rpartition(")")[2].split()[0]  # behind the name, which may hold anything
        return self.server.resident_bytes() if state == "S" else 0


async def drain(peer: RawPeer) -> None:
    with suppress(*CLOSED):
        while await peer.stream.receive_some(64 * KIB):
            pass


@pytest.fixture
async def site(programs: Programs) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        site = Site(programs, stack)
        await site.start()
        yield site


@pytest.mark.timeout(240)
async def test_places_and_sessions_keep_to_the_formula(site: Site) -> None:
    """Slow heads, the largest requests with something behind them, idle ones, and sessions."""
    base = await site.resident("at first")
    assert base < BASE_BYTES
    await site.visitors([])
    idle = await site.resident("idle places")
    assert idle - base < PLACES * USUAL_PLACE_BYTES
    async with trio.open_nursery() as nursery:
        for number in range(SESSIONS):
            nursery.start_soon(drain, await site.session(number))
        held = await site.resident("sessions")
        assert held - idle < SESSIONS * SESSION_BYTES
        await site.visitors([GET + b"\r\n"])
        served = await site.resident("served")
        assert served - held < PLACES * USUAL_PLACE_BYTES + MIB
        await site.visitors(in_parts(largest_head()[:-3]))
        slow = await site.resident("slow heads")
        assert slow < most_bytes(3 * PLACES, SESSIONS, lent=0)
        await site.visitors([largest_head(), bytes(64 * KIB)])
        large = await site.resident("large requests")
        assert large - slow < PLACES * PLACE_BYTES + 4 * MIB
        assert large < most_bytes(4 * PLACES, SESSIONS, lent=0)
        nursery.cancel_scope.cancel()


FIELDS = tuple((b"X-%03d" % n, b"x" * 170) for n in range(FIELDS_MAX))  # 47 KiB
SHORT_FIELDS = ((b"ab", b"cd"),) * FIELDS_MAX  # fifteen times as much once they are read


def a_head(status: int, fields: Fields) -> Part:
    return Part(FrameType.HEAD, pack_head(Head(status, b"", fields, "chunked")))


DATA = Part(FrameType.DATA, bytes(8 * KIB))
# What the kernel takes for a visitor that does not read, and the rest is on its way.
FILLING = [a_head(103, FIELDS)] * 2
BEGUN = [a_head(200, ()), *[DATA] * 5]
# The frames of each, and what of the budget they may take.
ANSWERS = {
    "large heads": ([*FILLING, a_head(200, FIELDS), *[DATA] * 200], ONE_OWNER_BYTES),
    "informational heads": (
        [*FILLING, *[a_head(103, SHORT_FIELDS)] * 29, a_head(200, FIELDS)],
        ONE_OWNER_BYTES,
    ),
    "trailers": ([*BEGUN, Part(FrameType.END, pack_trailers(FIELDS))], 0),
    "short trailers": ([*BEGUN, Part(FrameType.END, pack_trailers(SHORT_FIELDS))], 0),
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ANSWERS)
async def test_answers_that_nobody_reads_keep_to_the_formula(site: Site, name: str) -> None:
    parts, lent = ANSWERS[name]
    base = await site.resident("at first")
    peer = AnsweringPeer(await site.session(0), parts)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.run)
        await site.visitors_with_small_buffers(GET + b"\r\n")
        held = await site.answered(name, peer)
        assert held - base < PLACES * PLACE_BYTES + lent + 4 * MIB
        assert held < most_bytes(PLACES, 1, lent=lent)
        nursery.cancel_scope.cancel()


@pytest.mark.timeout(240)
async def test_an_answer_without_end_keeps_nothing_of_its_large_head(site: Site) -> None:
    base = await site.resident("at first")
    peer = AnsweringPeer(await site.session(0), [a_head(200, FIELDS), DATA])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.run)
        await site.visitors([GET + b"\r\n"])
        held = await site.answered("endless answers", peer)
        assert held - base < PLACES * USUAL_PLACE_BYTES + 4 * MIB
        nursery.cancel_scope.cancel()


def test_the_formula_is_that_of_the_documentation() -> None:
    text = " ".join(LIMITS.read_text().split())
    found = re.search(
        r"(\d+) MiB, the (\d+) MiB that its sessions share, (\d+) KiB for each session,"
        r" and (\d+) KiB for each place",
        text,
    )
    assert found is not None
    base, lent, session, usual = map(int, found.groups())
    assert usual_bytes(10, 3) == (base + lent) * MIB + (10 * usual + 3 * session) * KIB
    found = re.search(r"the same with (\d+) KiB for each place and (\d+) KiB for each", text)
    assert found is not None
    place, session = map(int, found.groups())
    assert most_bytes(10, 3) - usual_bytes(0, 0) == (10 * place + 3 * session) * KIB
