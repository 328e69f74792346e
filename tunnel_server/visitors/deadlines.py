"""The times of one connection: since when nothing has moved, and by when something must have.

The sweep looks at the deadlines once a second, a stop at all of them.
"""

from __future__ import annotations

import math

from tunnel_server.visitors.crowd import Place


class Deadlines:
    """The times of one connection, in the event loop's time; deadlines are infinite where none run.

    Args:
        now: the time.
        place: the connection's in the crowd, which counts those that wait for their visitor.

    Attributes:
        place: see the argument.
        write: until when the visitor must have taken some of what is being sent.
        began_at: when its request began.
        moved_at: when something of its exchange moved last: the begin of the request or of a piece
            to the visitor, or a piece of the request's body that came.
    """

    __slots__ = ("_read", "_swept_at", "began_at", "moved_at", "place", "write")

    def __init__(self, now: float, place: Place | None = None) -> None:
        self.write = math.inf
        self._read = math.inf
        self._swept_at = self.began_at = self.moved_at = now
        self.place = place

    def __repr__(self) -> str:
        return f"<Deadlines read {self._read:g} write {self.write:g}>"

    @property
    def read(self) -> float:
        """The time by which the visitor must have sent what it is to send next."""
        return self._read

    @read.setter
    def read(self, deadline: float) -> None:
        self._read = deadline
        if self.place is not None:
            if deadline < math.inf:
                self.place.wait()
            else:
                self.place.serve()

    def sweep(self, now: float, *, stand_still: bool) -> None:
        """Note that it is now; deadlines that stand still have moved on as far."""
        if stand_still:
            self._read += now - self._swept_at  # the place stays what it is
            self.write += now - self._swept_at
            self.moved_at += now - self._swept_at
        self._swept_at = now

    def begin(self, now: float) -> None:
        """A request begins."""
        self.began_at = self.moved_at = now

    def owe(self) -> None:
        """Nothing of worth is under way: its place may be taken."""
        if self.place is not None:
            self.place.rest()

    def leave_crowd(self) -> None:
        """The connection is no visitor's any more."""
        if self.place is not None:
            self.place.leave()
