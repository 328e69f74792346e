from __future__ import annotations

import json

import pytest
import trio
import trio.testing

from protocol.backoff import LONGEST_ASKED_S
from protocol.errors import HandshakeRefused
from protocol.http.websocket import accept_for
from protocol.limits import FIRST_CREDIT_BYTES, HANDSHAKE_TIMEOUT_S, STREAMS_MAX
from protocol.mux.map_bodies import pack_map
from protocol.mux.messages import Goaway, Refused
from protocol.mux.wire import FrameType, frame
from tests.clocks import elapsed_s
from tests.server_fakes import Server, a_config
from tunnel_client.uplink.connect import ConnectFailed
from tunnel_client.uplink.opening import LONGEST_ANSWER_BYTES, failure_of, open_transport

URL = "http://tunnel.test"


async def client(
    stream: trio.abc.Stream, host: str = "tunnel.test"
) -> ConnectFailed | HandshakeRefused | None:
    """The client's side, to its end; what became of it."""
    outcome = None
    try:
        async with trio.open_nursery() as nursery:
            await open_transport(nursery, stream, a_config(host=host), "1.2")
            nursery.cancel_scope.cancel()
    except* Exception as group:  # noqa: BLE001  # as the link does
        outcome = failure_of(group, URL)
    return outcome


class Handshake:
    """A client that opens, and the server's end of its connection."""

    def __init__(self, nursery: trio.Nursery, host: str = "tunnel.test") -> None:
        ours, theirs = trio.testing.memory_stream_pair()
        self.server = Server(theirs)
        self.outcome: ConnectFailed | HandshakeRefused | None = None
        self.over = trio.Event()
        nursery.start_soon(self._run, ours, host)

    async def _run(self, stream: trio.abc.Stream, host: str) -> None:
        self.outcome = await client(stream, host)
        self.over.set()

    async def failure(self) -> str:
        """Why it has to be tried again."""
        await self.over.wait()
        assert isinstance(self.outcome, ConnectFailed), self.outcome
        return str(self.outcome)

    async def advice(self) -> tuple[bool, float | None]:
        """Whether it is a mistake, and how long the server asks to wait."""
        await self.over.wait()
        assert isinstance(self.outcome, ConnectFailed), self.outcome
        return self.outcome.final, self.outcome.retry_after_s

    async def refusal(self) -> tuple[str, str]:
        """Code and message of a refusal for good."""
        await self.over.wait()
        assert isinstance(self.outcome, HandshakeRefused), self.outcome
        return self.outcome.code, self.outcome.message


# --- what is sent --------------------------------------------------------------------------------


@pytest.mark.parametrize(("host", "in_head"), [("tunnel.test", b"tunnel.test"), ("::1", b"[::1]")])
async def test_the_handshake_names_host_subprotocol_and_token(
    nursery: trio.Nursery, host: str, in_head: bytes
) -> None:
    head = (await Handshake(nursery, host).server.head()).lower()
    assert head.startswith(b"get /_tunnel/control http/1.1\r\n")
    assert b"\r\nhost: " + in_head + b"\r\n" in head
    assert b"\r\nsec-websocket-protocol: trio-tunnel.2, trio-tunnel.1\r\n" in head
    assert b"\r\nauthorization: bearer secret-token\r\n" in head
    nursery.cancel_scope.cancel()


async def test_hello_says_what_this_client_serves(nursery: trio.Nursery) -> None:
    handshake = Handshake(nursery)
    await handshake.server.open(nursery)
    await handshake.over.wait()
    assert handshake.outcome is None
    hello = handshake.server.hello
    assert hello is not None
    assert hello.agent == "trio-tunnel/1.2"
    assert (hello.max_streams, hello.body_credit) == (STREAMS_MAX, FIRST_CREDIT_BYTES)
    nursery.cancel_scope.cancel()


# --- what may be tried again ---------------------------------------------------------------------


async def test_a_server_that_closes_before_it_answers(nursery: trio.Nursery) -> None:
    handshake = Handshake(nursery)
    await handshake.server.head()
    await handshake.server.stream.aclose()
    assert await handshake.failure() == f"{URL} closed the connection before it answered"


async def test_a_server_that_closes_before_it_reads(nursery: trio.Nursery) -> None:
    handshake = Handshake(nursery)
    await handshake.server.stream.aclose()
    assert await handshake.failure() == f"{URL} closed the connection before it answered"


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"\x16\x03\x01\0\x02\x02\x46"])
async def test_a_server_that_speaks_no_http(nursery: trio.Nursery, answer: bytes) -> None:
    handshake = Handshake(nursery)
    await handshake.server.answer(answer)
    await handshake.server.stream.aclose()
    assert await handshake.failure() == f"what answers at {URL} is not a tunnel-server"


