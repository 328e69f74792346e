"""Stand-ins for the network, for tests on trio's virtual clock."""

from __future__ import annotations

import math
from collections import deque

import trio

from protocol.drivers.transport import TransportClosed


class MemoryTransport:
    """One end of a line for whole messages: see `transport_pair`.

    Attributes:
        delay_s: how long what is sent takes; change it between messages, not below.
        sent: every message that was taken for sending.
        closed: `aclose` was called.
        politely: it was not cancelled meanwhile, and no send was cut off.
    """

    def __init__(self, capacity: int) -> None:
        self.delay_s = 0.0
        self.sent: list[bytes] = []
        self.closed = False
        self.politely = False
        self._capacity = capacity
        self._heard_at = trio.current_time()
        self._lines: deque[tuple[float, bytes]] = deque()  # what comes, and when
        self._changed = trio.lowlevel.ParkingLot()
        self._stalled = False
        self._broken: str | None = None
        self._final = False
        self._sending = False
        self.peer: MemoryTransport

    @property
    def heard_at(self) -> float:
        return self._heard_at

    # --- what a test does to the line ---

    def stall(self) -> None:
        """Take no more from this end; what is on its way arrives."""
        self._stalled = True

    def resume(self) -> None:
        self._stalled = False
        self._changed.unpark_all()

    def cut(self, how: str = "the connection was lost") -> None:
        """Break both directions; what is on its way is lost."""
        for end in (self, self.peer):
            end._broken = end._broken or how
            end._lines.clear()
            end._changed.unpark_all()

    def hear(self) -> None:
        """Bytes come that are no whole message."""
        self._heard_at = trio.current_time()

    # --- a Transport ---

    async def send(self, message: bytes) -> None:
        self._sending = True
        await trio.lowlevel.checkpoint()
        while self._broken is None and (self._stalled or len(self.peer._lines) >= self._capacity):
            await self._changed.park()
        if self._broken is not None:
            raise TransportClosed(self._broken, final=self._final)
        self._sending = False
        self.sent.append(message)
        self.peer._lines.append((trio.current_time() + self.delay_s, message))
        self.peer._changed.unpark_all()

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while True:
            arrives_at = self._lines[0][0] if self._lines else math.inf
            if arrives_at <= trio.current_time():
                break
            if self._broken is not None:
                raise TransportClosed(self._broken, final=self._final)
            with trio.CancelScope(deadline=arrives_at):
                await self._changed.park()
        self._heard_at = trio.current_time()
        message = self._lines.popleft()[1]
        self.peer._changed.unpark_all()
        return message

    async def aclose(self) -> None:
        self.closed = True
        by_force = trio.current_effective_deadline() == -math.inf
        self.peer._final = self.peer._broken is None and not (by_force or self._sending)
        for end, said in ((self, "closed here"), (self.peer, "the peer closed the connection")):
            end._broken = end._broken or said
            end._changed.unpark_all()
        await trio.lowlevel.checkpoint()
        self.politely = not self._sending


def transport_pair(capacity: int = 4) -> tuple[MemoryTransport, MemoryTransport]:
    """Two joined ends; a send waits while `capacity` messages are on their way."""
    left, right = MemoryTransport(capacity), MemoryTransport(capacity)
    left.peer, right.peer = right, left
    return left, right
