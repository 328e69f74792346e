from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.errors import HttpError, NoHttpError
from tunnel_client.observing.events import Warned
from tunnel_client.origin.connection import OriginClosed
from tunnel_client.origin.dial import OriginCertificateRefused, OriginRefused
from tunnel_client.origin.first_look import SILENT_S, FirstLook, Problem, warning_of
from tunnel_client.settings.target import Target

TARGET = Target.parse("3000")
NO_HTTP = NoHttpError("bad-request", "what came is no answer in HTTP/1.0 or HTTP/1.1")


class Sink:
    def __init__(self) -> None:
        self.told: list[Warned] = []

    def tell(self, event: Warned) -> None:
        self.told.append(event)


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
        (NO_HTTP, b"\x15\x03\x01", "origin-protocol-error", "share https://localhost:3000"),
        (NO_HTTP, b"\x1b[2J", "origin-protocol-error", '"\\x1b[2J"'),
        (OriginClosed(), b"", "origin-protocol-error", "closed the connection without an answer"),
        (trio.TooSlowError(), b"", "origin-silent", "has said nothing for 2 s: it is busy, or no"),
    ],
)
def test_each_problem_has_its_words(problem: Problem, data: bytes, code: str, said: str) -> None:
    warning = warning_of(TARGET, problem, data)
    assert warning is not None
    assert warning.code == code
    assert said in warning.message


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
    assert [told.code for told in sink.told] == ["origin-silent"]
    assert "over" in repr(look)


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
