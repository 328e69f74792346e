from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trustme

from tests.clocks import elapsed_s
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.proxy import Proxy
from tunnel_client.uplink.connect import (
    LONGEST_ANSWER_BYTES,
    STEP_TIMEOUT_S,
    ConnectFailed,
    dial_tcp,
    open_stream,
)

Stream = trio.abc.Stream
Peer = Callable[[Stream], Awaitable[object]]

HTTP = ServerUrl.parse("http://tunnel.example.com:8080")
HTTPS = ServerUrl.parse("https://tunnel.example.com")
PROXY = Proxy("http", "proxy.example", 3128, None, "HTTPS_PROXY")
SECRET_PROXY = Proxy("http", "proxy.example", 3128, "Basic aHVudGVyMg==", "HTTPS_PROXY")
TLS_PROXY = Proxy("https", "proxy.example", 8443, None, "HTTPS_PROXY")

AUTHORITY = trustme.CA()


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(path)
    return path


class Net:
    """A network in memory where one machine answers, whoever is dialled."""

    def __init__(self, nursery: trio.Nursery, peer: Peer) -> None:
        self.dialled: list[tuple[str, int]] = []
        self.streams: list[Stream] = []
        self._nursery = nursery
        self._peer = peer

    async def dial(self, host: str, port: int) -> Stream:
        self.dialled.append((host, port))
        client, server = trio.testing.memory_stream_pair()
        self.streams.append(client)
        self._nursery.start_soon(self._peer, server)
        return client

    async def open(
        self, server: ServerUrl, proxy: Proxy | None = None, ca: Path | None = None
    ) -> Stream:
        return await open_stream(server, proxy, ca, dial=self.dial)

    async def refusal(
        self, server: ServerUrl, proxy: Proxy | None = None, ca: Path | None = None
    ) -> str:
        """Why it failed, on one line, with nothing left open."""
        with pytest.raises(ConnectFailed) as caught:
            await self.open(server, proxy, ca)
        for stream in self.streams:
            with pytest.raises(trio.ClosedResourceError):
                await stream.send_all(b"x")
        assert str(caught.value).isprintable()
        return str(caught.value)


async def echo(stream: Stream) -> None:
    try:
        async for data in stream:
            await stream.send_all(data)
    except trio.BrokenResourceError:
        pass


async def silent(stream: Stream) -> None:
    await trio.sleep_forever()


async def hang_up(stream: Stream) -> None:
    await stream.aclose()


class Tls:
    """A peer that speaks TLS, then goes on as another."""

    def __init__(self, *names: str, authority: trustme.CA = AUTHORITY, then: Peer = echo) -> None:
        self.asked_for: list[str | None] = []
        self.alpn: str | None = None
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(*names).configure_cert(self.context)
        self.context.set_alpn_protocols(["h2", "http/1.1"])
        self.context.sni_callback = lambda _, name, __: self.asked_for.append(name)
        self._then = then

    async def __call__(self, stream: Stream) -> None:
        secured = trio.SSLStream(stream, self.context, server_side=True, https_compatible=True)
        try:
            await secured.do_handshake()
        except trio.BrokenResourceError:
            return
        self.alpn = secured.selected_alpn_protocol()
        await self._then(secured)


class Answering:
    """A proxy that gives one answer, then goes on as another peer."""

    def __init__(self, answer: bytes, *, then: Peer = echo) -> None:
        self.request = b""
        self._answer = answer
        self._then = then

    async def __call__(self, stream: Stream) -> None:
        while not self.request.endswith(b"\r\n\r\n"):
            self.request += await stream.receive_some()
        try:
            await stream.send_all(self._answer)
        except trio.BrokenResourceError:
            return
        await self._then(stream)


async def assert_echoes(stream: Stream) -> None:
    await stream.send_all(b"hello")
    assert await stream.receive_some() == b"hello"
    await stream.aclose()


# The steps, when all goes well


async def test_http_server_is_reached_over_tcp_alone(nursery: trio.Nursery) -> None:
    net = Net(nursery, echo)
    await assert_echoes(await net.open(HTTP))
    assert net.dialled == [("tunnel.example.com", 8080)]


