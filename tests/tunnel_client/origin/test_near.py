from __future__ import annotations

import socket
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from protocol.drivers.tcp import SocketAddress, TcpStream
from tests.origin_fakes import OK, a_shared_app, a_tunnel, listen, listen_unix
from tunnel_client.origin import dial, near
from tunnel_client.origin.dial import Dialer
from tunnel_client.origin.near import REST_S, NearApp
from tunnel_client.settings.target import Target


async def test_an_app_on_this_machine_is_connected_to_without_a_wait(tmp_path: Path) -> None:
    for origin in (await listen(), await listen_unix(tmp_path)):
        with trio.testing.assert_no_checkpoints():
            stream = NearApp(origin.target).connect()
        assert stream is not None
        async with stream:
            await (await origin.accept()).close()
        await origin.end()


async def test_it_is_watched_by_the_kernel_too() -> None:
    origin = await listen()
    stream = NearApp(origin.target).connect()
    assert stream is not None
    async with stream:
        assert stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    await origin.end()


@pytest.mark.parametrize(
    "target",
    ["https://127.0.0.1:3000", "192.0.2.1:3000", "app.test:3000", "https://localhost:3000"],
)
async def test_one_elsewhere_or_under_tls_is_not_tried(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near, "connect_at_once", None)
    assert NearApp(Target.parse(target)).connect() is None


async def test_on_another_system_only_a_unix_socket_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert repr(NearApp(Target.parse("3000"))) == "<NearApp []>"
    assert repr(NearApp(Target.parse("unix:/app.sock"))) == "<NearApp ['/app.sock']>"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_of_a_bare_port_both_networks_are_tried(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[SocketAddress] = []

    def refuse(family: int, address: SocketAddress) -> TcpStream:
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(near, "connect_at_once", refuse)
    assert NearApp(Target.parse("3000")).connect() is None
    assert (host, 3000) in tried


async def test_where_one_connection_takes_a_wait_none_is_begun_twice_for_a_second(
    monkeypatch: pytest.MonkeyPatch, mock_clock: MockClock
) -> None:
    tried: list[SocketAddress] = []

    def begin(family: int, address: SocketAddress) -> TcpStream:
        tried.append(address)
        raise BlockingIOError

    monkeypatch.setattr(near, "connect_at_once", begin)
    app = NearApp(Target.parse("3000"))
    mock_clock.jump(5.0)
    assert app.connect() is app.connect() is None
    mock_clock.jump(REST_S - 0.01)
    assert app.connect() is None
    assert tried == [("127.0.0.1", 3000)]
    mock_clock.jump(0.02)
    assert app.connect() is None
    assert tried == [("127.0.0.1", 3000)] * 2


async def test_a_request_takes_this_way_and_else_the_usual_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        with monkeypatch.context() as patch:
            patch.setattr(dial, "connect_tcp", None)
            stream = tunnel.open(b"POST")
            await (await origin.accept()).send(OK)
            assert await tunnel.answer(stream) == (200, b"ok")
    origin = await listen()
    dialer = Dialer(origin.target)
    monkeypatch.setattr(dialer, "open_at_once", lambda: None)
    async with a_tunnel(dialer) as tunnel:
        stream = tunnel.open(b"POST")
        await (await origin.accept()).send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")
    await origin.end()
