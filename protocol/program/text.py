"""Text for people: what comes from elsewhere is made safe for a terminal, numbers are readable.

A path, a reason or a message of the server may carry escape sequences that retitle the window,
rewrite lines above, or turn the direction of the text.
"""

from __future__ import annotations

from datetime import UTC, datetime


def printable(text: str) -> str:
    """The text with everything that is no visible character or plain space written as an escape.

    That is all of Unicode's categories Other and Separator: controls (C0, DEL and C1), format
    characters such as the bidirectional ones, line separators, lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def duration(seconds_s: float) -> str:
    """A time for people: `0.4 s`, `12 s`, `5 min`, `7 h`."""
    if seconds_s < 9.95:  # what would round to 10.0
        return f"{seconds_s:.1f} s"
    if seconds_s < 119.5:
        return f"{seconds_s:.0f} s"
    if seconds_s < 119.5 * 60:
        return f"{seconds_s / 60:.0f} min"
    return f"{seconds_s / 3600:.0f} h"


def size(count_bytes: int) -> str:
    """A number of bytes for people, in powers of 1000."""
    if count_bytes < 1000:
        return f"{count_bytes} B"
    value = count_bytes / 1000
    for unit in ("kB", "MB", "GB"):
        if value < 999.95:  # what would round to 1000.0 is 1.0 of the next unit
            return f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def progress(done_bytes: int, of_bytes: int | None) -> str:
    """The part of so many bytes that has passed, for people: `1.2 MB of 3.0 GB`."""
    return size(done_bytes) if of_bytes is None else f"{size(done_bytes)} of {size(of_bytes)}"


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def utc_time(at: float) -> str:
    """A time as both programs write it for programs: RFC 3339, UTC, with milliseconds."""
    moment = datetime.fromtimestamp(at, UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
