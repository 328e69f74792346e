"""Small things beside bulk: a GET of 1 KiB and a WebSocket echo, paced by the clock.

One begins at each stroke, whatever is outstanding: were each to wait for the answer before it,
there would be fewest of them while they take longest.
"""

from __future__ import annotations

import math
import struct
from collections import deque
from contextlib import AsyncExitStack
from itertools import count

import trio
from wsproto.events import Message

from tests.faults.lines.site import Site
from tests.system.peer import WsEvents
from tests.system.visitor import Visitor

EVERY_S = 0.1
ANSWERED_S = 5.0  # how long to wait for those that are under way when a measure ends
SMALL = "/bytes?seed=1&size=1024"
# Its own number in a keystroke's size; the frames around it make about 100 bytes on the line.
ECHO = struct.Struct("!Q24x")
# At ten a second these are 6 s of GETs that are all under way; then the clock waits, too.
GETS_MAX = 64


class Times:
    """The times of one kind, finished and outstanding. `now` is seconds of any one clock."""

    def __init__(self) -> None:
        self._begun: dict[int, float] = {}
        self._took: list[tuple[float, float]] = []  # when it began, and what it took

    def __repr__(self) -> str:
        return f"<Times of {len(self._took)}, {len(self._begun)} outstanding>"

    def begin(self, number: int, now: float) -> None:
        self._begun[number] = now

    def end(self, number: int, now: float) -> None:
        begun_at = self._begun.pop(number)
        self._took.append((begun_at, now - begun_at))

    def outstanding(self, until: float) -> int:
        """How many have begun before this time, and not ended."""
        return sum(begun_at < until for begun_at in self._begun.values())

    def between(self, start: float, until: float, now: float) -> list[float]:
        """What those took that began in this time; one that has not ended, so long at least."""
        ended = [took for begun_at, took in self._took if start <= begun_at < until]
        return ended + [now - at for at in self._begun.values() if start <= at < until]


class Small:
    """Begins one of each kind every so many seconds, the echoes half a stroke later."""

    def __init__(self, site: Site, every_s: float) -> None:
        self.gets = Times()
        self.echoes = Times()
        self._site = site
        self._every_s = every_s
        self._ended = trio.Event()  # one more

    def __repr__(self) -> str:
        return f"<Small gets={self.gets} echoes={self.echoes}>"

    async def run(self) -> None:
        """Go on until it is cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_gets)
            nursery.start_soon(self._run_echoes)

    async def answered(self, until: float, within_s: float) -> None:
        """Wait for what began before this time; what takes longer is left outstanding."""
        with trio.move_on_after(within_s):
            while self.gets.outstanding(until) or self.echoes.outstanding(until):
                await self._ended.wait()

    def _end(self, times: Times, number: int) -> None:
        times.end(number, trio.current_time())
        self._ended.set()
        self._ended = trio.Event()

    async def _run_gets(self) -> None:
        start = trio.current_time()
        free: deque[Visitor] = deque()  # the first has rested longest, so that none rests too long
        room = trio.Semaphore(GETS_MAX)
        async with AsyncExitStack() as visits, trio.open_nursery() as nursery:
            for number in count():
                await trio.sleep_until(start + number * self._every_s)
                await room.acquire()
                if not free:
                    free.append(await visits.enter_async_context(self._site.visit()))
                nursery.start_soon(self._get, number, free, free.popleft(), room)

    async def _get(
        self, number: int, free: deque[Visitor], visitor: Visitor, room: trio.Semaphore
    ) -> None:
        self.gets.begin(number, trio.current_time())
        answer = await visitor.fetch(SMALL)
        self._end(self.gets, number)
        assert (answer.status, len(answer.body)) == (200, 1024), answer
        visitor.connection.start_next_cycle()
        free.append(visitor)
        room.release()

    async def _run_echoes(self) -> None:
        async with self._site.visit() as visitor, trio.open_nursery() as nursery:
            messages = await visitor.upgrade("/ws")
            nursery.start_soon(self._hear, WsEvents(visitor.stream, messages))
            start = trio.current_time() + self._every_s / 2
            for number in count():
                await trio.sleep_until(start + number * self._every_s)
                self.echoes.begin(number, trio.current_time())
                await visitor.stream.send_all(messages.send(Message(data=ECHO.pack(number))))

    async def _hear(self, events: WsEvents) -> None:
        came = b""
        async for event in events:
            assert isinstance(event, Message), event
            came += bytes(event.data)
            if event.message_finished:
                self._end(self.echoes, *ECHO.unpack(came))
                came = b""
        raise AssertionError("the WebSocket has ended")


def of(times_s: list[float], share: float) -> float:
    """The time that this share of them keeps to, in ms; not a number where there is none."""
    if not times_s:
        return math.nan
    return 1000 * sorted(times_s)[min(int(len(times_s) * share), len(times_s) - 1)]
