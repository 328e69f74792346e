from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
import trustme

from protocol.drivers.tcp import TcpStream
from tests.clocks import elapsed_s
from tests.needs import lacks
from tests.origin_fakes import (
    OK,
    MemoryTunnel,
    RawOrigin,
    a_tunnel,
    broken,
    failure,
    listen,
    listen_unix,
    whole,
)
from tunnel_client.origin import dial
from tunnel_client.origin.dial import (
    CONNECT_TIMEOUT_S,
    TLS_TIMEOUT_S,
    Dialer,
    OriginDown,
    OriginRefused,
    PortsGone,
)
from tunnel_client.settings.target import Target

AUTHORITY = trustme.CA()
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
TLS.set_alpn_protocols(["h2", "http/1.1"])
AUTHORITY.issue_cert("127.0.0.1").configure_cert(TLS)


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return path


async def refusal(dialer: Dialer) -> str:
    with pytest.raises(OriginRefused) as caught:
        await dialer.open()
    return str(caught.value)


# --- plain ---------------------------------------------------------------------------------------


async def test_a_tcp_connection_is_watched_by_the_kernel() -> None:
    origin = await listen()
    stream = await Dialer(origin.target).open()
    assert isinstance(stream, TcpStream)
    assert stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    await stream.aclose()
    await origin.end()


async def test_a_bare_port_finds_an_app_that_listens_on_ipv6_alone() -> None:
    try:
        [listener] = await trio.open_tcp_listeners(0, host="::1")
    except OSError:
        lacks("IPv6")
    port = listener.socket.getsockname()[1]
    async with listener, await Dialer(Target.parse(str(port))).open(), await listener.accept():
        pass


@pytest.mark.parametrize("missing", ["127.0.0.1", "::1"])
async def test_nothing_listens_is_said_also_where_one_of_the_two_networks_is_missing(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    async def half_a_machine(host: str, port: int) -> trio.SocketStream:
        number = errno.EADDRNOTAVAIL if host == missing else errno.ECONNREFUSED
        raise OSError("all attempts failed") from OSError(number, os.strerror(number))

    async def one(addresses: object) -> int:
        return 1

    monkeypatch.setattr(dial, "connect_tcp", half_a_machine)
    monkeypatch.setattr(dial, "lacking", one)
    said = await refusal(Dialer(Target.parse("3000")))
    assert said == "nothing listens on http://localhost:3000"
    with pytest.raises(OriginDown):
        await Dialer(Target.parse("3000")).open()


@pytest.mark.parametrize(
    "numbers",
    [
        (errno.ECONNREFUSED, errno.ETIMEDOUT),
        (errno.EACCES, errno.ECONNREFUSED),
        (errno.EADDRNOTAVAIL, errno.EADDRNOTAVAIL),
    ],
)
async def test_nobody_listens_only_if_each_address_that_there_is_refuses(
    monkeypatch: pytest.MonkeyPatch, numbers: tuple[int, int]
) -> None:
    left = list(numbers)

    async def fail(host: str, port: int) -> trio.SocketStream:
        number = left.pop(0)
        raise OSError("all attempts failed") from OSError(number, os.strerror(number))

    monkeypatch.setattr(dial, "connect_tcp", fail)
    with pytest.raises(OriginRefused) as caught:
        await Dialer(Target.parse("3000")).open()
    assert not isinstance(caught.value, OriginDown)


@pytest.mark.parametrize("target", ["3000", "127.0.0.1:3000", "https://127.0.0.1:3000"])
async def test_where_no_port_is_left_that_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, target: str
) -> None:
    async def without_ports(host: str, port: int) -> trio.SocketStream:
        number = errno.ECONNREFUSED if host == "::1" else errno.EADDRNOTAVAIL
        raise OSError("all attempts failed") from OSError(number, os.strerror(number))

    monkeypatch.setattr(dial, "connect_tcp", without_ports)
    dialer = Dialer(Target.parse(target))
    said = await refusal(dialer)
    assert said.startswith(f"this machine has no port left for a connection to {dialer.target}: ")
    assert "net.ipv4.ip_local_port_range" in said
    with pytest.raises(PortsGone):
        await dialer.open()
    assert [record.getMessage() for record in caplog.records] == [said]  # once


