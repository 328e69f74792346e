"""Worker threads write here, and a virtual clock does not wait for them: so these tests run on the
real one, and wait for what was written (`Written`), never for time to pass."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.terminals import Terminal
from tunnel_client.observing import report as module, screen as screen_module
from tunnel_client.observing.events import (
    ProgramStopped,
    Reconnecting,
    RequestEnded,
    RequestOpened,
    SessionResumed,
    TunnelReady,
    TunnelRefused,
)
from tunnel_client.observing.footer import Footer, Shown
from tunnel_client.observing.lines import JsonLines, PlainLines
from tunnel_client.observing.report import (
    LONGEST_PATH_BYTES,
    LONGEST_QUEUE,
    Report,
)
from tunnel_client.observing.screen import Screen


class Written:
    """Where a report writes to: keeps the chunks; blocks while `open` is not set."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.open = threading.Event()
        self.open.set()
        self.errors: list[OSError] = []
        self._news = trio.Event()
        self._one_at_a_time = threading.Lock()

    def write(self, data: bytes) -> None:
        assert self._one_at_a_time.acquire(blocking=False)
        try:
            self._write(data)
        finally:
            self._one_at_a_time.release()

    def _write(self, data: bytes) -> None:
        trio.from_thread.run_sync(self._tell)
        self.open.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.chunks.append(data)
        trio.from_thread.run_sync(self._tell)

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def until(self, count: int) -> None:
        """Wait for that many lines, and for the report to rest."""
        while len(self.lines) < count:
            await self._news.wait()

    async def news(self) -> None:
        await self._news.wait()

    @property
    def lines(self) -> list[str]:
        return b"".join(self.chunks).decode().splitlines()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def written() -> Iterator[Written]:
    written = Written()
    yield written
    written.open.set()  # no thread is left behind


def json_report(written: Written) -> Report:
    return Report(lines=JsonLines(), write=written.write, clock=lambda: 1.5)


def request(report: Report, number: int = 0) -> None:
    report.tell(RequestEnded(number, b"GET", b"/", 200, 0, 0, 1.3, None, 0))


async def test_event_is_written_at_once(written: Written, nursery: trio.Nursery) -> None:
    report = json_report(written)
    nursery.start_soon(report.run)
    report.tell(TunnelReady("http://a", "a", "http://s"))
    await written.until(1)
    assert written.records[0]["event"] == "ready"
    report.tell(RequestEnded(5, b"PUT", b"/x", None, 1, 2, 3.5, "why", 4))
    await written.until(2)
    assert written.records[1] == {
        "event": "request",
        "time": "1970-01-01T00:00:01.500Z",
        "id": 5,
        "method": "PUT",
        "path": "/x",
        "status": None,
        "bytes_in": 1,
        "bytes_out": 2,
        "ms": 3.5,
        "error": "why",
        "open_streams": 4,
        "kind": "http",
        "messages_in": None,
        "messages_out": None,
        "closed_by": None,
        "close_code": None,
        "replay": False,
    }


async def test_every_kind_of_event_is_told_in_order(
    written: Written, nursery: trio.Nursery
) -> None:
    report = json_report(written)
    report.tell(Reconnecting(1, 0.123, "down", 59.877))
    report.tell(SessionResumed(12.346))
    report.tell(TunnelReady("http://a", "a", "http://s"))
    request(report)
    report.tell(TunnelRefused("unauthorized", "no"))
    report.tell(ProgramStopped("why"))
    nursery.start_soon(report.run)
    await written.until(6)
    told = [record["event"] for record in written.records]
    assert told == ["reconnecting", "resumed", "ready", "request", "refused", "stopped"]
    assert written.records[0]["wait_s"] == 0.123
    assert written.records[0]["give_up_in_s"] == 59.877
    assert written.records[1]["away_s"] == 12.346


async def test_lines_for_people_carry_the_time_of_the_event(
    written: Written, nursery: trio.Nursery
) -> None:
    times = iter([time.mktime((2026, 11, 30, 12, 0, second, 0, 0, -1)) for second in (1, 2)])
    report = Report(lines=PlainLines("3000"), write=written.write, clock=lambda: next(times))
    request(report)
    request(report)
    nursery.start_soon(report.run)
    await written.until(2)
    assert [line.partition(" ")[0] for line in written.lines] == ["12:00:01", "12:00:02"]