async def test_https_server_is_verified_with_its_name_and_http_1_1(
    nursery: trio.Nursery, ca: Path
) -> None:
    tls = Tls("tunnel.example.com")
    net = Net(nursery, tls)
    await assert_echoes(await net.open(HTTPS, ca=ca))
    assert net.dialled == [("tunnel.example.com", 443)]
    assert tls.asked_for == ["tunnel.example.com"]
    assert tls.alpn == "http/1.1"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_https_server_may_be_an_address(nursery: trio.Nursery, ca: Path, host: str) -> None:
    net = Net(nursery, Tls(host.strip("[]")))
    await assert_echoes(await net.open(ServerUrl.parse(f"https://{host}"), ca=ca))


async def test_peer_that_closes_without_a_close_notify_ends_the_stream_cleanly(
    nursery: trio.Nursery, ca: Path
) -> None:
    async def cut(stream: Stream) -> None:
        assert isinstance(stream, trio.SSLStream)
        await stream.transport_stream.aclose()

    stream = await Net(nursery, Tls("tunnel.example.com", then=cut)).open(HTTPS, ca=ca)
    assert await stream.receive_some() == b""


async def test_proxy_is_asked_for_a_tunnel(nursery: trio.Nursery) -> None:
    proxy = Answering(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
    net = Net(nursery, proxy)
    await assert_echoes(await net.open(HTTP, PROXY))
    assert net.dialled == [("proxy.example", 3128)]
    assert proxy.request == (
        b"CONNECT tunnel.example.com:8080 HTTP/1.1\r\nHost: tunnel.example.com:8080\r\n\r\n"
    )


async def test_proxy_is_asked_for_an_ipv6_address_in_brackets(nursery: trio.Nursery) -> None:
    proxy = Answering(b"HTTP/1.1 200 OK\r\n\r\n")
    await Net(nursery, proxy).open(ServerUrl.parse("http://[2001:db8::1]"), PROXY)
    assert proxy.request.startswith(b"CONNECT [2001:db8::1]:80 HTTP/1.1\r\n")


async def test_proxy_gets_the_credentials_and_the_server_does_not(nursery: trio.Nursery) -> None:
    proxy = Answering(b"HTTP/1.1 200 OK\r\n\r\n")
    await Net(nursery, proxy).open(HTTP, SECRET_PROXY)
    assert b"\r\nProxy-Authorization: Basic aHVudGVyMg==\r\n" in proxy.request


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
async def test_any_success_of_the_proxy_is_a_tunnel(nursery: trio.Nursery, answer: bytes) -> None:
    await assert_echoes(await Net(nursery, Answering(answer)).open(HTTP, PROXY))


async def test_proxys_answer_may_come_in_pieces(nursery: trio.Nursery) -> None:
    async def in_pieces(stream: Stream) -> None:
        await stream.receive_some()
        for byte in b"HTTP/1.1 200 OK\r\n\r\n":
            await stream.send_all(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()
        await echo(stream)

    await assert_echoes(await Net(nursery, in_pieces).open(HTTP, PROXY))


async def test_https_server_behind_a_proxy_is_verified_through_it(
    nursery: trio.Nursery, ca: Path
) -> None:
    tls = Tls("tunnel.example.com")
    proxy = Answering(b"HTTP/1.1 200 OK\r\n\r\n", then=tls)
    await assert_echoes(await Net(nursery, proxy).open(HTTPS, PROXY, ca))
    assert proxy.request.startswith(b"CONNECT tunnel.example.com:443 ")
    assert tls.asked_for == ["tunnel.example.com"]


async def test_https_proxy_is_verified_with_the_systems_cas(
    nursery: trio.Nursery, ca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering = Answering(b"HTTP/1.1 200 OK\r\n\r\n", then=Tls("tunnel.example.com"))
    proxy = Tls("proxy.example", then=answering)
    net = Net(nursery, proxy)
    assert "no TLS with the proxy proxy.example:8443: its certificate is not trusted" in (
        await net.refusal(HTTPS, TLS_PROXY, ca)
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    await assert_echoes(await net.open(HTTPS, TLS_PROXY, ca))
    assert proxy.asked_for == ["proxy.example"] * 2


# Failures


def fails(error: BaseException) -> Callable[[str, int], Awaitable[Stream]]:
    async def dial(host: str, port: int) -> Stream:
        raise error

    return dial


def os_error(number: int) -> OSError:
    return OSError(number, f"Error connecting to ('1.2.3.4', 1): {os.strerror(number)}")


def all_failed(*numbers: int) -> OSError:
    """As trio.open_tcp_stream has it."""
    error = OSError("all attempts to connect failed")
    error.__cause__ = ExceptionGroup("all failed", [os_error(number) for number in numbers])
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (all_failed(errno.ECONNREFUSED), "connection refused; is tunnel-server running?"),
        (
            all_failed(errno.ENETUNREACH, errno.ECONNREFUSED),
            "connection refused; is tunnel-server running?",
        ),
        (all_failed(errno.ETIMEDOUT, errno.EADDRNOTAVAIL), "connection timed out"),
        (all_failed(errno.ENETUNREACH), "network is unreachable"),
        (all_failed(errno.EHOSTUNREACH), "no route to host"),
        (os_error(errno.EMFILE), "too many open files"),
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "the name cannot be resolved (Name or service not known)",
        ),
        (OSError("no results found"), "no results found"),
        (UnicodeError("label too long"), "the name cannot be resolved"),
    ],
)
async def test_server_that_cannot_be_reached_is_told_with_the_reason(
    error: BaseException, reason: str
) -> None:
    with pytest.raises(ConnectFailed) as caught:
        await open_stream(HTTP, None, None, dial=fails(error))
    assert str(caught.value) == f"cannot reach tunnel.example.com:8080: {reason}"


async def test_proxy_that_cannot_be_reached_is_told_with_its_variable() -> None:
    with pytest.raises(ConnectFailed) as caught:
        await open_stream(HTTP, PROXY, None, dial=fails(all_failed(errno.ECONNREFUSED)))
    assert str(caught.value) == (
        "cannot reach the proxy proxy.example:3128: connection refused; see HTTPS_PROXY"
    )


async def test_certificate_of_an_unknown_ca_is_refused_with_the_remedy(
    nursery: trio.Nursery, ca: Path
) -> None:
    net = Net(nursery, Tls("tunnel.example.com", authority=trustme.CA()))
    said = await net.refusal(HTTPS, ca=ca)
    assert said.startswith("no TLS with tunnel.example.com:443: its certificate is not trusted: ")
    assert said.endswith("; --server-ca names a private CA")


async def test_certificate_is_refused_without_a_ca_file_too(nursery: trio.Nursery) -> None:
    said = await Net(nursery, Tls("tunnel.example.com")).refusal(HTTPS)
    assert "its certificate is not trusted: " in said


@pytest.mark.parametrize("url", ["https://tunnel.example.com", "https://127.0.0.1"])
async def test_certificate_of_another_name_is_refused(
    nursery: trio.Nursery, ca: Path, url: str
) -> None:
    net = Net(nursery, Tls("other.example.com"))
    said = await net.refusal(ServerUrl.parse(url), ca=ca)
    assert "mismatch, certificate is not valid for " in said
    assert "--server-ca" not in said


@pytest.mark.parametrize("broken", ["missing", "empty"])
async def test_ca_file_that_broke_since_the_start_is_named(
    nursery: trio.Nursery, tmp_path: Path, broken: str
) -> None:
    path = tmp_path / "ca.pem"
    if broken == "empty":
        path.touch()
    said = await Net(nursery, Tls("tunnel.example.com")).refusal(HTTPS, ca=path)
    assert said.startswith(f"the CA file {path} cannot be used: ")


async def test_server_without_tls_is_told(nursery: trio.Nursery, ca: Path) -> None:
    async def plain(stream: Stream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    assert await Net(nursery, plain).refusal(HTTPS, ca=ca) == (
        "no TLS with tunnel.example.com:443: it does not speak TLS; is it an http:// server?"
    )


async def test_other_failure_of_tls_is_told_in_words(nursery: trio.Nursery) -> None:
    async def refuse(stream: Stream) -> None:
        await stream.receive_some()
        await stream.send_all(b"\x15\x03\x03\x00\x02\x02\x28")  # RFC 5246 7.2: fatal, 40

    said = await Net(nursery, refuse).refusal(HTTPS)
    assert said.startswith("no TLS with tunnel.example.com:443: ")
    assert said.endswith("alert handshake failure")


async def test_server_that_hangs_up_in_the_tls_handshake_is_told(
    nursery: trio.Nursery, ca: Path
) -> None:
    assert await Net(nursery, hang_up).refusal(HTTPS, ca=ca) == (
        "no TLS with tunnel.example.com:443: the connection was closed"
    )


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "403 Forbidden"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops", "502 Bad Gateway"),
        (b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n", "301 Moved"),
        (b"HTTP/1.0 500\r\n\r\n", "500"),
        (b"HTTP/1.1 503 a\x80b\r\n\r\n", "503 a\ufffdb"),
        (
            b"HTTP/1.1 407 Authentication Required\r\n\r\n",
            "407 Authentication Required; it wants a user name and password in HTTPS_PROXY",
        ),
    ],
)
async def test_refusal_of_the_proxy_is_told(
    nursery: trio.Nursery, answer: bytes, said: str
) -> None:
    assert await Net(nursery, Answering(answer)).refusal(HTTP, PROXY) == (
        f"the proxy proxy.example:3128 refuses a connection to tunnel.example.com:8080: {said}"
    )


async def test_refused_credentials_are_told_and_not_repeated(nursery: trio.Nursery) -> None:
    net = Net(nursery, Answering(b"HTTP/1.1 407 No\r\n\r\n"))
    said = await net.refusal(HTTP, SECRET_PROXY)
    assert said.endswith("; it does not take the user name and password in HTTPS_PROXY")
    assert "aHVudGVyMg" not in said


def answer_of(length: int) -> bytes:
    """A success with a head of that many bytes."""
    start, end = b"HTTP/1.1 200 OK\r\nX: ", b"\r\n\r\n"
    return start + b"x" * (length - len(start) - len(end)) + end


async def test_proxys_answer_may_be_as_long_as_the_limit(nursery: trio.Nursery) -> None:
    net = Net(nursery, Answering(answer_of(LONGEST_ANSWER_BYTES)))
    await assert_echoes(await net.open(HTTP, PROXY))


@pytest.mark.parametrize(
    "answer",
    [
        answer_of(LONGEST_ANSWER_BYTES + 1),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46\n",
        b"HTTP/1.1 200 OK\r\n\r\nsurprise",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
    ],
)
async def test_peer_that_is_no_proxy_is_told(nursery: trio.Nursery, answer: bytes) -> None:
    assert await Net(nursery, Answering(answer)).refusal(HTTP, PROXY) == (
        "no way to tunnel.example.com:8080 through the proxy proxy.example:3128: "
        "what came back is not a proxy's answer"
    )


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 20"])
async def test_proxy_that_hangs_up_is_told(nursery: trio.Nursery, answer: bytes) -> None:
    said = await Net(nursery, Answering(answer, then=hang_up)).refusal(HTTP, PROXY)
    assert said == (
        "no way to tunnel.example.com:8080 through the proxy proxy.example:3128: "
        "the connection was closed"
    )


# Deadlines and cancellation


async def hang(host: str, port: int) -> Stream:
    await trio.sleep_forever()
    raise AssertionError


@pytest.mark.parametrize(
    ("proxy", "peer", "said"),
    [
        (None, silent, "no TLS with tunnel.example.com:443"),
        (PROXY, silent, "no way to tunnel.example.com:443 through the proxy proxy.example:3128"),
        (TLS_PROXY, silent, "no TLS with the proxy proxy.example:8443"),
    ],
)
async def test_step_without_an_answer_ends_at_its_deadline(
    nursery: trio.Nursery,
    autojump_clock: trio.testing.MockClock,
    proxy: Proxy | None,
    peer: Peer,
    said: str,
) -> None:
    assert await Net(nursery, peer).refusal(HTTPS, proxy) == f"{said}: no answer within 15 s"
    assert elapsed_s() == pytest.approx(STEP_TIMEOUT_S)


async def test_dialling_without_an_answer_ends_at_its_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(ConnectFailed, match=r"^cannot reach .*: no answer within 15 s$"):
        await open_stream(HTTP, None, None, dial=hang)
    assert elapsed_s() == pytest.approx(STEP_TIMEOUT_S)


async def test_each_step_has_a_deadline_of_its_own(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, ca: Path
) -> None:
    slow = STEP_TIMEOUT_S - 1

    async def slow_tls(stream: Stream) -> None:
        await trio.sleep(slow)
        await Tls("tunnel.example.com")(stream)

    async def slow_proxy(stream: Stream) -> None:
        await trio.sleep(slow)
        await Answering(b"HTTP/1.1 200 OK\r\n\r\n", then=slow_tls)(stream)

    net = Net(nursery, slow_proxy)

    async def slow_dial(host: str, port: int) -> Stream:
        await trio.sleep(slow)
        return await net.dial(host, port)

    await assert_echoes(await open_stream(HTTPS, PROXY, ca, dial=slow_dial))
    assert elapsed_s() == pytest.approx(3 * slow)


@pytest.mark.parametrize("proxy", [None, PROXY, TLS_PROXY])
async def test_cancelling_closes_what_was_opened(
    nursery: trio.Nursery, proxy: Proxy | None
) -> None:
    net = Net(nursery, silent)
    with trio.CancelScope() as scope:
        nursery.start_soon(cancel_when_blocked, scope)
        await net.open(HTTPS, proxy)
    assert scope.cancelled_caught
    with pytest.raises(trio.ClosedResourceError):
        await net.streams[0].send_all(b"x")


async def cancel_when_blocked(scope: trio.CancelScope) -> None:
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()


# Real sockets on loopback


async def listener_on(address: str) -> trio.SocketListener:
    try:
        return (await trio.open_tcp_listeners(0, host=address))[0]
    except OSError:
        pytest.skip(f"this machine has no {address}")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("host", ["localhost", "some.name.localhost"])
async def test_localhost_is_found_on_either_address_without_a_resolver(
    address: str, host: str
) -> None:
    async with await listener_on(address) as listener:
        async with await dial_tcp(host, listener.socket.getsockname()[1]) as stream:
            assert stream.socket.getpeername()[0] == address
            assert stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_localhost_that_refuses_is_told_so_where_there_is_no_ipv6(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def open_tcp_stream(host: str, port: int) -> trio.SocketStream:
        raise all_failed(errno.EAFNOSUPPORT if host == "::1" else errno.ECONNREFUSED)

    monkeypatch.setattr(trio, "open_tcp_stream", open_tcp_stream)
    with pytest.raises(ConnectFailed, match="connection refused"):
        await open_stream(ServerUrl.parse("http://localhost:8080"), None, None)


async def test_kernel_ends_no_connection_that_the_session_still_waits_for() -> None:
    async with await listener_on("127.0.0.1") as listener:
        async with await dial_tcp("localhost", listener.socket.getsockname()[1]) as stream:
            assert stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
            assert stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0


class Resolver(trio.abc.HostnameResolver):
    """Has an answer for each lookup, of one address or of several with spaces between."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def getaddrinfo(
        self, host: bytes | None, port: bytes | str | int | None, *args: Any, **kwargs: Any
    ) -> list[Any]:
        if not self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, (address, port)) for address in self.answers.pop(0).split()]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise NotImplementedError


async def test_name_is_resolved_anew_for_each_connection() -> None:
    async with await listener_on("127.0.0.1") as listener:
        server = ServerUrl("http", "tunnel.example.com", listener.socket.getsockname()[1])
        trio.socket.set_custom_hostname_resolver(Resolver("127.0.0.1", "127.0.0.1"))
        for _ in range(2):
            await (await open_stream(server, None, None)).aclose()
        with pytest.raises(ConnectFailed, match="the name cannot be resolved"):
            await open_stream(server, None, None)


async def test_an_address_that_is_dead_is_passed_over_for_the_next() -> None:
    async with await listener_on("127.0.0.1") as listener:
        port = listener.socket.getsockname()[1]
        with socket.socket() as dead, socket.socket() as filler:
            dead.bind(("127.0.0.2", port))
            dead.listen(0)  # room for one, and then SYNs are dropped, as by a firewall
            filler.connect(("127.0.0.2", port))
            trio.socket.set_custom_hostname_resolver(Resolver("127.0.0.2 127.0.0.1"))
            async with await dial_tcp("tunnel.example.com", port) as stream:
                assert stream.socket.getpeername()[0] == "127.0.0.1"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_port_that_nobody_listens_on_is_told(host: str) -> None:
    with socket.socket() as taken:  # bound and not listening: refused, and nobody else gets it
        taken.bind(("127.0.0.1", 0))
        server = ServerUrl("http", host, taken.getsockname()[1])
        with pytest.raises(ConnectFailed) as caught:
            await open_stream(server, None, None)
    assert str(caught.value) == (
        f"cannot reach {server.authority}: connection refused; is tunnel-server running?"
    )
