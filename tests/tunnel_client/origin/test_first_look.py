from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from protocol.errors import NoHttpError
from protocol.http.limits import HEAD_MAX_BYTES
from tests.origin_fakes import App, RawOrigin, listen
from tunnel_client.observing.events import ClientEvent, Warned
from tunnel_client.origin.connection import OriginClosed
from tunnel_client.origin.dial import Dialer, OriginCertificateRefused, OriginDown, OriginRefused
from tunnel_client.origin.first_look import REST_BYTES_MAX, SILENT_S, look_at_app, warning_of
from tunnel_client.origin.no_http import REST_S
from tunnel_client.settings.target import Target

TARGET = Target.parse("3000")
NO_HTTP = NoHttpError("bad-request", "what came is no answer in HTTP/1.0 or HTTP/1.1")


class Sink:
    def __init__(self) -> None:
        self.told: list[ClientEvent] = []

    def tell(self, event: ClientEvent) -> None:
        self.told.append(event)


class Look:
    """A look that is under way at an app that the test plays."""

    def __init__(self, nursery: trio.Nursery, origin: RawOrigin) -> None:
        self.sink = Sink()
        self.over = trio.Event()
        nursery.start_soon(self._run, origin.target)

    async def _run(self, target: Target) -> None:
        await look_at_app(Dialer(target), "tests/1", self.sink, asks=True)
        self.over.set()

    async def warning(self) -> tuple[str, str]:
        await self.over.wait()
        [told] = self.sink.told
        assert isinstance(told, Warned)
        return told.code, told.message


async def asked(app: App) -> None:
    head = await app.request()
    assert head.startswith(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nUser-Agent: tests/1\r\n" in head


@pytest.mark.parametrize(
    "answer",
    [
        [b"HTTP/1.1 200 OK\r\n"],
        [b"HTTP/1.0 500 Oh\r\n\r\n"],
        [b"H", b"TTP/1.1 404 "],
        [b"HTTP/1.1 no number\r\n\r\n"],  # the first visitor will hear of that
        [b"HTTP/1.1 200 OK\r\nX: " + bytes(HEAD_MAX_BYTES)],
    ],
)
async def test_an_answer_in_http_is_nothing_to_tell(
    nursery: trio.Nursery, answer: list[bytes]
) -> None:
    origin = await listen()
    look = Look(nursery, origin)
    app = await origin.accept()
    await asked(app)
    for piece in answer:
        await app.send(piece)
        await trio.testing.wait_all_tasks_blocked()
    await app.send(b"and the rest, which is read, so that the app may end in peace")
    await trio.testing.wait_all_tasks_blocked()
    await app.close()
    await look.over.wait()
    assert look.sink.told == []
    await origin.end()


async def test_an_answer_without_end_is_read_for_2_s_or_1_mib(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    for sends in (b"", bytes(REST_BYTES_MAX)):
        origin = await listen()
        look = Look(nursery, origin)
        app = await origin.accept()
        await asked(app)
        await app.send(b"HTTP/1.1 200 OK\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not look.over.is_set()
        if sends:
            await app.send(sends)
        else:
            mock_clock.jump(SILENT_S)
        await look.over.wait()
        assert look.sink.told == []
        await origin.end()


@pytest.mark.parametrize("asks", [True, False])
async def test_an_app_that_does_not_run_is_told_of_and_what_to_do(asks: bool) -> None:
    origin = await listen()
    await origin.end()
    sink = Sink()
    await look_at_app(Dialer(origin.target), "b", sink, asks=asks)
    said = f"nothing listens on {origin.target}; start the app, or give its port"
    assert sink.told == [Warned("origin-refused", said)]


async def test_one_that_is_silent_for_2_s_may_be_busy(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    origin = await listen()
    look = Look(nursery, origin)
    app = await origin.accept()
    await asked(app)
    mock_clock.jump(SILENT_S - 0.1)
    await trio.testing.wait_all_tasks_blocked()
    assert not look.over.is_set()
    mock_clock.jump(0.1)
    assert await look.warning() == (
        "origin-silent",
        f"{origin.target} takes connections, and has said nothing for 2 s: it is busy, or no web"
        " app",
    )
    await origin.end()


@pytest.mark.parametrize("is_reset", [False, True])
async def test_one_that_closes_without_an_answer(nursery: trio.Nursery, is_reset: bool) -> None:
    origin = await listen()
    look = Look(nursery, origin)
    app = await origin.accept()
    await asked(app)
    app.reset() if is_reset else await app.close()
    said = f"{origin.target} closed the connection without an answer; is it a web app?"
    assert await look.warning() == ("origin-protocol-error", said)
    await origin.end()


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
async def test_what_speaks_something_else_is_called_by_its_name(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock, greeting: bytes, service: str
) -> None:
    origin = await listen()
    look = Look(nursery, origin)
    app = await origin.accept()
    await app.send(greeting)
    await trio.testing.wait_all_tasks_blocked(0.01)
    mock_clock.jump(REST_S)  # an SSH server says no more, and waits
    said = f"{origin.target} is no web app: this is {service}"
    assert await look.warning() == ("origin-protocol-error", said)
    await origin.end()


@pytest.mark.parametrize(
    ("problem", "data", "code", "said"),
    [
        (OriginDown("nobody"), b"", "origin-refused", "nobody; start the app, or give its port"),
        (OriginRefused("no way"), b"", "origin-refused", "no way"),
        (OriginCertificateRefused("not trusted"), b"", "origin-untrusted", "not trusted"),
        (NO_HTTP, b"\x15\x03\x01", "origin-protocol-error", "share https://localhost:3000"),
        (NO_HTTP, b"\x1b[2J", "origin-protocol-error", '"\\x1b[2J"'),
        (OriginClosed(), b"", "origin-protocol-error", "closed the connection without an answer"),
    ],
)
def test_whoever_asked_may_have_the_words(
    problem: OriginRefused | NoHttpError | OriginClosed, data: bytes, code: str, said: str
) -> None:
    warning = warning_of(TARGET, problem, data)
    assert warning.code == code
    assert said in warning.message


async def test_where_it_does_not_ask_a_connection_is_enough() -> None:
    origin = await listen()
    sink = Sink()
    await look_at_app(Dialer(origin.target), "b", sink, asks=False)
    assert sink.told == []
    assert await (await origin.accept()).rest() == b""
    await origin.end()


async def test_a_look_that_is_cancelled_leaves_nothing_open(nursery: trio.Nursery) -> None:
    origin = await listen()
    with trio.move_on_after(1):
        async with trio.open_nursery() as inner:
            look = partial(look_at_app, Dialer(origin.target), "b", Sink(), asks=True)
            inner.start_soon(look)
            app = await origin.accept()
            await app.request()
            inner.cancel_scope.cancel()
        assert await app.rest() == b""
    await origin.end()


async def test_a_socket_that_is_not_there_is_named(nursery: trio.Nursery, tmp_path: Path) -> None:
    target = Target.parse(f"unix:{tmp_path}/app.sock")
    sink = Sink()
    await look_at_app(Dialer(target), "b", sink, asks=True)
    [told] = sink.told
    assert isinstance(told, Warned)
    assert told.message.startswith(f"there is no socket at {target}")
