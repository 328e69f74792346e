"""From the place that refuses a request to the bytes of the error: few files, and these in order.

ARCHITECTURE.md names the files of one error. A profile function notes each call into our packages
from the moment that a refusal is made to the moment that the answer is sent, here for one of each
kind of refusal. Once the reading task has handed over, what it does is not part of the error's way.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.errors import HttpError, ProtocolError
from tests.edge_fakes import World, echo, get, hello, open_world, tunnel_error
from tests.tunnel_server.control_client import handshake
from tunnel_server.answers.refusal import Refusal
from tunnel_server.owners import waiting
from tunnel_server.visitors.answering import AnswerWriter
from tunnel_server.visitors.connection import Connection

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("protocol", "tunnel_server")
FILES_MAX = 8
# How a refusal is made: the classes themselves are no place that refuses.
REFUSES = {
    Refusal.__new__.__code__,
    *(kind.__init__.__code__ for kind in (HttpError, ProtocolError)),
}

HTML = b"Accept: text/html"
UPLOAD = b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 1\r\n\r\n"


def documented() -> list[str]:
    """The files of one error, in order."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    section = text.partition("## One error")[2].partition("\n## ")[0]
    return re.findall(r"^\d\. `([\w/]+\.py)`", section, re.MULTILINE)


@contextmanager
def files_called() -> Iterator[list[str]]:
    """The files of ours in which functions are called or go on, in the order of the first time."""
    files: list[str] = []
    handed_over = sent = False

    def note(frame: FrameType, event: str, _: object) -> None:
        nonlocal handed_over, sent
        if event != "call" or sent:
            return
        name, code = _name(frame), frame.f_code
        if code in REFUSES:
            if not files and frame.f_back is not None:
                files.append(_name(frame.f_back))
            return
        if not files or (handed_over and code is not AnswerWriter.run.__code__):
            return
        handed_over = code is Connection.hand_over.__code__
        sent = code is Connection.send.__code__
        if name.partition("/")[0] in PACKAGES and name not in files:
            files.append(name)

    sys.setprofile(note)
    try:
        yield files
    finally:
        sys.setprofile(None)


def _name(frame: FrameType) -> str:
    path = Path(frame.f_code.co_filename)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else ""


async def test_an_error_walks_through_the_documented_files_in_order(
    world: World, mock_clock: MockClock
) -> None:
    visitor = world.visit()
    await wait_all_tasks_blocked()
    with files_called() as files:
        await visitor.send(get(b"/", HTML))
        answer = await visitor.head()
    assert tunnel_error(answer) == (404, "tunnel-not-found")
    assert files == documented()
    assert len(files) <= FILES_MAX


@pytest.fixture
async def world(caplog: pytest.LogCaptureFixture) -> AsyncIterator[World]:
    """An edge that logs nothing of what it refuses: a log's format is no part of the way."""
    caplog.set_level(logging.WARNING, "tunnel_server")
    async with open_world() as world:
        yield world


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (get(b"/", HTML), (503, "overloaded")),
        (get(b"/", HTML, host=b"elsewhere.test"), (421, "unknown-host")),
        (get(b"/none", host=b"localhost"), (404, "tunnel-not-found")),
        (get(b"/", host=b"gone.localhost"), (503, "tunnel-offline")),
        (handshake(version=b"12"), (426, "upgrade-required")),
        (b"GET / HTTP/1.1\r\n\r\n", (400, "bad-request")),
    ],
)
async def test_each_kind_of_refusal_takes_few_files(
    world: World,
    mock_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    raw: bytes,
    error: tuple[int, str],
) -> None:
    monkeypatch.setattr(waiting, "WAIT_S", 0.0)  # the clock stands still, lest anything else runs
    await world.client(echo, max_streams=1)
    world.directory.release((await world.client(hello, "gone")).server)
    await world.visit().send(UPLOAD)
    await wait_all_tasks_blocked()
    visitor = world.visit()
    await wait_all_tasks_blocked()
    with files_called() as files:
        await visitor.send(raw)
        answer = await visitor.head()
    assert tunnel_error(answer) == error
    assert 0 < len(files) <= FILES_MAX, "\n".join(files)
