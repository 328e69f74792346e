"""Words of a POSIX shell, for a person who pastes them into one.

Nothing in them ends a quotation, runs anything or reaches a terminal as a control character: what
is no printable text is written in octal, for `printf`.
"""

from __future__ import annotations

from typing import Final

# What a quoted format of printf cannot hold as it is: a quote would end it, a backslash and a
# percent sign mean something to printf, and an interactive bash looks for `!` in "$(...)".
_SPECIAL: Final = {"'": r"\047", "\\": r"\\", "%": "%%", "!": r"\041", "\n": r"\n"}


def sh_word(data: bytes) -> str:
    r"""Return a word of this content, which has no NUL and does not end in a line feed."""
    text = printable_text(data)
    if text is not None and "\n" not in text:
        return quoted(text)
    return f'"$(printf {printf_format(data)})"'


def quoted(text: str) -> str:
    """Return printable text in single quotes."""
    return "'" + text.replace("'", r"'\''") + "'"


def printable_text(data: bytes) -> str | None:
    """Return bytes as text that can be seen, line feeds among it; None: they are none."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if text.replace("\n", "").isprintable() else None


def printf_format(data: bytes) -> str:
    """Return the format that makes printf write these bytes."""
    text = data.decode("utf-8", "surrogateescape")
    said = "".join(map(_in_format, text))
    # A format that begins with a dash would be an option.
    return f"'{said}'" if not said.startswith("-") else rf"'\055{said[1:]}'"


def _in_format(character: str) -> str:
    if special := _SPECIAL.get(character):
        return special
    if character.isprintable():
        return character
    data = character.encode("utf-8", "surrogateescape")
    return "".join(f"\\{byte:03o}" for byte in data)
