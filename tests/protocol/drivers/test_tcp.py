"""TcpStream on real sockets of this machine."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.tcp import (
    FULL_QUEUE_S,
    TcpStream,
    connect_at_once,
    connect_tcp,
    connect_unix,
)
from tests.needs import lacks


class Pair(NamedTuple):
    """Our stream, and trio's own at the other end."""

    ours: TcpStream
    peer: trio.SocketStream


async def connected() -> Pair:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        peer = await trio.testing.open_stream_to_socket_listener(listener)
        return Pair(TcpStream(await listener.accept()), peer)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = await connected()
    async with made.ours, made.peer:
        yield made


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_address_and_a_name_are_connected_to(host: str) -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        stream = await connect_tcp(host, listener.socket.getsockname()[1])
        async with stream, await listener.accept() as peer:
            await stream.send_all(b"here")
            assert await peer.receive_some(100) == b"here"


async def test_an_address_of_ipv6_is_connected_to() -> None:
    try:
        [listener] = await trio.open_tcp_listeners(0, host="::1")
    except OSError:
        lacks("IPv6")
    async with listener:
        stream = await connect_tcp("::1", listener.socket.getsockname()[1])
        async with stream, await listener.accept():
            pass


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_where_nobody_listens_the_connection_is_refused(host: str) -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    with pytest.raises(OSError):  # noqa: PT011  # its number stands in a cause
        await connect_tcp(host, port)


