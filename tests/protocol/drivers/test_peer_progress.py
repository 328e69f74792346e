"""What the kernel says of a peer, on real sockets; of a line that is slow, by its numbers."""

from __future__ import annotations

import socket
import struct
import sys
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from protocol.drivers import peer_progress as module
from protocol.drivers.peer_progress import PeerProgress, fill_send_buffer, peer_progress
from protocol.drivers.tcp import TcpStream
from tests.programs import EVENT_S
from tests.protocol.drivers.test_sockets import connected, connected_over_tls

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")

POLL_S = 0.01
BLOCK = bytes(1 << 20)


async def closed_for(stream: trio.abc.Stream, quiet_s: float) -> PeerProgress:
    """Its progress once its window has been closed for so long."""
    with trio.fail_after(EVENT_S):
        while True:
            seen = peer_progress(stream)
            if seen is not None and seen.is_closed and seen.quiet_s >= quiet_s:
                return seen
            await trio.sleep(POLL_S)


async def send_for_ever(stream: trio.abc.SendStream) -> None:
    while True:
        await stream.send_all(BLOCK)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "by TLS"])
async def test_a_peer_that_reads_no_more_closes_its_window_and_is_quiet(tls: bool) -> None:
    theirs: trio.abc.Stream
    ours: trio.abc.Stream
    theirs, ours = await (connected_over_tls() if tls else connected())
    assert peer_progress(ours) is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_for_ever, ours)
        assert await theirs.receive_some(1)
        seen = await closed_for(ours, 0.3)
        assert seen.taken_bytes > 0
        assert seen.taking_s >= 0
        with trio.fail_after(EVENT_S):
            while (now := peer_progress(ours)) is None or now.taken_bytes <= seen.taken_bytes:
                assert await theirs.receive_some(1 << 16)
        nursery.cancel_scope.cancel()
    for stream in (theirs, ours):
        await trio.aclose_forcefully(stream)
    assert peer_progress(ours) is None


async def test_what_is_written_may_fill_the_send_buffer_of_the_system() -> None:
    theirs, ours = await connected()
    async with theirs, ours:
        sent: list[int] = []

        async def send() -> None:
            while True:
                await ours.send_all(BLOCK[: 1 << 14])
                sent.append(1 << 14)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await closed_for(ours, 0.3)
            before = sum(sent)
            fill_send_buffer(ours)
            with trio.fail_after(EVENT_S):
                while True:
                    if sum(sent) >= before + (1 << 17):
                        break
                    await trio.sleep(POLL_S)
            nursery.cancel_scope.cancel()
    fill_send_buffer(ours)  # which is closed
    fill_send_buffer(trio.testing.memory_stream_pair()[0])


async def test_a_peer_that_has_taken_all_is_not_spoken_of() -> None:
    theirs, ours = await connected()
    async with theirs, TcpStream(ours) as stream:
        await stream.send_all(b"all of it")
        assert await theirs.receive_some(9) == b"all of it"
        with trio.fail_after(EVENT_S):
            while True:
                if peer_progress(stream) is None:  # its acknowledgement may be on its way
                    break
                await trio.sleep(POLL_S)


async def test_what_is_no_tcp_socket_says_nothing() -> None:
    memory, _ = trio.testing.memory_stream_pair()
    assert peer_progress(memory) is None
    one, other = socket.socketpair()
    with other:
        async with trio.SocketStream(trio.socket.from_stdlib_socket(one)) as unix:
            assert peer_progress(unix) is None


def test_elsewhere_than_on_linux_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(module, "socket_below", lambda _: SimpleNamespace(socket=None))
    memory, _ = trio.testing.memory_stream_pair()
    assert peer_progress(memory) is None


def told(unacked: int, unsent_bytes: int) -> bytes:
    """Said by the kernel: data left 1.5 s ago, an acknowledgement came 0.25 s ago."""
    raw = bytearray(176)
    struct.pack_into("=I", raw, 24, unacked)
    struct.pack_into("=I", raw, 44, 1500)
    struct.pack_into("=I", raw, 56, 250)
    struct.pack_into("=Q", raw, 120, 5_000_000)
    struct.pack_into("=I", raw, 144, unsent_bytes)
    struct.pack_into("=Q", raw, 168, 4_000_000)
    return bytes(raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (told(0, 0), None),
        (told(0, 1), PeerProgress(1.5, True, 5_000_000, 2.5)),
        (told(1, 0), PeerProgress(0.25, False, 5_000_000, 3.75)),
        (told(1, 1), PeerProgress(0.25, False, 5_000_000, 3.75)),
        (told(1, 1)[:168], None),  # a Linux that does not have all of it
    ],
)
def test_what_is_on_its_way_is_quiet_since_the_last_acknowledgement(
    monkeypatch: pytest.MonkeyPatch, raw: bytes, expected: PeerProgress | None
) -> None:
    asked = SimpleNamespace(fileno=lambda: 3, getsockopt=lambda *_: raw)
    monkeypatch.setattr(module, "socket_below", lambda _: SimpleNamespace(socket=asked))
    memory, _ = trio.testing.memory_stream_pair()
    assert peer_progress(memory) == expected
