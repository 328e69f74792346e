from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from tunnel_client.observing.widths import cut, rows, width, wrapped

# An e with an accent of its own, two wide characters, one that is half as wide.
ACCENT = "e\u0301"
WIDE = "日本"
HALF = "ﾊ"

PRINTABLE = st.text().filter(str.isprintable)


@pytest.mark.parametrize(
    ("text", "columns"), [("", 0), ("abc", 3), (ACCENT, 1), (WIDE, 4), (HALF, 1), ("é•", 2)]
)
def test_width_is_in_columns(text: str, columns: int) -> None:
    assert width(text) == columns


@pytest.mark.parametrize(
    ("length", "columns", "taken"), [(0, 80, 1), (80, 80, 1), (81, 80, 2), (160, 80, 2), (3, 0, 3)]
)
def test_a_line_takes_the_rows_that_a_terminal_wraps_it_to(
    length: int, columns: int, taken: int
) -> None:
    assert rows("x" * length, columns) == taken


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abc..."),
        (WIDE + WIDE, 6, "日..."),
        (ACCENT * 7, 6, ACCENT * 3 + "..."),
        ("abcd", 2, ".."),
        ("abcd", 0, ""),
    ],
)
def test_what_is_too_wide_is_cut(text: str, columns: int, shown: str) -> None:
    assert cut(text, columns) == shown


@given(PRINTABLE, st.integers(0, 20))
def test_what_was_cut_fits(text: str, columns: int) -> None:
    assert width(cut(text, columns)) <= columns


def test_a_sentence_is_broken_at_spaces_and_in_the_end_cut() -> None:
    text = "the server does not answer; next try in 3 s"
    assert wrapped(text, 20, 9) == ["the server does not", "answer; next try in", "3 s"]
    assert wrapped(text, 20, 2) == ["the server does not", "answer; next try ..."]
    assert wrapped("abcdefgh ij", 4, 9) == ["abcd", "efgh", "ij"]
    assert wrapped("", 4, 9) == []


@given(PRINTABLE, st.integers(2, 30), st.integers(1, 4))
def test_what_was_wrapped_fits(text: str, columns: int, lines_max: int) -> None:
    lines = wrapped(text, columns, lines_max)
    assert len(lines) <= lines_max
    assert all(width(line) <= columns for line in lines)
