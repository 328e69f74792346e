"""What may come under TLS that is no plain text: at each limit, and one byte past it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.sockets import is_readable, socket_below
from tests.edge_fakes import AUTHORITY, CERTIFICATE, HELLO, get, hello, open_world
from tests.tls_hello import unfinished_hello
from tests.tls_records import KEY_UPDATE_BYTES, ClientRecords, logging_context
from tunnel_server.visitors.tls_stream import (
    HANDSHAKE_MAX_BYTES,
    READ_FIRST_BYTES,
    READ_MAX_BYTES,
    WITHOUT_PLAIN_TEXT_MAX_BYTES,
    TlsStream,
)

Client = trio.SSLStream[trio.abc.Stream]

RECORD_MAX_BYTES = 16_384
TOO_MANY = WITHOUT_PLAIN_TEXT_MAX_BYTES // KEY_UPDATE_BYTES + 1  # KeyUpdates


def server_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CERTIFICATE.configure_cert(context)
    return context


@asynccontextmanager
async def connected(
    trusting: ssl.SSLContext | None = None,
) -> AsyncIterator[tuple[Client, TlsStream]]:
    """A visitor and our end, after a handshake in memory."""
    trusting = trusting or ssl.create_default_context()
    AUTHORITY.configure_trust(trusting)
    ours, theirs = trio.testing.memory_stream_pair()
    server = TlsStream(Noting(theirs), server_context())
    client: Client = trio.SSLStream(ours, trusting, server_hostname="app.localhost")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.do_handshake)
        nursery.start_soon(client.do_handshake)
    yield client, server
    await trio.aclose_forcefully(client)
    await trio.aclose_forcefully(server)


class Watched:
    """A call that may end by itself, looked at after each thing that was sent."""

    def __init__(self) -> None:
        self.ended_with: BaseException | bytes | bytearray | None = None

    async def run(self, stream: TlsStream, *, handshake: bool = False) -> None:
        try:
            if handshake:
                await stream.do_handshake()
            self.ended_with = await stream.receive_some()
        except trio.BrokenResourceError as error:
            self.ended_with = error

    @property
    def refused(self) -> bool:
        return "without plain text" in str(self.ended_with)


async def test_a_handshake_has_a_limit() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    server, watched = TlsStream(theirs, server_context()), Watched()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: watched.run(server, handshake=True))
        await ours.send_all(unfinished_hello(HANDSHAKE_MAX_BYTES))
        await wait_all_tasks_blocked()
        assert watched.ended_with is None
        await ours.send_all(b"x")
    assert watched.refused


async def test_what_is_no_plain_text_has_a_limit(tmp_path: Path) -> None:
    log = tmp_path / "keys"
    async with connected(logging_context(log)) as (client, server):
        below, watched = client.transport_stream, Watched()
        sent = ClientRecords(log).key_updates(TOO_MANY)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watched.run, server)
            await below.send_all(sent[:WITHOUT_PLAIN_TEXT_MAX_BYTES])
            await wait_all_tasks_blocked()
            assert watched.ended_with is None
            await below.send_all(sent[WITHOUT_PLAIN_TEXT_MAX_BYTES:][:1])
        assert watched.refused


async def test_plain_text_renews_it() -> None:
    size = 4 * WITHOUT_PLAIN_TEXT_MAX_BYTES
    async with connected() as (client, server):
        received = bytearray()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send_all, bytes(size))
            while len(received) < size:
                received += await server.receive_some(64 * 1024)
        # The smallest records, in most of which is hardly any.
        async with trio.open_nursery() as nursery:
            for _ in range(WITHOUT_PLAIN_TEXT_MAX_BYTES // 20):
                await client.send_all(b"x")
            received.clear()
            while len(received) < WITHOUT_PLAIN_TEXT_MAX_BYTES // 20:
                received += await server.receive_some()


class Noting(trio.abc.Stream):
    """A stream that notes what is asked of it.

    Attributes:
        asked_bytes: by each read.
        sent_bytes: by each write.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.asked_bytes: list[int | None] = []
        self.sent_bytes: list[int] = []

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        self.asked_bytes.append(max_bytes)
        return await self.stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.sent_bytes.append(len(data))
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self.stream.aclose()


async def test_it_reads_little_at_a_time_unless_plain_text_comes() -> None:
    async with connected() as (client, server):
        assert isinstance(server.connection, Noting)
        asked = server.connection.asked_bytes
        assert set(asked) == {READ_FIRST_BYTES}
        await client.send_all(bytes(10 * RECORD_MAX_BYTES))
        asked.clear()
        for _ in range(10):
            assert len(await server.receive_some()) == RECORD_MAX_BYTES
        assert asked == [READ_FIRST_BYTES] * 5 + [READ_MAX_BYTES] * 9
        await client.send_all(b"x")
        await server.receive_some()
        asked.clear()
        await client.send_all(b"x")
        await server.receive_some()
        assert asked == [READ_FIRST_BYTES]


async def test_a_record_that_was_read_with_another_is_readable() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listeners[0]:
        ours = await trio.testing.open_stream_to_socket_listener(listeners[0])
        theirs = await listeners[0].accept()
    trusting = ssl.create_default_context()
    AUTHORITY.configure_trust(trusting)
    server = TlsStream(theirs, server_context())
    client = trio.SSLStream(ours, trusting, server_hostname="app.localhost")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.do_handshake)
        nursery.start_soon(client.do_handshake)
    assert socket_below(server) is theirs
    assert not is_readable(server)
    await client.send_all(b"first")
    await client.send_all(b"second")
    await trio.lowlevel.wait_readable(theirs.socket)
    assert await server.receive_some() == b"first"
    assert not theirs.socket.is_readable()
    assert is_readable(server)
    await trio.aclose_forcefully(client)
    await trio.aclose_forcefully(server)


async def test_who_sends_too_many_key_updates_is_cut_off_alone(tmp_path: Path) -> None:
    log = tmp_path / "keys"
    async with open_world() as world:
        await world.client(hello)
        bystander = await world.visit_by_tls()
        visitor = await world.visit_by_tls(logging_context(log))
        assert isinstance(visitor.stream, trio.SSLStream)
        sent = ClientRecords(log).key_updates(TOO_MANY)
        await visitor.stream.transport_stream.send_all(sent)
        await visitor.done.wait()
        await bystander.send(get())
        await bystander.expect(HELLO)