async def test_what_comes_together_is_one_write(written: Written, nursery: trio.Nursery) -> None:
    report = json_report(written)
    for number in range(100):
        request(report, number)
    nursery.start_soon(report.run)
    await written.until(100)
    assert len(written.chunks) == 1


async def test_between_two_writes_there_is_a_rest(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    resting = trio.Event()
    go_on = trio.Event()

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        resting.set()
        await go_on.wait()

    report = json_report(written)
    monkeypatch.setattr(trio, "sleep", rest)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(report.run)
        request(report)
        await resting.wait()
        for _ in range(10):
            request(report)
        await wait_all_tasks_blocked()
        assert (len(written.chunks), rests) == (1, [module.FLUSH_EVERY_S])
        go_on.set()
        await written.until(11)
        assert len(written.chunks) == 2
        nursery.cancel_scope.cancel()


async def test_reader_that_stops_blocks_nobody_and_loses_the_oldest_requests(
    written: Written, nursery: trio.Nursery
) -> None:
    report = json_report(written)
    nursery.start_soon(report.run)
    written.open.clear()
    request(report, 0)
    await written.news()  # the thread is in its write, with request 0
    for number in range(1, LONGEST_QUEUE + 1):
        request(report, number)
    assert report.dropped == 0
    for number in range(LONGEST_QUEUE + 1, LONGEST_QUEUE + 18):
        request(report, number)
    assert report.dropped == 17
    written.open.set()
    await written.until(LONGEST_QUEUE + 1)
    told = written.records
    assert [record["id"] for record in told] == [0, *range(18, LONGEST_QUEUE + 18)]
    assert [record.get("dropped") for record in told[:3]] == [None, 17, None]
    assert report.dropped == 0


async def test_news_of_the_tunnel_outlive_a_flood_of_requests(
    written: Written, nursery: trio.Nursery
) -> None:
    report = json_report(written)
    for number in range(LONGEST_QUEUE):
        request(report, number)
    report.tell(Reconnecting(1, 0.5, "down"))
    report.tell(TunnelReady("http://a", "a", "http://s"))
    for number in range(2 * LONGEST_QUEUE):
        request(report, number)
    nursery.start_soon(report.run)
    await written.until(LONGEST_QUEUE)
    told = [record["event"] for record in written.records]
    assert told[:3] == ["reconnecting", "ready", "request"]
    assert len(told) == LONGEST_QUEUE
    assert sum(record.get("dropped", 1) for record in written.records) - 2 == 3 * LONGEST_QUEUE - 1


async def test_queue_has_an_end_for_news_of_the_tunnel_too(
    written: Written, nursery: trio.Nursery
) -> None:
    report = json_report(written)
    for attempt in range(LONGEST_QUEUE + 5):
        report.tell(Reconnecting(attempt, 0.5, "down"))
    nursery.start_soon(report.run)
    await written.until(LONGEST_QUEUE)
    assert [record["attempt"] for record in written.records] == list(range(5, LONGEST_QUEUE + 5))


async def test_long_path_is_cut_so_that_the_queue_stays_small(
    written: Written, nursery: trio.Nursery
) -> None:
    report = json_report(written)
    for length in (LONGEST_PATH_BYTES, LONGEST_PATH_BYTES + 1):
        report.tell(RequestEnded(0, b"GET", b"/" * length, 200, 0, 0, 1.0, None, 0))
    nursery.start_soon(report.run)
    await written.until(2)
    assert [len(record["path"]) for record in written.records] == [LONGEST_PATH_BYTES] * 2


async def test_last_words_are_told_when_cancelled(written: Written) -> None:
    report = json_report(written)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(report.run)
        report.tell(TunnelReady("http://a", "a", "http://s"))
        await written.until(1)
        request(report)
        report.tell(ProgramStopped("Ctrl-C"))
        nursery.cancel_scope.cancel()
    assert [record["event"] for record in written.records] == ["ready", "request", "stopped"]


async def test_cancelled_before_it_ran_it_tells_what_there_is(written: Written) -> None:
    report = json_report(written)
    report.tell(ProgramStopped("why"))
    with trio.CancelScope() as scope:
        scope.cancel()
        await report.run()
    assert [record["event"] for record in written.records] == ["stopped"]


async def test_write_under_way_when_cancelled_is_finished_first(
    written: Written, nursery: trio.Nursery
) -> None:
    report = json_report(written)
    written.open.clear()
    async with trio.open_nursery() as inner:
        inner.start_soon(report.run)
        request(report)
        await written.news()
        report.tell(ProgramStopped("why"))
        inner.cancel_scope.cancel()
        nursery.start_soon(open_when_blocked, written)
    assert [record["event"] for record in written.records] == ["request", "stopped"]
    assert len(written.chunks) == 2


async def open_when_blocked(written: Written) -> None:
    with trio.CancelScope(shield=True):
        await wait_all_tasks_blocked()
        written.open.set()


async def test_stdout_that_never_moves_holds_the_end_up_no_longer_than_the_deadline(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAST_WORDS_S", 0.01)
    report = json_report(written)
    written.open.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(report.run)
        request(report)
        await written.news()
        nursery.cancel_scope.cancel()
    assert written.chunks == []


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.EBADF])
async def test_without_a_reader_it_ends_quietly(written: Written, number: int) -> None:
    report = json_report(written)
    written.errors = [OSError(number, "gone")]
    request(report)
    await report.run()
    assert report.closed
    request(report)
    assert repr(report) == "<Report closed>"
    await report.run()