@pytest.mark.parametrize("host", ["", "a..b", "no such host"])
async def test_what_is_no_address_is_a_name(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def by_name(host: str, port: int) -> None:
        await trio.lowlevel.checkpoint()
        asked.append(host)

    monkeypatch.setattr(trio, "open_tcp_stream", by_name)
    await connect_tcp(host, 80)
    assert asked == [host]


async def test_by_loopback_a_connection_is_made_at_once_with_the_options_of_trios() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        address = listener.socket.getsockname()
        with trio.testing.assert_no_checkpoints():
            ours = connect_at_once(socket.AF_INET, address)
        async with ours, await listener.accept() as peer, await connect_tcp(*address) as trios:
            for option in (socket.TCP_NODELAY, socket.TCP_NOTSENT_LOWAT):
                value = trios.getsockopt(socket.IPPROTO_TCP, option)
                assert ours.socket.getsockopt(socket.IPPROTO_TCP, option) == value
            await peer.send_all(b"to us")
            assert await ours.receive_some() == b"to us"


async def test_where_nobody_listens_that_is_known_at_once() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            connect_at_once(socket.AF_INET, bound.getsockname())


@pytest.mark.parametrize("unix", [False, True])
async def test_what_takes_a_wait_is_given_up(unix: bool, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as full:
        full.bind(str(tmp_path / "app.sock") if unix else ("127.0.0.1", 0))
        full.listen(0)  # takes one that nobody has accepted
        async with connect_at_once(full.family, full.getsockname()):
            with pytest.raises(BlockingIOError):
                connect_at_once(full.family, full.getsockname())


async def test_bytes_cross_both_ways(pair: Pair) -> None:
    await pair.ours.send_all(b"to the peer")
    assert await pair.peer.receive_some(100) == b"to the peer"
    await pair.peer.send_all(b"to us")
    assert await pair.ours.receive_some() == b"to us"


async def test_a_read_is_cut_at_max_bytes_and_the_rest_follows(pair: Pair) -> None:
    await pair.peer.send_all(b"abcdef")
    assert await pair.ours.receive_some(4) == b"abcd"
    assert await pair.ours.receive_some(4) == b"ef"


async def test_a_full_read_with_nothing_behind_it_waits(pair: Pair) -> None:
    await pair.peer.send_all(b"abcd")
    assert await pair.ours.receive_some(4) == b"abcd"
    async with trio.open_nursery() as nursery:
        got: list[bytes] = []

        async def read() -> None:
            got.append(await pair.ours.receive_some(4))

        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        assert got == []
        await pair.peer.send_all(b"e")
    assert got == [b"e"]


async def test_a_large_write_waits_for_the_peer_and_arrives_whole(pair: Pair) -> None:
    data = bytes(range(256)) * 40_000  # 10 MB: more than any socket buffer
    got = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.ours.send_all, data)
        await wait_all_tasks_blocked()
        while len(got) < len(data):
            got += await pair.peer.receive_some(1_000_000)
    assert got == data


async def test_a_cancelled_read_loses_nothing(pair: Pair) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await pair.ours.receive_some()
    assert scope.cancelled_caught
    await pair.peer.send_all(b"still here")
    assert await pair.ours.receive_some() == b"still here"


async def test_the_peers_end_reads_as_no_bytes_and_ours_can_follow(pair: Pair) -> None:
    await pair.peer.send_eof()
    assert await pair.ours.receive_some() == b""
    await pair.ours.send_all(b"last words")
    await pair.ours.send_eof()
    assert await pair.peer.receive_some(100) == b"last words"
    assert await pair.peer.receive_some(100) == b""


async def test_a_reset_breaks_reading_and_writing(pair: Pair) -> None:
    pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await pair.peer.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await pair.ours.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await pair.ours.send_all(b"x")


@pytest.mark.parametrize("reset", [False, True])
async def test_closing_wakes_a_reader_and_the_peer_sees_how(pair: Pair, reset: bool) -> None:
    async def read() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await pair.ours.receive_some()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        pair.ours.close(reset=reset)
    if reset:
        with pytest.raises(trio.BrokenResourceError):
            await pair.peer.receive_some(1)
    else:
        assert await pair.peer.receive_some(1) == b""


async def test_a_blocked_writer_is_woken_by_closing(pair: Pair) -> None:
    async def write() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await pair.ours.send_all(bytes(10_000_000))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await wait_all_tasks_blocked()
        pair.ours.close()


async def test_after_closing_everything_says_so(pair: Pair) -> None:
    await pair.ours.aclose()
    await pair.ours.aclose()
    assert pair.ours.is_closed
    assert pair.ours.is_readable()
    assert repr(pair.ours) == "<TcpStream closed>"
    with pytest.raises(trio.ClosedResourceError):
        await pair.ours.receive_some()
    with pytest.raises(trio.ClosedResourceError):
        await pair.ours.send_all(b"x")
    with pytest.raises(trio.ClosedResourceError):
        await pair.ours.send_eof()
    with pytest.raises(trio.ClosedResourceError):
        await pair.ours.wait_send_all_might_not_block()


async def test_waiting_on_one_closed_stream_does_not_disturb_another() -> None:
    for _ in range(2):
        pair = await connected()
        await pair.ours.aclose()
        for wait in (pair.ours.receive_some, pair.ours.wait_send_all_might_not_block):
            with pytest.raises(trio.ClosedResourceError):
                await wait()
        await pair.peer.aclose()


async def test_readable_means_bytes_or_an_end(pair: Pair) -> None:
    assert not pair.ours.is_readable()
    await pair.peer.send_all(b"x")
    assert pair.ours.is_readable()
    assert await pair.ours.receive_some() == b"x"
    assert not pair.ours.is_readable()
    await pair.peer.send_eof()
    assert pair.ours.is_readable()


async def test_a_unix_socket_does_as_well(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    listening = trio.socket.socket(socket.AF_UNIX)
    await listening.bind(path)
    listening.listen()
    async with trio.SocketListener(listening) as listener:
        peer = await trio.open_unix_socket(path)
        ours = TcpStream(await listener.accept())
    async with ours, peer:
        await ours.send_all(b"x")
        assert await peer.receive_some(1) == b"x"


async def test_a_full_queue_of_a_unix_socket_is_waited_for(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = str(tmp_path / "full.sock")
    with contextlib.ExitStack() as closing:
        listener = closing.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(path)
        listener.listen(1)
        for _ in range(2):  # one more than that
            closing.callback(connect_at_once(socket.AF_UNIX, path).close)
        with pytest.raises(BlockingIOError):
            connect_at_once(socket.AF_UNIX, path)
        with trio.move_on_after(10 * FULL_QUEUE_S) as waited:
            await connect_unix(path)
        assert waited.cancelled_caught
        closing.enter_context(listener.accept()[0])
        async with await connect_unix(path) as stream:
            await stream.send_all(b"it is connected")