async def test_an_address_that_this_machine_lacks_takes_no_port() -> None:
    assert await dial.lacking([("127.0.0.1", 3000), ("localhost", 3000)]) == 0


async def test_a_name_that_cannot_be_resolved_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(host: str, port: int) -> trio.SocketStream:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(dial, "connect_tcp", unknown)
    said = await refusal(Dialer(Target.parse("no.such.host:80")))
    assert said == "http://no.such.host cannot be reached: the name cannot be resolved"


async def test_other_failures_give_the_systems_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(host: str, port: int) -> trio.SocketStream:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(dial, "connect_tcp", full)
    said = await refusal(Dialer(Target.parse("127.0.0.1:80")))
    assert said == "http://127.0.0.1 cannot be reached: too many open files"


async def test_an_address_that_does_not_answer_is_given_up_after_5_s(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async def silent(host: str, port: int) -> trio.SocketStream:
        await trio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(dial, "connect_tcp", silent)
    said = await refusal(Dialer(Target.parse("10.0.0.1:80")))
    assert said == "http://10.0.0.1 did not accept a connection within 5 s"
    assert elapsed_s() == CONNECT_TIMEOUT_S


async def test_a_unix_socket_is_reached(tmp_path: Path) -> None:
    origin = await listen_unix(tmp_path)
    async with a_tunnel(Dialer(origin.target)) as tunnel:
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")
    await origin.end()


async def test_a_unix_socket_that_is_not_there_or_not_listened_on_is_named(tmp_path: Path) -> None:
    dialer = Dialer(Target.parse(f"unix:{tmp_path}/app.sock"))
    assert await refusal(dialer) == f"there is no socket at unix:{tmp_path}/app.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"{tmp_path}/app.sock")
    assert await refusal(dialer) == f"nothing listens on unix:{tmp_path}/app.sock"
    with pytest.raises(OriginDown):
        await dialer.open()
    (tmp_path / "app.sock").unlink()
    with pytest.raises(OriginDown):
        await dialer.open()


# --- TLS -----------------------------------------------------------------------------------------


@asynccontextmanager
async def an_https_app(dialer_ca: Path) -> AsyncIterator[tuple[MemoryTunnel, RawOrigin]]:
    origin = await listen("https")
    try:
        async with a_tunnel(Dialer(origin.target, ca=dialer_ca)) as tunnel:
            yield tunnel, origin
    finally:
        with trio.move_on_after(1, shield=True):
            await origin.end()


async def test_an_https_app_is_asked_in_http_1_1_and_its_connection_used_again(ca: Path) -> None:
    async with an_https_app(ca) as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept(TLS)
        for _ in range(3):
            await app.request()
            await app.send(OK)
            assert await tunnel.answer(stream) == (200, b"ok")
            await tunnel.all_over()
            stream = tunnel.open()
        assert isinstance(app.stream, trio.SSLStream)
        assert app.stream.selected_alpn_protocol() == "http/1.1"


async def test_a_second_record_behind_an_answer_is_never_the_next_answer(ca: Path) -> None:
    async with an_https_app(ca) as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept(TLS)
        await app.request()
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")
        stream = tunnel.open()
        await app.request()
        await in_one_segment(app.stream, OK, OK.replace(b"ok", b"no"))
        assert await tunnel.answer(stream) == (200, b"ok")
        await tunnel.all_over()
        stream = tunnel.open()
        app = await origin.accept(TLS)
        await app.request()
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")


async def in_one_segment(stream: trio.abc.Stream, *records: bytes) -> None:
    assert isinstance(stream, trio.SSLStream)
    for record in records:
        stream._ssl_object.write(record)
    await stream.transport_stream.send_all(stream._outgoing.read())


async def test_a_connection_that_the_app_ended_with_close_notify_is_not_used_again(
    ca: Path,
) -> None:
    async with an_https_app(ca) as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept(TLS)
        await app.request()
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")
        await tunnel.all_over()
        await app.close()
        stream = tunnel.open(b"POST")
        app = await origin.accept(TLS)
        await app.request()


async def test_when_the_program_ends_an_idle_connection_gets_a_close_notify(ca: Path) -> None:
    origin = await listen("https")
    async with a_tunnel(Dialer(origin.target, ca=ca)) as tunnel:
        stream = tunnel.open()
        app = await origin.accept(TLS)
        await app.request()
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")
        await tunnel.all_over()  # and now its worker is cancelled
    assert await app.rest() == b""  # without one this would raise
    await origin.end()


@pytest.mark.parametrize("notify", [False, True])
async def test_an_until_close_answer_is_whole_only_with_a_close_notify(
    ca: Path, notify: bool
) -> None:
    async with an_https_app(ca) as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept(TLS)
        await app.request()
        await app.send(b"HTTP/1.1 200 OK\r\n\r\nbegun")
        await stream.receive_head()
        if notify:
            await app.close()
            assert await whole(stream) == b"begun"
        else:
            assert isinstance(app.stream, trio.SSLStream)
            await app.stream.transport_stream.aclose()
            assert (await broken(stream))[:2] == (b"begun", "truncated")


async def test_an_early_answer_is_read_although_a_write_failed(ca: Path) -> None:
    async with an_https_app(ca) as (tunnel, origin):
        stream = tunnel.open(b"POST", body=1_000_000)
        app = await origin.accept(TLS)
        await app.request()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert isinstance(app.stream, trio.SSLStream)
        early = b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, bytes(100_000))
            await trio.testing.wait_all_tasks_blocked(0.01)
            await app.send(early)
            await app.stream.transport_stream.aclose()  # with unread bytes: a reset
            assert await tunnel.answer(stream) == (413, b"no")


