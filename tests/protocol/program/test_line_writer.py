"""The thread is real here: tests wait for what it says, never for time to pass."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from protocol.program import line_writer
from protocol.program.line_writer import (
    BYTES_MAX,
    LINES_MAX,
    LineWriter,
    write_all,
    writing,
)

SOON_S = 60.0  # nothing here takes as long; it ends a test that hangs


class Reader:
    """What the lines are written to: a reader that may stand still."""

    def __init__(self) -> None:
        self.read = b""
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.writes = threading.Semaphore(0)  # one for each write that was begun
        self.errors: list[OSError] = []

    def write(self, data: bytes) -> None:
        self.writes.release()
        assert self.goes_on.wait(SOON_S)
        if self.errors:
            raise self.errors.pop(0)
        self.read += data

    def stands_still(self, writer: LineWriter) -> None:
        """Let the thread be in the middle of writing one line."""
        self.goes_on.clear()
        writer.put(b"first\n")
        assert self.writes.acquire(timeout=SOON_S)


def said_of_dropped(count: int) -> bytes:
    return b"%d dropped\n" % count


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.goes_on.set()


@pytest.fixture
def writer(reader: Reader) -> LineWriter:
    return LineWriter(reader.write, said_of_dropped)


def test_lines_are_written_in_their_order(reader: Reader, writer: LineWriter) -> None:
    lines = [b"%d\n" % number for number in range(1_000)]
    with writing(writer):
        assert all(map(writer.put, lines))
    assert reader.read == b"".join(lines)


def test_before_and_after_it_takes_nothing(reader: Reader, writer: LineWriter) -> None:
    assert not writer.put(b"before\n")
    with writing(writer):
        pass
    assert not writer.put(b"after\n")
    assert reader.read == b""
    assert repr(writer) == "<LineWriter ended 0 lines, 0 dropped>"


def test_what_was_put_together_is_written_together(reader: Reader, writer: LineWriter) -> None:
    with writing(writer):
        reader.stands_still(writer)
        for _ in range(100):
            writer.put(b"more\n")
        reader.goes_on.set()
        assert reader.writes.acquire(timeout=SOON_S)
    assert reader.read == b"first\n" + b"more\n" * 100
    assert not reader.writes.acquire(blocking=False)


def test_a_reader_that_stands_still_holds_up_nobody_and_the_rest_is_counted(
    reader: Reader, writer: LineWriter
) -> None:
    with writing(writer):
        reader.stands_still(writer)
        for number in range(LINES_MAX + 4):  # one is with the thread
            assert writer.put(b"%d\n" % number)
        assert repr(writer) == f"<LineWriter running {LINES_MAX} lines, 5 dropped>"
        reader.goes_on.set()
        assert reader.writes.acquire(timeout=SOON_S)
        writer.put(b"later\n")
    kept = b"".join(b"%d\n" % number for number in range(LINES_MAX - 1))
    assert reader.read == b"first\n" + kept + b"5 dropped\nlater\n"


def test_the_count_is_told_though_no_line_follows(reader: Reader, writer: LineWriter) -> None:
    with writing(writer):
        reader.stands_still(writer)
        writer.put(b"x" * BYTES_MAX)
        reader.goes_on.set()
        assert reader.writes.acquire(timeout=SOON_S)
    assert reader.read == b"first\n1 dropped\n"


def test_the_queue_has_an_end_in_bytes_as_well(reader: Reader, writer: LineWriter) -> None:
    with writing(writer):
        reader.stands_still(writer)
        room = BYTES_MAX - len(b"first\n")
        writer.put(b"x" * (room - 1))
        writer.put(b"yy")
        writer.put(b"z")
        writer.put(b"z")
        reader.goes_on.set()
    assert reader.read == b"first\n" + b"x" * (room - 1) + b"1 dropped\nz1 dropped\n"


def test_a_reader_that_is_gone_ends_it(reader: Reader, writer: LineWriter) -> None:
    reader.errors.append(OSError(errno.EPIPE, "gone"))
    with writing(writer):
        reader.stands_still(writer)
        writer.put(b"second\n")
        reader.goes_on.set()
        writer._thread.join(SOON_S)
        assert writer.put(b"third\n")
    assert reader.read == b""
    assert repr(writer).startswith("<LineWriter lost ")


def test_a_full_disk_costs_lines_that_are_counted(reader: Reader, writer: LineWriter) -> None:
    reader.errors.append(OSError(errno.ENOSPC, "full"))
    with writing(writer):
        reader.stands_still(writer)
        reader.goes_on.set()
        assert reader.writes.acquire(timeout=SOON_S)
        writer.put(b"second\n")
    assert reader.read == b"1 dropped\nsecond\n"


def test_at_the_end_a_reader_that_stands_still_is_waited_for_and_left(
    reader: Reader, writer: LineWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_writer, "LAST_WORDS_S", 0.05)
    with writing(writer):
        reader.stands_still(writer)
        began = time.monotonic()
    assert time.monotonic() - began >= 0.05
    assert repr(writer).startswith("<LineWriter lost ")
    assert writer.put(b"nobody reads it\n")
    reader.goes_on.set()
    writer._thread.join(SOON_S)
    assert reader.read == b"first\n"


def test_lines_of_several_threads_are_whole(reader: Reader, writer: LineWriter) -> None:
    def put(number: int) -> None:
        for _ in range(500):
            writer.put(b"%d\n" % number * 3)

    with writing(writer):
        threads = [threading.Thread(target=put, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON_S)
    for number in range(4):
        assert reader.read.count(b"%d\n" % number * 3) == 500


def test_everything_goes_out_through_a_pipe_that_is_full_and_non_blocking() -> None:
    out, into = os.pipe()
    os.set_blocking(into, False)
    data = b"x" * 300_000
    thread = threading.Thread(target=write_all, args=[into, data])
    thread.start()
    received = 0
    while received < len(data):
        received += len(os.read(out, 65536))
    thread.join()
    os.close(out)
    os.close(into)
    assert received == len(data)


# A thread that is stuck in a write must not keep the interpreter from its end.
STUCK = """
import os, sys
from protocol.program.line_writer import LineWriter, write_to_stdout, writing
writer = LineWriter(write_to_stdout, lambda count: b"")
with writing(writer):
    for _ in range(100):
        writer.put(b"x" * 4095 + b"\\n")
print("over", file=sys.stderr)
"""


def test_a_program_whose_reader_stands_still_ends() -> None:
    out, into = os.pipe()
    command = [sys.executable, "-c", STUCK]
    try:
        done = subprocess.run(command, stdout=into, stderr=subprocess.PIPE, timeout=SOON_S)
    finally:
        os.close(out)
        os.close(into)
    assert (done.returncode, done.stderr) == (0, b"over\n")
