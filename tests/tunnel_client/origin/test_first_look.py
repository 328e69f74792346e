from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.errors import HttpError, NoHttpError
from tests.origin_fakes import App, RawOrigin, listen
from tunnel_client.observing.events import ClientEvent, OriginWentDown, TunnelReady, Warned
from tunnel_client.origin.connection import OriginClosed
from tunnel_client.origin.dial import OriginCertificateRefused, OriginRefused
from tunnel_client.origin.first_look import (
    LISTENS_S,
    SILENT_S,
    FirstLook,
    Problem,
    SilentLook,
    leads_back,
    warning_of,
)
from tunnel_client.origin.no_http import REST_S
from tunnel_client.origin.waiting import PatientDialer
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.target import Target

TARGET = Target.parse("3000")
SPEAKS_TLS = "http://localhost:3000 speaks TLS, and was asked without it"
BY_TLS = "tunnel-client http https://localhost:3000"
NO_HTTP = NoHttpError("bad-request", "what came is no answer in HTTP/1.0 or HTTP/1.1")


class Sink:
    def __init__(self) -> None:
        self.told: list[ClientEvent] = []

    def tell(self, event: ClientEvent) -> None:
        self.told.append(event)

    @property
    def warnings(self) -> list[Warned]:
        return [event for event in self.told if isinstance(event, Warned)]


@pytest.mark.parametrize(
    ("greeting", "service"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", "an SSH server"),
        (b"J\0\0\0\x0a8.0.36\0", "MySQL or MariaDB"),
        (b"\x0a\0\0\0\x0a5.5.5-10.11.6-MariaDB\0", "MySQL or MariaDB"),
        (b"D\0\0\0\xffj\x04Host 'x' is not allowed", "MySQL or MariaDB"),
        (b"-ERR wrong number of arguments for 'get' command\r\n", "Redis"),
        (b"-NOAUTH Authentication required.\r\n", "Redis"),
        (b"220 mail.example ESMTP Postfix\r\n", "a mail or FTP server"),
        (b"+OK POP3 ready\r\n", "a mail server"),
        (b"* OK [CAPABILITY IMAP4rev1] ready\r\n", "a mail server"),
        (b"RFB 003.008\n", "a VNC server"),
    ],
)
def test_what_speaks_something_else_is_called_by_its_name(greeting: bytes, service: str) -> None:
    said = f"{TARGET} is no web app: this is {service}"
    assert warning_of(TARGET, NO_HTTP, greeting) == Warned("origin-protocol-error", said)


@pytest.mark.parametrize(
    ("problem", "data", "code", "said"),
    [
        (OriginRefused("no way"), b"", "origin-refused", "no way"),
        (OriginCertificateRefused("not trusted"), b"", "origin-untrusted", "not trusted"),
        (NO_HTTP, b"\x15\x03\x01", "origin-protocol-error", f"{SPEAKS_TLS}; share it by: {BY_TLS}"),
        (NO_HTTP, b"\x1b[2J", "origin-protocol-error", '"\\x1b[2J"'),
        (OriginClosed(), b"", "origin-protocol-error", "closed the connection without an answer"),
        (OriginClosed(), b"", "origin-protocol-error", f"? If it speaks TLS: {BY_TLS}"),
        (trio.TooSlowError(), b"", "origin-silent", "has said nothing for 2 s: it is busy, or no"),
    ],
)
def test_each_problem_has_its_words(problem: Problem, data: bytes, code: str, said: str) -> None:
    warning = warning_of(TARGET, problem, data)
    assert warning is not None
    assert warning.code == code
    assert said in warning.message


WANT_TLS = (
    b"<center>The plain HTTP request was sent to HTTPS port</center>",
    b"Client sent an HTTP request to an HTTPS server.\n",
    b"Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",
    b"Bad Request\r\nThis combination of host and port requires TLS.\r\n",
    b"This is an https:// address, and the request came without TLS.\n",
)