async def test_a_server_that_never_answers(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    handshake = Handshake(nursery)
    assert await handshake.failure() == f"{URL} did not answer within {HANDSHAKE_TIMEOUT_S} s"
    assert elapsed_s() == HANDSHAKE_TIMEOUT_S


async def test_a_server_that_never_says_welcome(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    handshake = Handshake(nursery)
    await handshake.server.answer(b"HTTP/1.1 101 x\r\n")
    assert await handshake.failure() == f"{URL} did not answer within {HANDSHAKE_TIMEOUT_S} s"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops", 502),
        (b"HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 502),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", 401),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 103),
    ],
)
async def test_an_answer_that_is_not_a_tunnel_servers(
    nursery: trio.Nursery, answer: bytes, status: int
) -> None:
    handshake = Handshake(nursery)
    await handshake.server.answer(answer)
    assert await handshake.failure() == f"{URL} answered {status}, and not as a tunnel-server"


@pytest.mark.parametrize(
    ("status", "final"),
    [(200, True), (301, True), (401, True), (404, True), (408, False), (429, False), (502, False)],
)
async def test_what_answers_and_is_no_tunnel_server_is_a_mistake_unless_that_passes(
    nursery: trio.Nursery, status: int, final: bool
) -> None:
    handshake = Handshake(nursery)
    await handshake.server.answer(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % status)
    assert await handshake.advice() == (final, None)


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/2 200\r\n\r\n"])
async def test_what_speaks_no_http_is_a_mistake(nursery: trio.Nursery, answer: bytes) -> None:
    handshake = Handshake(nursery)
    await handshake.server.answer(answer)
    await handshake.server.stream.aclose()
    assert await handshake.advice() == (True, None)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"\x15\x03\x01\0\x02\x02\x46", f"what answers at {URL} speaks TLS"),
        # nginx, Go's net/http and tunnel-server answer like this.
        (
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            f"{URL} answered 400, and not as",
        ),
    ],
)
async def test_a_server_that_speaks_tls_is_asked_whether_it_is_https(
    nursery: trio.Nursery, answer: bytes, said: str
) -> None:
    handshake = Handshake(nursery)
    await handshake.server.answer(answer)
    await handshake.server.stream.aclose()
    failure = await handshake.failure()
    assert failure.startswith(said)
    assert failure.endswith("; is it an https:// server?")
    assert await handshake.advice() == (True, None)


@pytest.mark.parametrize(
    ("value", "asked_s"),
    [
        (b"1", 1),
        (b"0", 0),
        (b"3600", LONGEST_ASKED_S),
        (b"Fri, 31 Dec 1999 23:59:59 GMT", None),
        (b"-1", None),
        (b"1.5", None),
        (b"9" * 10, None),
    ],
)
@pytest.mark.parametrize("own", [b"", b"Tunnel-Error: overloaded\r\n"])
async def test_how_long_the_server_asks_to_wait_is_heard(
    nursery: trio.Nursery, own: bytes, value: bytes, asked_s: float | None
) -> None:
    handshake = Handshake(nursery)
    head = b"HTTP/1.1 503 x\r\nRetry-After: %b\r\n%bContent-Length: 0\r\n\r\n"
    await handshake.server.answer(head % (value, own))
    assert await handshake.advice() == (False, asked_s)


async def test_a_page_that_ends_with_its_connection(nursery: trio.Nursery) -> None:
    handshake = Handshake(nursery)
    await handshake.server.answer(b"HTTP/1.1 503 Busy\r\nConnection: close\r\n\r\n<html>")
    await handshake.server.stream.aclose()
    assert await handshake.failure() == f"{URL} answered 503, and not as a tunnel-server"


async def test_a_page_without_an_end_does_not_fill_memory(nursery: trio.Nursery) -> None:
    handshake = Handshake(nursery)
    await handshake.server.answer(b"HTTP/1.1 503 Busy\r\nConnection: close\r\n\r\n")
    await handshake.server.stream.send_all(bytes(LONGEST_ANSWER_BYTES))
    assert (await handshake.failure()).startswith(f"{URL} answered 503")


async def test_a_redirect_says_where_to(nursery: trio.Nursery) -> None:
    handshake = Handshake(nursery)
    answer = b"HTTP/1.1 301 Moved\r\nLocation: https://tunnel.test/\x1b[2J\r\n"
    await handshake.server.answer(answer.replace(b"\x1b", b"") + b"Content-Length: 0\r\n\r\n")
    said = await handshake.failure()
    assert said.endswith("and not as a tunnel-server: it redirects to https://tunnel.test/[2J")


