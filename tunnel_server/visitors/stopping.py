"""A stop of the server: what is under way ends as the table of `protocol/http/stopping` says.

Where another server takes this one's place nobody waits, and all of it has the time until the
deadline; then the table is not asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import trio

from protocol.drivers.stream import StreamSession
from protocol.http.stopping import (
    VERDICTS,
    Pace,
    UnderWay,
    Verdict,
    is_cut_off,
    is_waited_for,
    verdict,
)


class InProgress(NamedTuple):
    """A request that is under way.

    Fields:
        name: of the tunnel.
        began_at: in trio's time.
        request, answer: bytes of their bodies that have passed, and their lengths; None: unknown.
    """

    name: str
    method: bytes
    began_at: float
    request: tuple[int, int | None]
    answer: tuple[int, int | None]


class Stoppable(Protocol):
    """A public connection, as the table of a stop sees it."""

    @property
    def under_way(self) -> UnderWay | None:
        """The kind of its exchange with an app; None: it has none, or that is being ended."""

    @property
    def waits_for_client(self) -> bool:
        """Whether the tunnel's client is away."""

    @property
    def progress(self) -> InProgress | None:
        """The state of that exchange, while it is under way."""

    def pace(self, now: float) -> Pace:
        """Return how that exchange moves."""

    def sweep(self, now: float) -> None:
        """End what has passed its deadline."""

    @property
    def held_up(self) -> StreamSession | None:
        """The session whose client has more of that exchange's answer to send; None: nobody has.

        What has reached the server still reaches the visitor, however slow that is.
        """

    def hurry(self) -> None:
        """Something waits for the end of its exchange: keep little of that here."""

    def stop(self, how: Verdict, code: str = "") -> None:
        """End that exchange so; `Verdict.WAIT` is no end.

        Args:
            code: tells the client of a cut; else it hears that the visitor is gone.
        """


class Stop:
    """One stop, from its signal to its end.

    Args:
        replaced: another server takes this one's place.
        tell: called once, after the first look: how many requests are waited for, and the one that
            began first.

    Attributes:
        replaced: see the argument.
        cut_off: the requests that it has ended before they were whole; see `is_cut_off`.
    """

    def __init__(
        self,
        *,
        replaced: bool = False,
        tell: Callable[[int, InProgress | None], None] = lambda waiting, oldest: None,
    ) -> None:
        self.replaced = replaced
        self.cut_off = 0
        self._tell: Callable[[int, InProgress | None], None] | None = tell
        self._began_at = trio.current_time()
        self._waiting = 0
        self._oldest: InProgress | None = None

    def __repr__(self) -> str:
        return f"<Stop of {self._began_at:.1f}, {self.cut_off} cut off>"

    def is_to_end(self, connection: Stoppable) -> bool:
        """Whether the connection's exchange is to end now, at one of many looks."""
        under_way = connection.under_way
        if under_way is None:
            return False
        if self._ending_of(connection, under_way) is not Verdict.WAIT:
            return True
        if self._tell is not None and (self.replaced or is_waited_for(under_way)):
            self._wait_for(connection)
        return False

    def looked(self) -> None:
        """All connections were looked at."""
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(self._waiting, self._oldest)

    def end(self, connection: Stoppable) -> None:
        """End an exchange that is to end now."""
        under_way = connection.under_way
        if under_way is not None:
            how = self._ending_of(connection, under_way)
            self.cut_off += is_cut_off(under_way, how)
            connection.stop(how)

    def lose(self, connection: Stoppable) -> None:
        """End an exchange whose client is away: its session will not be given back here.

        What may not be sent again is told so when the session ends.
        """
        under_way = connection.under_way
        if under_way is None or not connection.waits_for_client:
            return
        how = VERDICTS[under_way, Pace.STUCK]
        self.cut_off += is_cut_off(under_way, Verdict.CUT if how is Verdict.WAIT else how)
        if how is not Verdict.WAIT:
            connection.stop(how)

    def cut(self, connection: Stoppable) -> None:
        """The deadline has passed: count what is cut off by what follows."""
        under_way = connection.under_way
        self.cut_off += under_way is not None and is_cut_off(under_way, Verdict.CUT)

    def _ending_of(self, connection: Stoppable, under_way: UnderWay) -> Verdict:
        if self.replaced:
            return Verdict.WAIT
        now = trio.current_time()
        if under_way is UnderWay.WEBSOCKET:
            connection.sweep(now)  # the answer to a Close is due in half of what a sweep takes
        return verdict(under_way, connection.pace(now), now - self._began_at)

    def _wait_for(self, connection: Stoppable) -> None:
        self._waiting += 1
        progress = connection.progress
        if progress is None:
            return
        if self._oldest is None or progress.began_at < self._oldest.began_at:
            self._oldest = progress
