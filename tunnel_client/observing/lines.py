"""What the client's events look like: JSON for programs, lines for people.

The JSON is fixed (README, `--json`): fields may be added, none changes. It is ASCII, so nothing in
it can act on a terminal either. That the app is down and back again is for people only: programs
read it in the `error` of each request.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Protocol

from protocol.program.text import printable

# The names of an event's fields in JSON, in the order of `Event.fields`.
FIELDS = {
    "ready": ("url", "name", "server"),
    "request": (
        *("id", "method", "path", "status", "bytes_in", "bytes_out", "ms", "error"),
        "open_streams",
    ),
    "reconnecting": ("attempt", "wait_s", "reason", "give_up_in_s"),
    "resumed": ("away_s",),
    "refused": ("code", "message"),
    "stopped": ("reason",),
}

# The objects without their end: json.dumps of a whole one takes three times as long.
_OBJECTS = {
    kind: f'{{"event": "{kind}"' + "".join(f', "{name}": %s' for name in names)
    for kind, names in FIELDS.items()
}

# Of a path in a line for people: about two rows of a terminal. JSON has the rest.
SHOWN_PATH_CHARS = 160


class Event(NamedTuple):
    """Something to tell: its name in JSON, the local time as HH:MM:SS, its fields in order."""

    kind: str
    clock: str
    fields: tuple[Any, ...]


class Lines(Protocol):
    """One form of output."""

    def text(self, event: Event, dropped: int) -> str:
        """The whole lines for an event; `dropped` requests before it were not told."""


class JsonLines:
    """One object a line."""

    def text(self, event: Event, dropped: int) -> str:
        if event.kind not in _OBJECTS:
            return ""
        said = _OBJECTS[event.kind] % tuple(map(_json, event.fields))
        return f'{said}, "dropped": {dropped}}}\n' if dropped else said + "}\n"


class PlainLines:
    """For people.

    Args:
        target: where the public URL leads to, as the first lines say.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._url = ""

    def __repr__(self) -> str:
        return f"<PlainLines {self._target} url={self._url!r}>"

    def text(self, event: Event, dropped: int) -> str:
        lines = getattr(self, f"_{event.kind}")(event.clock, *event.fields)
        if dropped:
            lines = (f"         ({dropped} requests are not shown: the terminal was slow)", *lines)
        return "".join(f"{printable(line)}\n" for line in lines)

    def _ready(self, clock: str, url: str, name: str, server: str) -> tuple[str, ...]:
        if url == self._url:
            return (f"{clock} connected again: {url}",)
        self._url = url
        return (
            "",
            f"  Public URL   {url}",
            f"  leads to     {self._target}",
            f"  through      {server}",
            "",
            "  Ctrl-C stops it. Requests:",
            "",
        )

    def _request(
        self,
        clock: str,
        stream_id: int,
        method: bytes,
        path: bytes,
        status: int | None,
        bytes_in: int,
        bytes_out: int,
        ms: float,
        error: str | None,
        open_streams: int,
    ) -> tuple[str, ...]:
        sizes = size(bytes_out)
        if bytes_in:
            sizes = f"{size(bytes_in)} up, {sizes} down"
        shown = f"{clock} {_plain(method)} {_shortened(_plain(path))} {status or 'failed'}"
        return (f"{shown}, {sizes}, {ms:.0f} ms{f': {error}' if error else ''}",)

    def _reconnecting(
        self, clock: str, attempt: int, wait_s: float, reason: str, give_up_in_s: float | None
    ) -> tuple[str, ...]:
        when = f"in {wait_s:.1f} s" if wait_s else "now"
        # Nobody should wonder whether it will still be trying after lunch.
        left = "until it works" if give_up_in_s is None else f"for {duration(give_up_in_s)} more"
        return (f"{clock} {reason}; trying again {when} (attempt {attempt}), {left}",)

    def _resumed(self, clock: str, away_s: float) -> tuple[str, ...]:
        return (f"{clock} resumed after {duration(away_s)}; nothing was lost",)

    def _origin_down(self, clock: str, why: str, wait_s: float) -> tuple[str, ...]:
        waits = f"; requests wait for it, {wait_s:g} s each" if wait_s else ""
        return (f"{clock} {why}{waits}",)

    def _origin_up(self, clock: str) -> tuple[str, ...]:
        return (f"{clock} {self._target} is back",)

    def _refused(self, clock: str, code: str, message: str) -> tuple[str, ...]:
        return (f"{clock} refused by the server ({code}): {message}",)

    def _stopped(self, clock: str, reason: str) -> tuple[str, ...]:
        return (f"{clock} stopped: {reason}",)


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


def _json(value: bytes | str | float | None) -> str:
    if isinstance(value, bytes | str):
        return json.dumps(_plain(value))
    return "null" if value is None else repr(value)  # numbers are finite


def _plain(value: Any) -> Any:
    """Bytes of a head as text. They are nearly always ASCII; what is not stays readable."""
    return value.decode("ascii", "backslashreplace") if isinstance(value, bytes) else value


def _shortened(path: str) -> str:
    return path if len(path) <= SHOWN_PATH_CHARS else f"{path[:SHOWN_PATH_CHARS]}..."