async def test_full_disk_costs_lines_and_not_the_tunnel(
    written: Written, nursery: trio.Nursery
) -> None:
    report = json_report(written)
    nursery.start_soon(report.run)
    written.errors = [OSError(errno.ENOSPC, "full")]
    request(report, 1)
    await written.news()
    request(report, 2)
    await written.until(1)
    assert [record["id"] for record in written.records] == [2]
    assert not report.closed


async def test_repr_says_where_it_stands(written: Written) -> None:
    report = json_report(written)
    request(report)
    assert repr(report) == "<Report queued=1 dropped=0>"


# In another process, because it needs that one's descriptor 1.
TELL = """
import sys
import trio
import trio.testing
from tunnel_client.observing.events import ProgramStopped
from tunnel_client.observing.report import Report
from tunnel_client.observing.lines import JsonLines

async def tell(report):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(report.run)
        report.tell(ProgramStopped("why"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

other = open(sys.argv[1], "wb")  # gets descriptor 1 where that is closed
trio.run(tell, Report(lines=JsonLines()))
print(other.fileno(), file=sys.stderr)
"""


def test_process_tells_on_its_stdout(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TELL, str(tmp_path / "other")]
    done = subprocess.run(command, capture_output=True, check=True)
    told = json.loads(done.stdout)
    assert (told["event"], told["reason"]) == ("stopped", "why")


def test_process_started_without_stdout_writes_into_no_other_file(tmp_path: Path) -> None:
    other = tmp_path / "other"
    command = ["sh", "-c", '"$0" -c "$1" "$2" >&-', sys.executable, TELL, str(other)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "1\n")
    assert other.read_bytes() == b""


# --- with a footer ---

SIZE = os.terminal_size((60, 40))


class Live:
    """A report with a footer, on a terminal in memory."""

    def __init__(self, written: Written) -> None:
        self.written = written
        self.size = SIZE
        self.footer = Footer("3000")
        self.screen = Screen(written.write, lambda: self.size, lambda: True)
        lines = PlainLines("3000")
        self.report = Report(lines=lines, screen=self.screen, footer=self.footer, clock=lambda: 1.5)
        self.report.tell(READY)

    @property
    def lines(self) -> list[str]:
        terminal = Terminal(self.size.columns, 40)
        terminal.show(b"".join(self.written.chunks))
        return terminal.lines

    async def until(self, said: str) -> None:
        """Wait until it stands there."""
        while said not in "\n".join(self.lines):
            await self.written.news()


READY = TunnelReady("http://a", "a", "http://s")
FOOTER = ["-" * 59, "http://a -> 3000", "connected"]


