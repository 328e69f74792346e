"""A client that cannot reach its server says so after growing pauses, and not at each attempt.

Programs hear of every attempt (`reconnecting` of --json); a person would have a screen of them.
"""

from __future__ import annotations

import math
from typing import Final

from protocol.program.text import duration
from tunnel_client.observing.events import Reconnecting

# Whoever looks on sees after some seconds that it still tries, and whoever comes back later has the
# whole night on a screen or a few.
PAUSES_S: Final = (10.0, 30.0, 60.0)
"""From a line to the next one; the last for all that follow."""

# The end of the attempts is told in milliseconds, and by a clock that is not theirs.
_SAME_END_S: Final = 1.0


class Outage:
    """A time without a connection, as it is told to a person. Times are those of the events."""

    def __init__(self) -> None:
        self._why = ""  # "": there is a connection
        self._ends_at = math.inf
        self._since = 0.0
        self._said_at = self._due_at = 0.0
        self._lines = 0

    def __repr__(self) -> str:
        return f"<Outage {self._why!r} since {self._since:.0f}, {self._lines} lines>"

    def over(self) -> None:
        """There is a connection again."""
        self._why = ""

    def says(self, at: float, event: Reconnecting) -> str | None:
        """The reason to give in a line about this attempt; None: no line is due.

        One is where the reason is a new one, and where the client will give up earlier than it was
        said: somebody stops it.
        """
        if not self._why:
            self._since, self._lines = at, 0
        ends_at = math.inf if event.give_up_in_s is None else at + event.give_up_in_s
        is_news = event.reason != self._why or ends_at < self._ends_at - _SAME_END_S
        if not is_news and self._said_at <= at < self._due_at:  # the wall's clock may go back
            return None
        said = f"still no connection after {duration(max(at - self._since, 0.0))}"
        if event.reason != self._why:
            said = event.reason
        self._why, self._ends_at = event.reason, ends_at
        self._said_at = at
        self._due_at = at + PAUSES_S[min(self._lines, len(PAUSES_S) - 1)]
        self._lines += 1
        return said