@pytest.mark.parametrize("code", ["draining", "overloaded", "tunnel-offline", "origin-refused"])
async def test_a_refusal_that_is_for_now(nursery: trio.Nursery, code: str) -> None:
    handshake = Handshake(nursery)
    await handshake.server.answer(refusal(503, code, "come back later"))
    assert await handshake.failure() == f"{URL} does not take us now: come back later"


@pytest.mark.parametrize(
    ("status", "code"), [(503, "overloaded"), (503, "draining"), (429, "too-many-requests")]
)
async def test_a_refusal_for_now_says_what_the_server_advises(
    nursery: trio.Nursery, status: int, code: str
) -> None:
    handshake = Handshake(nursery)
    await handshake.server.answer(refusal(status, code, "It is full.", "Stop\x1b clients."))
    said = await handshake.failure()
    assert said == f"{URL} does not take us now: It is full. Stop\\x1b clients."


async def test_a_server_that_accepts_without_our_subprotocol(nursery: trio.Nursery) -> None:
    handshake = Handshake(nursery)
    head = await handshake.server.head()
    await handshake.server.stream.send_all(switching(head))
    said = await handshake.failure()
    assert "subprotocol" in said


async def test_a_101_with_a_wrong_accept(nursery: trio.Nursery) -> None:
    handshake = Handshake(nursery)
    await handshake.server.answer(switching(b""))
    assert await handshake.failure() == f"what answers at {URL} is not a tunnel-server"


def switching(head: bytes) -> bytes:
    key = b"x"
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"sec-websocket-key:"):
            key = line.partition(b":")[2].strip()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: " + accept_for(key) + b"\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (b"\xff" * 30, "no session with"),
        (frame(FrameType.GOAWAY, 0, pack_map(Goaway("draining", "I stop", 0))), "I stop"),
        (
            frame(FrameType.REFUSED, 0, pack_map(Refused(0, "overloaded", "too many"))),
            "too many",
        ),
    ],
)
async def test_a_first_message_that_is_no_welcome(
    nursery: trio.Nursery, first: bytes, said: str
) -> None:
    handshake = Handshake(nursery)
    await handshake.server.open(nursery, welcome=first)
    assert said in await handshake.failure()
    nursery.cancel_scope.cancel()


async def test_a_server_that_closes_instead_of_welcome(nursery: trio.Nursery) -> None:
    handshake = Handshake(nursery)
    await handshake.server.head()
    await handshake.server.stream.aclose()
    await handshake.failure()


# --- refusals for good ---------------------------------------------------------------------------


def refusal(status: int, code: str, cause: str | None, advice: str | None = None) -> bytes:
    members = {"cause": cause} | ({} if advice is None else {"next": advice})
    body = b"" if cause is None else json.dumps(members).encode()
    head = f"HTTP/1.1 {status} x\r\nTunnel-Error: {code}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "unauthorized"), (400, "version-not-supported"), (426, "upgrade-required")],
)
async def test_the_servers_own_refusal_is_final_and_says_why(
    nursery: trio.Nursery, status: int, code: str
) -> None:
    handshake = Handshake(nursery)
    await handshake.server.answer(refusal(status, code, "because"))
    assert await handshake.refusal() == (code, "because")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"cause"', b"\xff\xfe", b'{"a": 1}'])
async def test_a_refusal_without_our_json_gives_its_code(
    nursery: trio.Nursery, body: bytes
) -> None:
    handshake = Handshake(nursery)
    head = b"HTTP/1.1 401 x\r\nTunnel-Error: unauthorized\r\nContent-Length: %d\r\n\r\n"
    await handshake.server.answer(head % len(body) + body)
    assert await handshake.refusal() == ("unauthorized", "unauthorized")


async def test_a_refused_hello_is_final(nursery: trio.Nursery) -> None:
    handshake = Handshake(nursery)
    said = Refused(0, "forbidden", "not you")
    message = frame(FrameType.REFUSED, 0, pack_map(said))
    await handshake.server.open(nursery, welcome=message)
    assert await handshake.refusal() == ("forbidden", "not you")
    nursery.cancel_scope.cancel()


def test_an_exception_that_nobody_foresaw_is_still_one_reason() -> None:
    group = ExceptionGroup("", [ExceptionGroup("", [UnicodeDecodeError("ascii", b"", 0, 1, "x")])])
    assert str(failure_of(group, URL)) == f"what answers at {URL} is not a tunnel-server"