@pytest.mark.parametrize(
    ("status", "body", "is_told"),
    [
        *((400, body, True) for body in WANT_TLS),
        (200, WANT_TLS[0], False),
        (400, b"no Host", False),
    ],
)
def test_an_answer_that_wants_tls_is_told_with_what_to_type(
    status: int, body: bytes, is_told: bool
) -> None:
    sink = Sink()
    look = FirstLook(TARGET, sink)
    look.saw(status, body)
    look.saw(400, WANT_TLS[0])  # of what comes after the first answer nothing is told
    said = Warned("origin-protocol-error", f"{SPEAKS_TLS}; share it by: {BY_TLS}")
    assert sink.told == ([said] if is_told else [])


@pytest.mark.parametrize("target", ["https://localhost:3000", "unix:/app.sock"])
def test_what_speaks_tls_already_or_cannot_is_not_told_to(target: str) -> None:
    warning = warning_of(Target.parse(target), OriginClosed())
    assert warning is not None
    assert warning.message.endswith("; is it a web app?")


def test_bad_http_is_http_and_told_by_the_first_visitors_request() -> None:
    assert warning_of(TARGET, HttpError("head-too-large", "a long head")) is None


async def test_an_app_that_says_nothing_for_2_s_is_told_of_once(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    sink = Sink()
    look = FirstLook(TARGET, sink)
    nursery.start_soon(look.watch)
    mock_clock.jump(SILENT_S)
    await wait_all_tasks_blocked()
    look.asked()
    await wait_all_tasks_blocked()
    mock_clock.jump(SILENT_S - 0.1)
    await wait_all_tasks_blocked()
    assert sink.told == []
    mock_clock.jump(0.1)
    await wait_all_tasks_blocked()
    look.failed(OriginClosed())
    assert [told.code for told in sink.warnings] == ["origin-silent"]
    assert "over" in repr(look)


@pytest.mark.parametrize("end", ["answered", "failed", "saw"])
def test_a_target_that_is_the_tunnel_server_is_told_once_whatever_it_answers(end: str) -> None:
    server = ServerUrl.parse("http://127.0.0.1:3000")
    loop = leads_back(TARGET, server)
    assert loop is not None
    said = "http://localhost:3000 is the tunnel-server itself, and no app of yours: "
    assert loop.message.startswith(said)
    sink = Sink()
    look = FirstLook(TARGET, sink, loop)
    for _ in range(2):
        if end == "answered":
            look.answered()
        elif end == "failed":
            look.failed(OriginClosed())
        else:
            look.saw(400, WANT_TLS[0])
    assert sink.told == [loop]
    assert leads_back(Target.parse("3001"), server) is None


@pytest.mark.parametrize("fails", [True, False])
async def test_of_what_comes_after_the_first_answer_nothing_is_told(
    nursery: trio.Nursery, mock_clock: MockClock, fails: bool
) -> None:
    sink = Sink()
    look = FirstLook(TARGET, sink)
    nursery.start_soon(look.watch)
    look.asked()
    if fails:
        look.failed(OriginClosed())
    else:
        look.answered()
    await wait_all_tasks_blocked()
    look.failed(OriginClosed())
    mock_clock.jump(SILENT_S)
    await wait_all_tasks_blocked()
    assert len(sink.told) == int(fails)


# --- a look that asks nothing ---

READY = TunnelReady("https://demo.example", "demo", "https://example", "local")


class Quiet:
    """A look at an app that the test plays, which sends nothing to it."""

    def __init__(self, nursery: trio.Nursery, target: Target) -> None:
        self.sink = Sink()
        self.over = trio.Event()
        self.look = SilentLook(FirstLook(target, self.sink), self.sink)
        self.dialer = PatientDialer(target, wait_s=3, sink=self.look)
        nursery.start_soon(self._run)

    async def _run(self) -> None:
        await self.look.run(self.dialer.open_now)
        self.over.set()

    async def told(self) -> list[ClientEvent]:
        """What it tells behind READY."""
        await self.over.wait()
        assert self.sink.told[0] == READY
        return self.sink.told[1:]


async def looked_at(nursery: trio.Nursery) -> tuple[Quiet, RawOrigin, App]:
    origin = await listen()
    quiet = Quiet(nursery, origin.target)
    quiet.look.tell(READY)
    return quiet, origin, await origin.accept()


async def test_where_it_does_not_ask_a_connection_is_enough(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    quiet, origin, app = await looked_at(nursery)
    await wait_all_tasks_blocked(0.01)
    mock_clock.jump(LISTENS_S - 0.1)
    await wait_all_tasks_blocked(0.01)
    assert not quiet.over.is_set()
    mock_clock.jump(0.1)
    assert await app.rest() == b""
    assert await quiet.told() == []
    await origin.end()


async def test_it_looks_once_and_only_when_the_tunnel_has_its_name(nursery: trio.Nursery) -> None:
    origin = await listen()
    quiet = Quiet(nursery, origin.target)
    await wait_all_tasks_blocked(0.01)
    assert not origin.is_asked
    quiet.look.tell(READY)
    await (await origin.accept()).close()
    await quiet.over.wait()
    quiet.look.tell(READY)
    await wait_all_tasks_blocked(0.01)
    assert not origin.is_asked
    assert "begun" in repr(quiet.look)
    await origin.end()


@pytest.mark.parametrize("pieces", [[b"SSH-2.0-OpenSSH_9.2\r\n"], [b"S", b"SH-2.0-x\r\n"]])
async def test_what_speaks_first_is_no_web_app(
    nursery: trio.Nursery, mock_clock: MockClock, pieces: list[bytes]
) -> None:
    quiet, origin, app = await looked_at(nursery)
    for piece in pieces:
        await app.send(piece)
        await wait_all_tasks_blocked(0.01)
    mock_clock.jump(REST_S)  # an SSH server says no more, and waits
    said = f"{origin.target} is no web app: this is an SSH server"
    assert await quiet.told() == [Warned("origin-protocol-error", said)]
    assert await app.rest() == b""
    await origin.end()


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"HTTP/1.1 x\r\n\r\n"]
)
@pytest.mark.parametrize("is_reset", [False, True])
async def test_an_app_that_closes_before_it_is_asked_may_be_one_of_the_web(
    nursery: trio.Nursery, said: bytes, is_reset: bool
) -> None:
    quiet, origin, app = await looked_at(nursery)
    await app.send(said)
    app.reset() if is_reset else await app.close()
    assert await quiet.told() == []
    await origin.end()


