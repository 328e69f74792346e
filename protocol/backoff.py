"""How long to wait before connecting again: exponential backoff with full jitter.

Every wait is random between nothing and a span, and the span doubles with each failure in a row.
The whole span is random, and not a part of it: when a server restarts, its clients lose their
connections in the same instant, and only a random first wait keeps them apart (RFC 6455 7.2.3).

The count of failures goes back to nothing only after a connection has lived. A server that takes
connections and drops them at once would else be called without any pause.
"""

from __future__ import annotations

from collections.abc import Callable

# Short enough that a person hardly notices a dropped line. A thousand clients of a server that
# restarts come back at 2,000/s at first, and those refused spread out from there.
FIRST_SPAN_S = 0.5

# The mean wait is then 15 s: how long after a server's return its clients are back, and a thousand
# of them knock at one that is down 67 times a second.
LONGEST_SPAN_S = 30.0

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

    def next_wait_s(self) -> float:
        """Count an attempt, and return the seconds to wait before it."""
        wait_s = self._span_s * self._random()
        self._span_s = min(self._span_s * 2, LONGEST_SPAN_S)
        self.attempt += 1
        return wait_s

    def connection_ended(self, lived_s: float) -> None:
        """A connection that had been made is gone; `lived_s` is how long it served, in seconds.

        One that lived `LIVED_S` or longer makes the next wait a first one again.
        """
        if lived_s >= LIVED_S:
            self._span_s = FIRST_SPAN_S
            self.attempt = 0
