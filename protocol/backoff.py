"""The waits before connecting again, and the patience after which a client gives up.

The waits are exponential backoff with full jitter.

Every wait is random between nothing and a span, and the span doubles with each failure in a row.
The whole span is random, and not a part of it: when a server restarts, its clients lose their
connections in the same instant, and only a random first wait keeps them apart (RFC 6455 7.2.3).

The count of failures goes back to nothing only after a connection has lived. A server that takes
connections and drops them at once would else be called without any pause.

A client never gives up unless it was told for how long to try: a laptop that is opened again on
Monday finds its server then.
"""

from __future__ import annotations

import math
from collections.abc import Callable

# Short enough that a person hardly notices a dropped line. A thousand clients of a server that
# restarts come back at 2,000/s at first, and those refused spread out from there.
FIRST_SPAN_S = 0.5

# The mean wait is then 15 s: how long after a server's return its clients are back, and a thousand
# of them knock at one that is down 67 times a second.
LONGEST_SPAN_S = 30.0

# While the server holds a session for its client, for a minute: a longer pause could outlast that,
# and a thousand clients of a server that is away for so long knock 400 times a second.
LONGEST_HELD_SPAN_S = 5.0

# To this machine: it is one client or a few, and a person who restarts the server looks on.
LONGEST_LOCAL_SPAN_S = 2.0

# What a server may ask for by Retry-After. A person who waits longer thinks that nothing happens.
LONGEST_ASKED_S = 60.0

# A server that fails while it serves does so within seconds. What lives longer was a good one.
LIVED_S = 10.0


class Backoff:
    """The waits between attempts to connect, for one client.

    Args:
        random: gives a number from 0 up to, but not including, 1 on each call.

    Attributes:
        attempt: the attempts since a connection last lived, as counted by `next_wait_s`.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._span_s = FIRST_SPAN_S
        self.attempt = 0

    def __repr__(self) -> str:
        return f"<Backoff attempt={self.attempt} span={self._span_s:g}s>"

    def next_wait_s(
        self, longest_span_s: float = LONGEST_SPAN_S, asked_s: float | None = None
    ) -> float:
        """Count an attempt, and return the seconds to wait before it, fewer than the longest.

        Args:
            asked_s: for which the server wants no attempt. The wait begins behind it, and its span
                is as short as that of a held session's: the server says when it will be there.
        """
        if asked_s is not None:
            longest_span_s = min(longest_span_s, LONGEST_HELD_SPAN_S)
        wait_s = min(self._span_s, longest_span_s) * self._random() + (asked_s or 0.0)
        self._span_s = min(self._span_s * 2, LONGEST_SPAN_S)
        self.attempt += 1
        return wait_s

    def connection_ended(self, lived_s: float) -> None:
        """A connection that had been made is gone; `lived_s` is how long it served, in seconds.

        One that lived `LIVED_S` or longer makes the next wait a first one again.
        """
        if lived_s >= LIVED_S:
            self.reset()

    def reset(self) -> None:
        """Make the next wait a first one again: what made the attempts fail may be over."""
        self._span_s = FIRST_SPAN_S
        self.attempt = 0


class Patience:
    """Measures how long one client is without a connection, and says when it gives up.

    Args:
        limit_s: in seconds; infinite: it never does.
        now: in seconds, by a monotonic clock; it has no connection yet.

    Attributes:
        ends_at: when it gives up, if nothing happens; infinite while it is connected.
    """

    def __init__(self, limit_s: float, now: float) -> None:
        self._limit_s = limit_s
        self._lost_at = now
        self._counts_from = now
        self._is_connected = False

    def __repr__(self) -> str:
        return f"<Patience limit={self._limit_s:g}s ends_at={self.ends_at:g}>"

    @property
    def ends_at(self) -> float:
        return math.inf if self._is_connected else self._counts_from + self._limit_s

    def connected(self, now: float) -> float:
        """The client is connected; return for how many seconds it was not."""
        away_s = 0.0 if self._is_connected else now - self._lost_at
        self._is_connected = True
        return away_s

    def lost(self, now: float) -> None:
        """The client is not connected: only the first call after `connected` counts."""
        if self._is_connected:
            self._is_connected = False
            self._lost_at = self._counts_from = now

    def begin_anew(self, now: float) -> None:
        """Count from now on, if the client is not connected: before now nobody could have tried."""
        self._counts_from = now