async def test_a_request_that_is_cut_off_is_a_reset_since_tls_has_no_half_close(ca: Path) -> None:
    async with an_https_app(ca) as (tunnel, origin):
        stream = tunnel.open(b"POST", body=10)
        app = await origin.accept(TLS)
        await app.request()
        stream.reset("truncated", "the visitor ended the request in the middle")
        assert await app.is_reset()
        assert (await failure(stream))[0] == "bad-request"


async def test_a_certificate_that_is_not_trusted_says_so_and_what_to_do() -> None:
    origin = await listen("https")
    async with a_tunnel(Dialer(origin.target)) as tunnel:
        stream = tunnel.open()
        app = await origin.accept(TLS)
        with pytest.raises(trio.BrokenResourceError):
            await app.request()
        code, message = await failure(stream)
        assert code == "origin-untrusted"
        assert "not trusted" in message
        assert "--origin-insecure or --origin-ca FILE" in message
    await origin.end()


async def test_with_origin_insecure_any_certificate_will_do() -> None:
    origin = await listen("https")
    async with a_tunnel(Dialer(origin.target, insecure=True)) as tunnel:
        tunnel.open()
        app = await origin.accept(TLS)
        await app.request()
    await origin.end()


async def test_an_app_that_speaks_no_tls_is_asked_whether_it_is_http(ca: Path) -> None:
    async with an_https_app(ca) as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.stream.receive_some()
        await app.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        code, message = await failure(stream)
        assert code == "origin-refused"
        assert message == f"{origin.target} does not speak TLS; is it an http:// app?"


async def test_an_app_that_closes_in_the_handshake_is_named(ca: Path) -> None:
    async with an_https_app(ca) as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.close()
        assert (await failure(stream))[1] == f"{origin.target} broke off the TLS handshake"


async def test_a_tls_handshake_has_5_s(ca: Path, mock_clock: trio.testing.MockClock) -> None:
    async with an_https_app(ca) as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.stream.receive_some()
        mock_clock.jump(TLS_TIMEOUT_S)
        message = (await failure(stream))[1]
        assert message == f"{origin.target} did not finish a TLS handshake within 5 s"
        assert await app.rest() == b""  # and nothing is left open
