"""A program tells what happens in it: events, where they are told, and their form as JSON.

An event is a NamedTuple of its program's `observing/events.py`. The names of its fields are those
of the JSON, in the same order.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

import trio

from protocol.program.text import utc_time

Told = TypeVar("Told")
Told_contra = TypeVar("Told_contra", contravariant=True)


class Sink(Protocol[Told_contra]):
    """The place that the events of a program go to."""

    def tell(self, event: Told_contra) -> None:
        """Take an event; never waits, never raises, and costs microseconds."""


class EventQueue(Generic[Told]):
    """Events on their way to a slow reader, with an end.

    When it is full the oldest that may be forgotten is, and is counted; where none may, simply the
    oldest one.

    Args:
        longest: how many it holds.
        may_forget: whether an event may be forgotten, if that is counted.

    Attributes:
        forgotten: how many were, since the last one of their kind that was taken.
    """

    def __init__(self, longest: int, may_forget: Callable[[Told], bool]) -> None:
        self.forgotten = 0
        self._longest = longest
        self._may_forget = may_forget
        self._events: deque[Told] = deque()
        self._put = trio.Event()

    def __repr__(self) -> str:
        return f"<EventQueue queued={len(self._events)} dropped={self.forgotten}>"

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Told]:
        return iter(self._events)

    def put(self, event: Told) -> None:
        """Queue an event; never waits or raises."""
        if len(self._events) >= self._longest:
            self._forget_one()
        self._events.append(event)
        self._put.set()

    async def wait(self) -> None:
        """Wait until something was put since the last `take`. Cancelling loses nothing."""
        await self._put.wait()

    def take(self) -> list[tuple[Told, int]]:
        """All events, oldest first, each with how many of its kind before it were forgotten."""
        self._put = trio.Event()
        taken = []
        while self._events:
            event = self._events.popleft()
            forgotten = self.forgotten if self._may_forget(event) else 0
            self.forgotten -= forgotten
            taken.append((event, forgotten))
        return taken

    def _forget_one(self) -> None:
        for index, event in enumerate(self._events):
            if self._may_forget(event):
                del self._events[index]
                self.forgotten += 1
                return
        self._events.popleft()


class JsonForm:
    """Events as JSON objects, in ASCII: nothing in them can act on a terminal.

    Args:
        names: the kinds of events that have a form in JSON, and what each is called there.
    """

    def __init__(self, names: Mapping[Any, str]) -> None:
        # json.dumps of a whole object takes three times as long.
        self._beginnings = {kind: _beginning(name, kind) for kind, name in names.items()}

    def __repr__(self) -> str:
        return f"<JsonForm of {len(self._beginnings)} kinds>"

    def text(self, event: tuple[Any, ...], at: float, **more: int) -> str:
        """One object, without the end of a line; "" for a kind that has no form in JSON.

        Args:
            at: when it was told, in seconds since the epoch.
            more: what is said behind the event's own fields.
        """
        beginning = self._beginnings.get(type(event))
        if beginning is None:
            return ""
        said = beginning % (utc_time(at), *map(_value, event))
        return said + "".join(f', "{name}": {number}' for name, number in more.items()) + "}"


def plain_text(value: bytes | str) -> str:
    """Bytes of a head as text. They are nearly always ASCII; what is not stays readable."""
    return value.decode("ascii", "backslashreplace") if isinstance(value, bytes) else value


def _beginning(name: str, kind: type) -> str:
    fields: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]  # a NamedTuple
    return f'{{"event": "{name}", "time": "%s"' + "".join(f', "{field}": %s' for field in fields)


def _value(value: bytes | str | float | bool | None) -> str:
    """Return the JSON of a value of an event; numbers are finite."""
    if isinstance(value, bytes | str):
        return json.dumps(plain_text(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else repr(value)
