from __future__ import annotations

import socket
import ssl

import pytest
import trio
import trio.testing
import trustme

from protocol.drivers.sockets import (
    drop,
    is_readable,
    keep_alive,
    socket_below,
    undecrypted_bytes,
    was_reset,
)
from protocol.drivers.tcp import TcpStream
from protocol.limits import TIMEOUT_S


async def connected() -> tuple[trio.SocketStream, trio.SocketStream]:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        client = await trio.testing.open_stream_to_socket_listener(listener)
        return client, await listener.accept()


async def connected_over_tls() -> tuple[
    trio.SSLStream[trio.SocketStream], trio.SSLStream[trio.SocketStream]
]:
    authority = trustme.CA()
    for_client, for_server = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(for_client)
    authority.issue_cert("app.test").configure_cert(for_server)
    ours, theirs = await connected()
    client = trio.SSLStream(ours, for_client, server_hostname="app.test")
    server = trio.SSLStream(theirs, for_server, server_side=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        nursery.start_soon(server.do_handshake)
    return client, server


async def test_a_tcp_socket_gets_keepalive_probes_and_a_user_timeout() -> None:
    client, server = await connected()
    async with client, server:
        keep_alive(client)
        tcp = socket.IPPROTO_TCP
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert client.getsockopt(tcp, socket.TCP_KEEPIDLE) == 60
        assert client.getsockopt(tcp, socket.TCP_KEEPCNT) == 3
        assert client.getsockopt(tcp, socket.TCP_USER_TIMEOUT) == 60_000 > 1000 * TIMEOUT_S


async def test_options_that_a_system_does_not_have_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT")
    client, server = await connected()
    async with client, server:
        keep_alive(client)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


async def test_a_unix_socket_needs_no_keepalive() -> None:
    ours, theirs = trio.socket.socketpair()
    async with trio.SocketStream(ours) as stream, trio.SocketStream(theirs):
        keep_alive(stream)
        assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


async def test_a_drop_with_reset_is_a_reset_at_the_peer() -> None:
    client, server = await connected()
    async with server:
        drop(client, reset=True)
        with pytest.raises(trio.BrokenResourceError):
            await server.receive_some()


@pytest.mark.parametrize("reset", [False, True])
async def test_a_reset_is_known_without_a_read(reset: bool) -> None:
    ours, theirs = await connected()
    async with ours, theirs:
        assert not was_reset(theirs)
        drop(ours, reset=reset)
        await trio.lowlevel.wait_readable(theirs.socket)
        assert was_reset(theirs) is reset
        assert not was_reset(theirs)  # it is told once
        assert not was_reset(ours)  # nor is one that was closed


async def test_a_stream_in_memory_is_never_reset() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await ours.aclose()
    assert not was_reset(theirs)


async def test_a_drop_without_reset_is_an_end_at_the_peer() -> None:
    client, server = await connected()
    async with server:
        drop(client, reset=False)
        assert await server.receive_some() == b""


@pytest.mark.parametrize("reset", [False, True])
async def test_a_drop_wakes_who_waits_for_the_socket(reset: bool) -> None:
    client, server = await connected()

    async def read() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await client.receive_some()

    async with server, trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        drop(client, reset=reset)
        drop(client, reset=reset)  # once more is nothing


async def test_a_drop_goes_through_tls_to_the_socket() -> None:
    client, server = await connected_over_tls()
    drop(client, reset=True)
    with pytest.raises(trio.BrokenResourceError):
        await server.receive_some()
    await trio.aclose_forcefully(server)


async def test_the_socket_is_found_below_two_layers() -> None:
    client, server = await connected_over_tls()
    twice = trio.SSLStream(client, ssl.create_default_context(), server_hostname="x")
    assert socket_below(twice) is client.transport_stream
    await trio.aclose_forcefully(client)
    await trio.aclose_forcefully(server)


async def test_a_stream_in_memory_has_no_socket_and_is_left_alone() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    assert socket_below(ours) is None
    assert not is_readable(ours)
    drop(ours, reset=True)
    await ours.send_all(b"x")
    assert await theirs.receive_some() == b"x"


async def test_readable_is_what_has_data_or_an_end_or_is_closed() -> None:
    client, server = await connected()
    async with client, server:
        assert not is_readable(client)
        await server.send_all(b"x")
        assert is_readable(client)
        await client.receive_some()
        assert not is_readable(client)
        await server.send_eof()
        assert is_readable(client)
    assert is_readable(client)


async def test_trios_tls_keeps_what_it_has_read_in_incoming() -> None:
    client, server = await connected_over_tls()
    assert isinstance(getattr(client, "_incoming", None), ssl.MemoryBIO), (
        "trio's SSLStream has changed: mend undecrypted_bytes in protocol/drivers/sockets.py"
    )
    await server.send_all(b"first")
    await client.receive_some()
    assert undecrypted_bytes(client) == 0
    await server.send_all(b"second")
    await server.send_all(b"third")
    assert await client.receive_some() == b"second"
    assert undecrypted_bytes(client) > len(b"third")
    await trio.aclose_forcefully(client)
    await trio.aclose_forcefully(server)


async def test_a_record_that_tls_has_read_and_nobody_else_is_readable() -> None:
    client, server = await connected_over_tls()
    await server.send_all(b"first")
    await client.receive_some()
    assert not is_readable(client)
    await server.send_all(b"second")
    await server.send_all(b"third")
    assert await client.receive_some() == b"second"
    below = socket_below(client)
    assert isinstance(below, trio.SocketStream)
    assert not below.socket.is_readable()
    assert is_readable(client)
    await trio.aclose_forcefully(client)
    await trio.aclose_forcefully(server)


@pytest.mark.parametrize("reset", [False, True])
async def test_our_own_stream_is_dropped_and_asked_like_trios(reset: bool) -> None:
    client, server = await connected()
    ours = TcpStream(client)
    keep_alive(ours)
    assert ours.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert not is_readable(ours)
    await server.send_all(b"x")
    assert is_readable(ours)
    await ours.receive_some()
    drop(ours, reset=reset)
    drop(ours, reset=reset)  # once more is nothing
    assert is_readable(ours)
    async with server:
        if reset:
            with pytest.raises(trio.BrokenResourceError):
                await server.receive_some()
        else:
            assert await server.receive_some() == b""