async def test_a_footer_stands_below_all_lines_until_the_last(written: Written) -> None:
    live = Live(written)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(live.report.run)
        await live.until("connected")
        request(live.report)
        await live.until("200 GET")
        assert live.lines[-3:] == FOOTER
        live.report.tell(ProgramStopped("Ctrl-C"))
        nursery.cancel_scope.cancel()
    assert live.lines[-1].endswith("stopped: Ctrl-C")
    assert not set(FOOTER) & set(live.lines)


async def test_of_many_requests_at_once_the_last_are_shown_and_the_others_counted(
    written: Written, nursery: trio.Nursery
) -> None:
    live = Live(written)
    for number in range(module.REQUESTS_SHOWN + 181):
        path = b"/%d" % number
        live.report.tell(RequestEnded(number, b"GET", path, 200, 0, 0, 1.0, None, 0))
    nursery.start_soon(live.report.run)
    await live.until("connected")
    requests = [line for line in live.lines if " GET " in line]
    assert len(requests) == module.REQUESTS_SHOWN
    assert " /181 " in requests[0]
    assert "         (181 more)" in live.lines


async def test_as_many_as_are_shown_are_not_counted(
    written: Written, nursery: trio.Nursery
) -> None:
    live = Live(written)
    for number in range(module.REQUESTS_SHOWN):
        live.report.tell(RequestOpened(number, "http", b"GET", b"/", "192.0.2.1"))
        request(live.report, number)
    nursery.start_soon(live.report.run)
    await live.until("connected")
    assert sum(" GET " in line for line in live.lines) == module.REQUESTS_SHOWN
    assert "more" not in "".join(live.lines)


async def test_requests_that_the_queue_has_dropped_are_among_those_that_are_counted(
    written: Written, nursery: trio.Nursery
) -> None:
    live = Live(written)
    live.footer.inspector = "http://127.0.0.1:4040"
    for number in range(LONGEST_QUEUE + 500):
        request(live.report, number)
    nursery.start_soon(live.report.run)
    await live.until("connected")
    assert f"         ({LONGEST_QUEUE + 480:,} more: see the inspector)" in live.lines


async def test_while_the_width_changes_requests_wait_in_the_queue(
    written: Written, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    live = Live(written)
    nursery.start_soon(live.report.run)
    await live.until("connected")
    monkeypatch.setattr(screen_module, "SETTLED_AFTER_S", 3600.0)
    live.size = os.terminal_size((50, 40))
    count = len(written.chunks)
    request(live.report, 1)
    while not live.report._unwritten:
        await trio.lowlevel.checkpoint()
    for number in range(LONGEST_QUEUE + 9):
        request(live.report, number)
    assert live.report.dropped >= 9
    monkeypatch.setattr(screen_module, "SETTLED_AFTER_S", 0.0)
    await live.until(" more")
    assert len(written.chunks) >= count + 2


async def test_the_footer_counts_down_where_nothing_is_told(
    written: Written, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    monkeypatch.setattr(module, "TICK_S", 0.01)
    times = iter(range(1, 1000))
    live = Live(written)
    live.report._clock = lambda: float(next(times))
    live.report.tell(Reconnecting(1, 500.0, "down"))
    nursery.start_soon(live.report.run)
    await live.until("next try in")
    first = live.lines[-2:]
    while live.lines[-2:] == first:
        await written.news()
    assert "next try in" in " ".join(live.lines[-2:])


async def test_a_footer_without_news_is_not_written_again(
    written: Written, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    looks: list[Shown | None] = []
    live = Live(written)
    nursery.start_soon(live.report.run)
    await live.until("connected")
    monkeypatch.setattr(module, "TICK_S", 0.001)
    monkeypatch.setattr(module, "REDRAW_EVERY_S", 0.001)
    is_current = live.screen.is_current

    def look(shown: Shown | None) -> bool:
        looks.append(shown)
        return is_current(shown)

    monkeypatch.setattr(live.screen, "is_current", look)
    count = len(written.chunks)
    while len(looks) < 5:
        await trio.lowlevel.checkpoint()
    assert len(written.chunks) == count
