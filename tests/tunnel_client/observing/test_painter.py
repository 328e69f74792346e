"""The footer as bytes, and as a terminal in memory shows it."""

from __future__ import annotations

import pytest

from tests.terminals import Terminal
from tunnel_client.observing.painter import FooterLine, footer_rows, repaint

RULE, URL, STATE = FooterLine("-----", "\x1b[2m"), FooterLine("http://a"), FooterLine("connected")
FOOTER = (RULE, URL, STATE)


def test_without_a_footer_lines_are_as_they_are() -> None:
    assert repaint("a\nb\n", (), 80, ()) == b"a\nb\n"
    assert repaint("", (), 80, ()) == b""


def test_the_footer_is_replaced_in_one_write() -> None:
    drawn = "\x1b[2m-----\x1b[0m\nhttp://a\nconnected\n"
    assert repaint("a\n", FOOTER, 80, ()) == f"\x1b[?2026ha\n{drawn}\x1b[?2026l".encode()
    assert repaint("b\n", FOOTER, 80, FOOTER) == (
        f"\x1b[?2026h\x1b[3A\r\x1b[Jb\n{drawn}\x1b[?2026l".encode()
    )
    assert repaint("", (), 80, FOOTER) == b"\x1b[?2026h\x1b[3A\r\x1b[J\x1b[?2026l"


def test_what_stands_there_is_counted_in_the_columns_of_now() -> None:
    stands = (FooterLine("x" * 79), FooterLine("y" * 40), FooterLine(""))
    for columns, rows in ((80, 3), (79, 3), (40, 4), (39, 6), (20, 7)):
        assert footer_rows(stands, columns) == rows
        assert f"\x1b[{rows}A".encode() in repaint("", FOOTER, columns, stands)


def test_lines_scroll_above_the_footer_and_none_is_lost() -> None:
    terminal, stands = Terminal(), ()
    for number in range(50):
        terminal.show(repaint(f"line {number}\n", FOOTER, 20, stands))
        stands = FOOTER  # type: ignore[assignment]  # of another length
    shown = ["-----", "http://a", "connected"]
    assert terminal.lines == [*(f"line {number}" for number in range(50)), *shown]
    terminal.show(repaint("last\n", (), 20, stands))
    assert terminal.lines == [*(f"line {number}" for number in range(50)), "last"]


def test_a_line_that_wraps_takes_none_of_the_footer_with_it() -> None:
    terminal = Terminal()
    wide = (RULE, FooterLine("http://" + "a" * 40), STATE)  # three rows of 20
    terminal.show(repaint("x" * 45 + "\n", wide, 20, ()))
    terminal.show(repaint("y\n", wide, 20, wide))
    terminal.show(repaint("z\n", FOOTER, 20, wide))
    assert terminal.lines == [
        "x" * 20,
        "x" * 20,
        "x" * 5,
        "y",
        "z",
        "-----",
        "http://a",
        "connected",
    ]


@pytest.mark.parametrize("rows", [4, 5, 24])
def test_the_cursor_waits_in_the_row_below(rows: int) -> None:
    terminal = Terminal(rows=rows)
    for stands in ((), FOOTER, FOOTER):
        terminal.show(repaint("line\n", FOOTER, 20, stands))
    assert terminal.screen.cursor.x == 0
    assert terminal.screen.display[terminal.screen.cursor.y - 1].rstrip() == "connected"
    terminal.show(b"$ ls\n")  # a shell's, after a Ctrl-Z
    terminal.show(repaint("", FOOTER, 20, ()))
    assert terminal.lines[-5:] == ["connected", "$ ls", "-----", "http://a", "connected"]
