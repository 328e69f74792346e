"""The exchanges that are kept: by number, by their last change, and how much memory they take."""

from __future__ import annotations

from collections import deque
from itertools import islice

from tunnel_client.inspector.capture.exchange import KeptExchange


class Shelf:
    """Exchanges, the oldest of which give way.

    Args:
        most: how many.
        most_bytes: how much memory they may take outside of the ring.

    Attributes:
        seq: grows with each change.
        taken_bytes: what they take.
        dropped: how many have given way.
    """

    __slots__ = (
        *("_by_number", "_by_seq", "_most", "_most_bytes", "_over"),
        *("dropped", "seq", "taken_bytes"),
    )

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._by_number: dict[int, KeptExchange] = {}
        self._by_seq: dict[int, KeptExchange] = {}
        self._over: deque[KeptExchange] = deque()
        self.seq = 0
        self.taken_bytes = 0
        self.dropped = 0

    def __repr__(self) -> str:
        return f"<Shelf {len(self)} exchanges, {self.taken_bytes} bytes, seq={self.seq}>"

    def __len__(self) -> int:
        return len(self._by_number)

    @property
    def first(self) -> int:
        """The lowest number that is kept; 0: none is."""
        return next(iter(self._by_number), 0)

    def get(self, number: int) -> KeptExchange | None:
        """Return the exchange of this number; None: it is not kept."""
        return self._by_number.get(number)

    def changed_since(self, seq: int, limit: int) -> list[KeptExchange]:
        """Return those that have changed since, the oldest change first."""
        found: list[KeptExchange] = []
        for exchange in reversed(self._by_seq.values()):
            if exchange.seq <= seq:
                break
            found.append(exchange)
        found.reverse()
        return found[:limit]

    def newest(self, limit: int) -> list[KeptExchange]:
        """Return those with the highest numbers, the highest first."""
        return list(islice(reversed(self._by_number.values()), limit))

    def put(self, exchange: KeptExchange) -> None:
        """Put a new one there; `make_room` has to follow, sooner or later."""
        self._by_number[exchange.id] = exchange
        self.seq = seq = self.seq + 1
        self._by_seq[seq] = exchange
        exchange.seq = seq
        self.taken_bytes += exchange.taken_bytes
        if exchange.state == "over":
            self._over.append(exchange)

    def change(self, exchange: KeptExchange, more_bytes: int) -> None:
        """Note that it has changed; `make_room` has to follow, sooner or later.

        Args:
            more_bytes: what it takes beyond what it took.
        """
        by_seq = self._by_seq
        del by_seq[exchange.seq]
        self.seq = exchange.seq = self.seq + 1
        by_seq[self.seq] = exchange
        self.taken_bytes += more_bytes
        if exchange.state == "over":
            self._over.append(exchange)

    def clear(self) -> None:
        """Drop all that are over."""
        self._drop(len(self._over), 0)
        self.seq += 1

    def make_room(self) -> None:
        """Let the oldest give way to what is too much."""
        surplus = self.taken_bytes - self._most_bytes
        count = len(self._by_number) - self._most
        if surplus > 0 or count > 0:
            self.dropped += self._drop(count, surplus)

    def _drop(self, count: int, surplus_bytes: int) -> int:
        """Drop so many of those that are over, and so much of them, at least; returns how many."""
        over, by_number, by_seq = self._over, self._by_number, self._by_seq
        dropped = dropped_bytes = 0
        while over and (dropped < count or dropped_bytes < surplus_bytes):
            exchange = over.popleft()
            del by_number[exchange.id]
            del by_seq[exchange.seq]
            dropped += 1
            dropped_bytes += exchange.taken_bytes
        self.taken_bytes -= dropped_bytes
        return dropped
