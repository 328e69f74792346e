"""The order in which streams send: in turns, those that wake first.

Streams take turns of at most 16 KiB. One that was idle and has something to send again is *waking*:
it gets one turn ahead of the others, so that a keystroke overtakes a gigabyte, and then goes to the
tail like everybody, also when it has emptied. It is idle, and may wake again, only when a turn has
passed with it empty. After eight waking turns in a row an old stream is served. (RFC 8290, 4.2: a
stream that writes a little and empties, again and again, would else starve a download.)
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Generic, Protocol, TypeVar

from protocol.limits import WAKING_TURNS_MAX


class Turn(Enum):
    """The queue in which a stream stands, or the reason why it stands in none."""

    IDLE = "idle"  # in no queue, with nothing that may go
    WAKING = "waking"
    IN_TURN = "in turn"
    BLOCKED = "blocked"  # in no queue, waiting for credit


class Schedulable(Protocol):
    """The part of a stream that the scheduler uses."""

    turn: Turn


S = TypeVar("S", bound=Schedulable)


class Scheduler(Generic[S]):
    """Two queues of streams; it knows nothing of what they send."""

    __slots__ = ("_in_turn", "_waking", "_waking_turns")

    def __init__(self) -> None:
        self._waking: deque[S] = deque()
        self._in_turn: deque[S] = deque()
        self._waking_turns = 0

    def __repr__(self) -> str:
        return f"<Scheduler {len(self._waking)} waking, {len(self._in_turn)} in turn>"

    @property
    def anyone(self) -> bool:
        """Whether a stream stands in a queue; it may have emptied meanwhile."""
        return bool(self._waking or self._in_turn)

    @property
    def owes(self) -> bool:
        """Whether so many woke in a row that an old stream is owed a turn."""
        return self._waking_turns >= WAKING_TURNS_MAX and bool(self._in_turn)

    def wake(self, stream: S) -> None:
        """Queue a stream that has something to send. One that stands in a queue keeps its place."""
        if stream.turn is Turn.IDLE:
            stream.turn = Turn.WAKING
            self._waking.append(stream)
        elif stream.turn is Turn.BLOCKED:
            stream.turn = Turn.IN_TURN
            self._in_turn.append(stream)

    def next(self, *, bulk: bool) -> S | None:
        """Return the stream whose turn it is. It stays the first until `done` or `leave`.

        Args:
            bulk: whether streams that are not waking may send.
        """
        old = bulk and self._in_turn
        if self._waking and not (old and self._waking_turns >= WAKING_TURNS_MAX):
            return self._waking[0]
        return self._in_turn[0] if old else None

    def done(self, stream: S, *, served: bool, blocked: bool) -> None:
        """End the turn of the first stream.

        Args:
            stream: the one that `next` gave.
            served: it has sent something; else its turn has passed with it empty.
            blocked: what it has still may not go, for lack of credit.
        """
        self._take_out(stream, served=served)
        if blocked:
            stream.turn = Turn.BLOCKED
        elif served:
            stream.turn = Turn.IN_TURN
            self._in_turn.append(stream)

    def leave(self, stream: S) -> None:
        """Take out the first stream, which has sent its last frame."""
        self._take_out(stream, served=True)

    def _take_out(self, stream: S, *, served: bool) -> None:
        was_waking = stream.turn is Turn.WAKING
        first = (self._waking if was_waking else self._in_turn).popleft()
        assert first is stream, "not the stream whose turn it was"
        if served:
            self._waking_turns = self._waking_turns + 1 if was_waking else 0
        stream.turn = Turn.IDLE
