"""A line in virtual time, with bulk on it as fast as it goes, and a small frame now and then.

The sender keeps to an InFlight. Below it is a kernel that takes what a TCP window has room for: it
grows with each ack from ten segments up to what the line and 100 ms of queue hold. The receiver
acknowledges as ours does: after two messages or 5 ms, and at once with an echo.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from protocol.limits import ACK_AFTER_MESSAGES, ACK_DELAY_S
from protocol.mux.inflight import InFlight

FIRST_WINDOW_BYTES = 14_600
QUEUE_S = 0.1
SMALL_BYTES = 200
SMALL_EVERY_S = 0.1


@dataclass
class Line:
    """Runs until a time; then `carried` and `echoes` say how it went.

    Args:
        round_trip_s: without a queue; changing it changes the route.
        bytes_per_s: that bulk and small frames share.
        unsent_bytes: how much more than its window the kernel takes; it then waits there.
    """

    round_trip_s: float
    bytes_per_s: float
    busy: bool = True  # there is bulk
    unsent_bytes: int = 0
    rule: InFlight = field(default_factory=InFlight)
    now: float = 0.0
    carried: int = 0  # bytes acknowledged
    echoes: list[tuple[float, float]] = field(default_factory=list)  # when, and how long it took

    def __post_init__(self) -> None:
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._free_at = 0.0
        self._in_kernel = self._on_line = 0
        self._unsent: deque[tuple[int, float | None]] = deque()  # sizes, and when one was asked
        self._window = FIRST_WINDOW_BYTES
        self._owed: list[int] = []  # sizes that the receiver has not acknowledged
        self._ack_at = math.inf
        self._send(SMALL_BYTES, urgent=True)  # as a handshake does
        self._later(SMALL_EVERY_S, self._small)

    def run(self, until_s: float) -> None:
        while self._events and self._events[0][0] <= until_s:
            self.now, _, happen = heapq.heappop(self._events)
            happen()
            self._fill()
        self.now = until_s

    def share(self, since_s: float, carried_before: int) -> float:
        """Of the line, between then and now."""
        return (self.carried - carried_before) / (self.now - since_s) / self.bytes_per_s

    def slowest(self, since_s: float, share: float) -> float:
        """The echo time that this share of the echoes keeps to."""
        times = sorted(took for at, took in self.echoes if at >= since_s)
        return times[min(int(len(times) * share), len(times) - 1)]

    def _later(self, delay_s: float, happen: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (self.now + delay_s, self._number, happen))

    def _fill(self) -> None:
        most = self._window + self.unsent_bytes
        while self.busy and self.rule.has_room and self._in_kernel < most:
            self._send(self.rule.message_bytes)
        if not self.busy:
            self.rule.idle()

    def _small(self) -> None:
        self._send(SMALL_BYTES, urgent=True)
        self._later(SMALL_EVERY_S, self._small)

    def _send(self, size: int, *, urgent: bool = False) -> None:
        self.rule.sent(size, self.now)
        self._in_kernel += size
        self._unsent.append((size, self.now if urgent else None))
        self._leave_kernel()

    def _leave_kernel(self) -> None:
        while self._unsent and self._on_line < self._window:
            size, asked_at = self._unsent.popleft()
            self._on_line += size
            self._free_at = max(self._free_at, self.now) + size / self.bytes_per_s
            arrives_s = self._free_at - self.now + self.round_trip_s / 2
            self._later(arrives_s, partial(self._receive, size, asked_at))

    def _receive(self, size: int, asked_at: float | None) -> None:
        self._owed.append(size)
        if asked_at is not None or len(self._owed) == ACK_AFTER_MESSAGES:
            self._acknowledge(asked_at)
        elif len(self._owed) == 1:
            due_at = self._ack_at = self.now + ACK_DELAY_S
            self._later(ACK_DELAY_S, lambda: self._acknowledge_if_due(due_at))

    def _acknowledge_if_due(self, due_at: float) -> None:
        if self._ack_at == due_at:
            self._acknowledge(None)

    def _acknowledge(self, asked_at: float | None) -> None:
        size, self._owed, self._ack_at = sum(self._owed), [], math.inf
        self._later(self.round_trip_s / 2, lambda: self._acknowledged(size, asked_at))

    def _acknowledged(self, size: int, asked_at: float | None) -> None:
        self.rule.acknowledged(size, self.now)
        self.carried += size
        self._in_kernel -= size
        self._on_line -= size
        most = (self.round_trip_s + QUEUE_S) * self.bytes_per_s
        self._window = min(self._window + size, max(int(most), FIRST_WINDOW_BYTES))
        self._leave_kernel()
        if asked_at is not None:
            self.echoes.append((self.now, self.now - asked_at))