async def test_that_nobody_listens_is_told_by_the_dialer_alone(nursery: trio.Nursery) -> None:
    origin = await listen()
    await origin.end()
    quiet = Quiet(nursery, origin.target)
    quiet.look.tell(READY)
    assert await quiet.told() == [OriginWentDown(f"nothing listens on {origin.target}", 3)]


async def test_a_socket_that_is_not_there_is_named(nursery: trio.Nursery, tmp_path: Path) -> None:
    quiet = Quiet(nursery, Target.parse(f"unix:{tmp_path}/app.sock"))
    quiet.look.tell(READY)
    assert await quiet.told() == [OriginWentDown(f"there is no socket at {quiet.dialer.target}", 3)]


async def test_https_to_an_app_that_speaks_http_is_told(nursery: trio.Nursery) -> None:
    origin = await listen("https")
    quiet = Quiet(nursery, origin.target)
    quiet.look.tell(READY)
    app = await origin.accept()
    await app.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    said = f"{origin.target} does not speak TLS; is it an http:// app?"
    assert await quiet.told() == [Warned("origin-refused", said)]
    await origin.end()


async def test_a_quiet_look_that_is_cancelled_leaves_nothing_open() -> None:
    async with trio.open_nursery() as nursery:
        _, origin, app = await looked_at(nursery)
        await wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    assert await app.rest() == b""
    await origin.end()
