"""Heads as they were captured, taken apart for showing: nothing of them is refused here."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_LINES: Final = re.compile(rb"\r?\n")
_TYPE: Final = re.compile(rb"(?im)^content-type[ \t]*:[ \t]*([^\r\n;]{1,200})")


class HeadParts(NamedTuple):
    """A head.

    Fields:
        line: the first one.
        fields: names and values, in order; what has no colon has its line as the name.
    """

    line: str
    fields: list[tuple[str, str]]

    def first(self, name: str) -> str:
        """Return the value of the first field of this name; "": there is none."""
        wanted = name.lower()
        return next((value for each, value in self.fields if each.lower() == wanted), "")

    def joined(self, name: str) -> str:
        """Return the values of all fields of this name, with commas between."""
        wanted = name.lower()
        return ", ".join(value for each, value in self.fields if each.lower() == wanted)


NO_HEAD: Final = HeadParts("", [])


def head_parts(head: bytes | None) -> HeadParts:
    """Take a head apart. A line that begins with a space goes on with the field before it."""
    if head is None:
        return NO_HEAD
    first, *lines = _LINES.split(head)
    fields: list[tuple[str, str]] = []
    for line in filter(None, lines):
        if line[:1] in b" \t" and fields:
            name, value = fields[-1]
            fields[-1] = name, f"{value} {text(line.strip())}"
            continue
        name_bytes, _, value_bytes = line.partition(b":")
        fields.append((text(name_bytes), text(value_bytes.strip(b" \t"))))
    return HeadParts(text(first), fields)


def content_type(head: bytes | None) -> str | None:
    """Return the media type that a head says, without looking at all of it; None: it says none."""
    match = _TYPE.search(head or b"")
    return text(match[1].strip()).lower() if match else None


def text(data: bytes) -> str:
    """Return bytes of a head as text: UTF-8 where they are, else each byte as one character."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
