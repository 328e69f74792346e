from __future__ import annotations

import errno
import os
import threading

import pytest

from tests.patience import PATIENCE
from tests.terminals import Terminal
from tunnel_client.observing.events import TunnelReady
from tunnel_client.observing.footer import Footer, Shown
from tunnel_client.observing.screen import SETTLED_AFTER_S, Screen, in_foreground

READY = TunnelReady("http://a.example", "a", "http://s")
FOOTER = ["http://a.example -> 3000", "connected"]


def words(url: str = READY.url) -> Shown:
    footer = Footer("3000")
    footer.heard(0.0, READY._replace(url=url))
    shown = footer.shown(0.0)
    assert shown is not None
    return shown


class World:
    """A screen on a terminal in memory, and its clock."""

    def __init__(self, columns: int = 60, rows: int = 12) -> None:
        self.terminal = Terminal(columns, rows)
        self.now = 0.0
        self.in_foreground = True
        self.errors: list[OSError] = []
        self.written: list[bytes] = []
        self.size = os.terminal_size((columns, rows))
        self.looked = threading.Event()
        self.screen = Screen(self.write, self._size, lambda: self.in_foreground, lambda: self.now)

    def _size(self) -> os.terminal_size:
        self.looked.set()
        return self.size

    def write(self, data: bytes) -> None:
        if self.errors:
            raise self.errors.pop()
        self.written.append(data)
        self.terminal.show(data)

    def resize(self, columns: int) -> None:
        self.size = os.terminal_size((columns, self.size.lines))

    @property
    def lines(self) -> list[str]:
        return self.terminal.lines

    def show(self, lines: str = "", shown: Shown | None = None) -> bool:
        return self.screen.show(lines, shown or words())


def rule(columns: int = 60) -> str:
    return "-" * (columns - 1)


def test_lines_go_above_the_footer_whoever_writes_them() -> None:
    world = World()
    assert world.show("one\n")
    world.screen.log(b"a record\n")
    assert world.show("two\n")
    assert world.lines == ["one", "a record", "two", rule(), *FOOTER]


def test_a_log_without_a_footer_is_written_as_it_is() -> None:
    world = World()
    world.screen.log(b"before\n")
    world.show()
    world.screen.leave("last\n")
    world.screen.log(b"after\n")
    assert world.written[0] == b"before\n"
    assert world.written[-1] == b"after\n"
    assert world.lines == ["before", "last", "after"]


def test_it_is_current_until_there_is_something_to_draw() -> None:
    world = World()
    assert not world.screen.is_current(words())
    world.show()
    assert world.screen.is_current(words())
    assert not world.screen.is_current(words("http://b.example"))
    assert not world.screen.is_current(None)
    world.resize(50)
    assert not world.screen.is_current(words())
    world.resize(60)
    world.screen.forget()
    assert not world.screen.is_current(words())


def test_nothing_is_drawn_before_the_width_has_stood_still() -> None:
    world = World()
    world.show("one\n")
    count = len(world.written)
    for columns in (59, 55, 50):
        world.resize(columns)
        assert not world.show("two\n")
        world.now += SETTLED_AFTER_S - 0.01
        assert not world.screen.is_current(words())
        assert not world.show("two\n")
    assert len(world.written) == count
    world.now += 0.02
    assert world.show("two\n")
    assert world.screen.is_current(words())
    assert world.written[-1].startswith(b"\x1b[?2026h\x1b[4A\r\x1b[J")  # the rule takes two rows


def test_a_width_that_comes_back_has_to_stand_still_too() -> None:
    world = World()
    world.show()
    world.resize(50)
    assert not world.show()
    world.resize(60)
    assert not world.show()
    world.now += SETTLED_AFTER_S
    assert world.show()


def test_a_line_of_the_log_waits_for_the_width_as_well() -> None:
    world = World()
    world.show()
    world.resize(50)
    world.looked.clear()
    thread = threading.Thread(target=world.screen.log, args=(b"a record\n",))
    thread.start()
    assert world.looked.wait(10 * PATIENCE)
    assert b"a record\n" not in b"".join(world.written)
    with world.screen._lock:  # between two looks
        world.now += SETTLED_AFTER_S
    thread.join(10 * PATIENCE)
    assert b"a record\n" in world.written[-1]


def test_the_end_waits_for_no_width() -> None:
    world = World()
    world.show()
    world.resize(50)
    world.screen.leave("last\n")
    assert world.written[-1].endswith(b"last\n\x1b[?2026l")
    assert repr(world.screen).startswith("<Screen left, ")


def test_after_another_program_has_written_it_is_drawn_below() -> None:
    world = World()
    world.show("one\n")
    world.terminal.show(b"^Z\n$ fg\n")
    world.screen.forget()
    world.show("two\n")
    assert world.lines == ["one", rule(), *FOOTER, "^Z", "$ fg", "two", rule(), *FOOTER]


def test_in_the_background_there_are_lines_alone() -> None:
    world = World()
    world.show("one\n")
    world.in_foreground = False
    world.screen.forget()
    world.show("two\n")
    world.screen.log(b"a record\n")
    assert world.written[-2:] == [b"two\n", b"a record\n"]
    world.in_foreground = True
    world.show("three\n")
    assert world.lines[-4:] == ["three", rule(), *FOOTER]


def test_a_write_that_fails_is_told_and_the_next_one_is_drawn() -> None:
    world = World()
    world.show("one\n")
    world.errors = [OSError(errno.ENOSPC, "full")]
    with pytest.raises(OSError, match="full"):
        world.show("two\n")
    assert world.show("three\n")
    assert world.lines == ["one", "three", rule(), *FOOTER]


@pytest.mark.parametrize("size", [(0, 0), (80, 0), (0, 24)])
def test_a_terminal_that_was_told_no_size_has_the_usual_one(size: tuple[int, int]) -> None:
    world = World(80, 24)
    world.size = os.terminal_size(size)
    world.show()
    assert world.lines == [rule(80), *FOOTER]


def test_a_terminal_that_is_gone_has_the_usual_size() -> None:
    def gone() -> os.terminal_size:
        raise OSError(errno.ENOTTY, "gone")

    world = World(80, 24)
    Screen(world.write, gone, lambda: True, lambda: 0.0).show("", words())
    assert world.lines == [rule(80), *FOOTER]


def test_a_terminal_of_another_session_may_be_drawn_on() -> None:
    controlling, terminal = os.openpty()
    try:
        assert in_foreground(terminal)
    finally:
        os.close(controlling)
        os.close(terminal)
