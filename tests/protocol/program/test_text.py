from __future__ import annotations

import pytest

from protocol.program.text import escape_controls, printable


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


@pytest.mark.parametrize("text", ["", "plain", "tab\tkept", "ünïcödé 漢字 🚇"])
def test_text_without_controls_stays_as_it_is(text: str) -> None:
    assert escape_controls(text) == text


def test_each_control_character_is_escaped() -> None:
    controls = [*range(32), *range(127, 160)]
    controls.remove(9)
    for code in controls:
        assert escape_controls(chr(code)).isprintable(), code
