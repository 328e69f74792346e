"""The columns that text takes on a terminal, and text made to fit into so many."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final

_DOTS: Final = "..."


def width(text: str) -> int:
    """The columns of a text without control characters: two for a wide one, none for a mark.

    A terminal may count otherwise for what Unicode has added lately; nothing here rests on that but
    where a line is cut.
    """
    return len(text) if text.isascii() else sum(map(_columns, text))


def rows(text: str, columns: int) -> int:
    """The rows that a line takes where a terminal of so many columns wraps it; one at least."""
    return max(1, -(-width(text) // max(1, columns)))


def cut(text: str, columns: int) -> str:
    """The text if it fits, else its beginning and three dots, in so many columns at most."""
    if width(text) <= columns:
        return text
    return _beginning(text, columns - len(_DOTS)) + _DOTS[: max(0, columns)]


def wrapped(text: str, columns: int, lines_max: int) -> list[str]:
    """The text in lines of so many columns, broken at spaces; what is over is cut."""
    lines: list[str] = []
    for word in _words(text, columns):
        fits = lines and width(lines[-1]) + 1 + width(word) <= columns
        if fits:
            lines[-1] = f"{lines[-1]} {word}"
        elif len(lines) < lines_max:
            lines.append(word)
        else:
            lines[-1] = cut(f"{lines[-1]} {word} {_DOTS}", columns)
            break
    return lines


def _words(text: str, columns: int) -> Iterator[str]:
    """The words, one that fits on no line in parts."""
    for word in text.split():
        rest = word
        while width(rest) > columns > 1:
            part = _beginning(rest, columns)
            yield part
            rest = rest[len(part) :]
        yield rest


def _beginning(text: str, columns: int) -> str:
    taken = 0
    for at, char in enumerate(text):
        taken += _columns(char)
        if taken > columns:
            return text[:at]
    return text


def _columns(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):  # it stands on the one before
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
