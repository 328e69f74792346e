from __future__ import annotations

import pytest

from protocol.program.text import duration, printable, progress, size


@pytest.mark.parametrize("text", ["", "/a b?c=d&e=%20", "grüße 你好", "back\\slash"])
def test_visible_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\r\nb\tc\0", r"a\r\nb\tc\x00"),
        ("\x7f\x9b31m", r"\x7f\x9b31m"),
        ("\u202etxt.exe\u2066", r"\u202etxt.exe\u2066"),
        ("a\u2028b\u00a0c", r"a\u2028b\xa0c"),
        ("\udc80", r"\udc80"),
    ],
)
def test_what_a_terminal_would_act_on_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["", "plain", "ünïcödé 漢字 🚇"])
def test_text_without_controls_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_each_control_character_is_escaped() -> None:
    for code in [*range(32), *range(127, 160)]:
        assert printable(chr(code)).isprintable(), code


@pytest.mark.parametrize(
    ("count_bytes", "shown"),
    [
        *((0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB")),
        *((999_950, "1.0 MB"), (64 * 2**20, "67.1 MB"), (10**9, "1.0 GB"), (10**12, "1.0 TB")),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_size_is_readable(count_bytes: int, shown: str) -> None:
    assert size(count_bytes) == shown


@pytest.mark.parametrize(
    ("seconds_s", "said"),
    [
        *((0.04, "0.0 s"), (0.4, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (119, "119 s")),
        *((120, "2 min"), (7100, "118 min"), (7200, "2 h"), (100 * 3600, "100 h")),
    ],
)
def test_a_duration_is_readable(seconds_s: float, said: str) -> None:
    assert duration(seconds_s) == said


def test_progress_says_of_how_much_where_that_is_known() -> None:
    assert progress(1_200_000, 3_000_000_000) == "1.2 MB of 3.0 GB"
    assert progress(0, 0) == "0 B of 0 B"
    assert progress(7, None) == "7 B"
