"""A stop of the client: what is under way ends as the table of `protocol/http/stopping` says.

Whether something of a request moves is seen by looks, once a second before the stop and often
during it: a request that is over between two looks costs nothing. So a pause is known to be so long
a second late at most, and never too early.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import trio

from protocol.drivers.portions import in_portions
from protocol.http.stopping import Pace, Verdict, is_cut_off, is_waited_for, pace, verdict
from tunnel_client.origin.replay import Replay

LOOK_EVERY_S: Final = 0.05  # while the client stops; a person does not notice it
# Requests that are ended in one turn: each takes 0.1 ms, with what it wakes.
ENDED_AT_ONCE: Final = 32


class _Seen(NamedTuple):
    """The last look at a request at which something of it had moved.

    Fields:
        moved: see Replay.
        at: in trio's time; later by what passed without a connection.
        looked_at: the time of the last look, whatever it saw.
    """

    moved: tuple[object, ...]
    at: float
    looked_at: float


class Stopping:
    """The requests under way in one client, as its stop sees them.

    Args:
        busy: the requests under way; the dispatcher's own set.

    Attributes:
        cut_off: how many were ended before they were whole; see `is_cut_off`. The dispatcher adds
            those that the server has ended for the stop.
    """

    def __init__(self, busy: set[Replay]) -> None:
        self.cut_off = 0
        self._busy = busy
        self._seen: dict[Replay, _Seen] = {}
        self._stopped_at: float | None = None
        self._waiting = 0  # at the last look
        self._oldest: Replay | None = None  # of those

    def __repr__(self) -> str:
        state = "serving" if self._stopped_at is None else f"stopping, {self.cut_off} cut off"
        return f"<Stopping {state}, {len(self._busy)} busy>"

    def look(self, now: float) -> None:
        """Once a second: note what has moved since the last time."""
        self._seen = {replay: self._look_at(replay, now) for replay in self._busy}

    async def run(self, patience_s: float, tell: Callable[[int, Replay], None]) -> None:
        """End what the table ends, and after so many seconds all that is left; then return.

        Args:
            patience_s: the drain timeout.
            tell: called once if something is left to wait for: how much, and the oldest.
        """
        began = self._stopped_at = trio.current_time()
        looks, told = 0, False
        while (left_s := began + patience_s - trio.current_time()) > 0:
            oldest = await self._end_some()
            looks += 1
            if oldest is not None and looks > 1 and not told:  # much ends within the first
                told = True
                tell(self._waiting, oldest)
            await trio.sleep(min(LOOK_EVERY_S, left_s))
        await self.cut_all()

    async def cut_all(self) -> None:
        """End all of it now."""
        await in_portions(tuple(self._busy), self._cut, at_once=ENDED_AT_ONCE, when=_may_be_cut)

    async def _end_some(self) -> Replay | None:
        """End what is to end now. Returns the oldest of those that are waited for."""
        self._waiting, self._oldest = 0, None
        busy = tuple(self._busy)
        await in_portions(busy, self._end, at_once=ENDED_AT_ONCE, when=self._is_to_end)
        return self._oldest

    def _look_at(self, replay: Replay, now: float) -> _Seen:
        seen, moved = self._seen.get(replay), replay.moved
        if seen is None:
            return _Seen(moved, replay.tap.began_at if replay.tap.status is None else now, now)
        if seen.moved != moved:
            return _Seen(moved, now, now)
        # Without a connection the visitor takes nothing; what the app owes, it owes all the same.
        is_away = replay.stream.detached and replay.tap.status is not None
        away_s = now - seen.looked_at if is_away else 0.0
        return seen._replace(at=seen.at + away_s, looked_at=now)

    def _ending_of(self, replay: Replay, now: float) -> Verdict:
        under_way = replay.under_way
        if under_way is None or self._stopped_at is None:
            return Verdict.WAIT
        seen = self._seen[replay] = self._look_at(replay, now)
        if replay.stream.waits_for_visitor:
            how_fast = Pace.MOVING  # for all that this side knows
        else:
            how_fast = pace(now - seen.at, held_up=replay.stream.unsent_bytes > 0)
        return verdict(under_way, how_fast, now - self._stopped_at)

    def _is_to_end(self, replay: Replay) -> bool:
        if replay not in self._busy or replay.under_way is None:
            return False
        if self._ending_of(replay, trio.current_time()) is not Verdict.WAIT:
            return True
        if is_waited_for(replay.under_way):
            self._wait_for(replay)
        return False

    def _wait_for(self, replay: Replay) -> None:
        self._waiting += 1
        if self._oldest is None or replay.tap.began_at < self._oldest.tap.began_at:
            self._oldest = replay

    def _end(self, replay: Replay) -> None:
        self._stop(replay, self._ending_of(replay, trio.current_time()))

    def _cut(self, replay: Replay) -> None:
        self._stop(replay, Verdict.CUT)

    def _stop(self, replay: Replay, how: Verdict) -> None:
        under_way = replay.under_way
        self.cut_off += under_way is not None and is_cut_off(under_way, how)
        replay.stop(how)


def _may_be_cut(replay: Replay) -> bool:
    """Whether it is not being ended already."""
    return replay.under_way is not None
