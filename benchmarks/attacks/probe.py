"""What another visitor sees: small GETs at a steady pace, half of them by new connections.

A GET leaves at its time, whatever became of those before it. As a
browser does, it goes once more by a new connection when one that was kept turns out to be closed
(RFC 9112, 9.3.1). It is lost when it is not answered with 200 and all of its body within 5 s.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import trio

from benchmarks.attacks.app import BODY
from benchmarks.attacks.visitors import read_answer, request
from benchmarks.attacks.ways import Entrance, address_of

ADDRESS = address_of(1)
GETS_PER_S = 100
LIMIT_S = 5.0


@dataclass
class Seen:
    """What became of the GETs of one stretch of time."""

    latencies_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)  # which is this program's own fault
    lost: list[str] = field(default_factory=list)
    again: int = 0  # by a new connection, since the one that was kept had been closed


class Probe:
    """The other visitor, and its kept connections."""

    def __init__(self, entrance: Entrance, name: str = "honest") -> None:
        self._entrance = entrance
        self._asked = request("GET", name, "/", *entrance.fields(ADDRESS))
        self._kept: deque[trio.SocketStream] = deque()

    def __repr__(self) -> str:
        return f"<Probe with {len(self._kept)} connections kept>"

    async def run(self, seconds: float) -> Seen:
        """GETs for so long, to the last answer."""
        seen = Seen()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in range(int(seconds * GETS_PER_S)):
                due = began + number / GETS_PER_S
                await trio.sleep_until(due)
                nursery.start_soon(self._get, seen, due, number % 2 == 0)
        return seen

    async def __aenter__(self) -> Probe:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._kept:
            self._kept.pop().socket.close()

    async def _get(self, seen: Seen, due: float, is_new: bool) -> None:
        began = trio.current_time()
        seen.late_s.append(began - due)
        why = f"no answer within {LIMIT_S:g} s"
        with trio.move_on_after(LIMIT_S):
            why = await self._asked_for(seen, is_new)
        if why:
            seen.lost.append(why)
        else:
            seen.latencies_s.append(trio.current_time() - began)

    async def _asked_for(self, seen: Seen, is_new: bool) -> str:
        """Why it was lost; "" when it was not."""
        if not is_new and self._kept:
            why = await self._exchange(self._kept.popleft(), keep=True)
            if why != "closed":
                return why
            seen.again += 1
        try:
            stream = await self._entrance.connect(ADDRESS)
        except OSError as error:
            return f"no connection: {error}"
        return await self._exchange(stream, keep=not is_new)

    async def _exchange(self, stream: trio.SocketStream, *, keep: bool) -> str:
        is_good = False
        try:
            await stream.send_all(self._asked)
            status = await read_answer(stream, len(BODY))
            is_good = status == 200
            return "" if is_good else str(status) if status else "closed"
        except (OSError, trio.BrokenResourceError):
            return "closed"
        finally:
            if is_good and keep:
                self._kept.append(stream)
            else:
                stream.socket.close()
