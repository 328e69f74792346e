from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol import FRAMES
from protocol.drivers.session import Session
from protocol.drivers.session_log import SessionLog, traced
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from tests.fakes import transport_pair
from tests.protocol.mux.pair import GET

SESSION = bytes.fromhex("4f1c9a03") + b"the rest is kept"[:12]


class Ends:
    """Both ends of one session, and the lines that the server's end writes."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.lines = transport_pair()
        self.server, self.client = (
            Session(
                Core(is_server=is_server, heartbeat=Heartbeat(15, 30), now=trio.current_time()),
                line,
                session_id=SESSION,
                hold_s=60,
            )
            for is_server, line in zip((True, False), self.lines, strict=True)
        )

    async def run(self) -> None:
        self._nursery.start_soon(self.server.run)
        self._nursery.start_soon(self.client.run)
        await wait_all_tasks_blocked()

    async def resume(self) -> None:
        self.lines = transport_pair()
        self.server.resume(self.lines[0], self.client.core.received.count)
        self.client.resume(self.lines[1], self.server.core.received.count)
        await self.run()


@asynccontextmanager
async def two_ends() -> AsyncIterator[Ends]:
    async with trio.open_nursery() as nursery:
        ends = Ends(nursery)
        await ends.run()
        yield ends
        ends.server.close("the test is over")
        ends.client.close("the test is over")


@pytest.fixture
def debug(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, "protocol"):
        yield caplog


@pytest.fixture
def frames(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(FRAMES, "protocol"):
        yield caplog


def lines_at(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


async def test_the_steps_of_a_session_are_told_at_debug(
    autojump_clock: MockClock, debug: pytest.LogCaptureFixture
) -> None:
    async with two_ends() as ends:
        ends.lines[0].cut()
        await wait_all_tasks_blocked()
        await ends.resume()
        ends.server.close("enough")
        await wait_all_tasks_blocked()
    told = lines_at(debug, logging.DEBUG)
    assert told[:2] == ["attached"] * 2
    assert told[2:4] == ["detached: the connection was lost"] * 2
    assert told[4:6] == ["resumed: the peer has 0 of 0 frames"] * 2
    assert told[6:8] == ["attached"] * 2
    assert told[8:] == ["ended: enough", "ended: the peer closed the connection"]


async def test_every_record_of_a_session_has_its_id_at_both_ends(
    autojump_clock: MockClock, frames: pytest.LogCaptureFixture
) -> None:
    async with two_ends() as ends:
        ends.server.open(GET)
        await trio.sleep(20)
        assert repr(ends.server).startswith("<Session attached 4f1c9a03 ")
    assert {record.__dict__["ids"] for record in frames.records} == {"session 4f1c9a03: "}


async def test_the_rest_of_the_id_is_not_shown(
    autojump_clock: MockClock, frames: pytest.LogCaptureFixture
) -> None:
    async with two_ends() as ends:
        assert "the rest" not in repr(ends.server)
    assert not [record for record in frames.records if "the rest" in str(record.__dict__)]


async def test_each_frame_is_a_line_at_both_ends(
    autojump_clock: MockClock, frames: pytest.LogCaptureFixture
) -> None:
    async with two_ends() as ends:
        stream = ends.server.open(GET)
        stream.send_eof()
        await trio.sleep(0.001)
        said = lines_at(frames, FRAMES)
        opened = next(line for line in said if "OPEN" in line)
        assert opened.startswith("-> 1 OPEN ")
        assert opened.endswith(" GET")
        assert said.count(opened) == said.count(opened.replace("->", "<-")) == 1
        assert {"-> 1 END 0", "<- 1 END 0"} <= set(said)


async def test_what_the_peer_sends_that_is_no_message_is_traced_and_read(
    autojump_clock: MockClock, frames: pytest.LogCaptureFixture
) -> None:
    async with two_ends() as ends:
        await ends.lines[1].send(b"\x63" + bytes(11))
        await wait_all_tasks_blocked()
        assert str(ends.server.closed_reason).startswith("the peer broke the protocol")
    assert "<- no message: a frame of type 99 with flags 0x0" in lines_at(frames, FRAMES)


async def test_no_frame_is_a_line_at_debug(
    autojump_clock: MockClock, debug: pytest.LogCaptureFixture
) -> None:
    async with two_ends() as ends:
        ends.server.open(GET)
        await trio.sleep(20)
    assert not lines_at(debug, FRAMES)


@pytest.mark.parametrize(("level", "same"), [(FRAMES, False), (FRAMES + 1, True)])
async def test_a_transport_is_as_it_was_where_no_frame_is_logged(
    caplog: pytest.LogCaptureFixture, level: int, same: bool
) -> None:
    log = SessionLog(logging.getLogger("protocol.drivers"), SESSION)
    line = transport_pair()[0]
    with caplog.at_level(level, "protocol"):
        assert (traced(line, log) is line) is same


async def test_a_traced_transport_does_what_the_other_does(
    frames: pytest.LogCaptureFixture,
) -> None:
    line, peer = transport_pair()
    both = traced(line, SessionLog(logging.getLogger("protocol.drivers"), SESSION))
    await peer.send(b"\x03" + bytes(11))
    assert await both.receive() == b"\x03" + bytes(11)
    assert both.heard_at == line.heard_at
    await both.aclose()
    assert line.closed
    assert repr(both) == f"<TracedTransport {line!r}>"


def test_a_log_for_another_module_is_of_the_same_session() -> None:
    log = SessionLog(logging.getLogger("protocol"), SESSION)
    other = log.by(logging.getLogger("tunnel_client"))
    assert repr(log) == "<SessionLog 4f1c9a03 protocol>"
    assert repr(other) == "<SessionLog 4f1c9a03 tunnel_client>"
    assert other.extra == log.extra


async def test_a_session_of_a_test_may_have_no_id() -> None:
    core = Core(is_server=True, heartbeat=Heartbeat(15, 30))
    assert Session(core, transport_pair()[0]).log.shown == ""
