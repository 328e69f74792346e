"""Many replays, one behind the other, in the order in which they were asked for.

It waits for each, since order is what people look for, and ends at the first to which no app is
there: the others would fare alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from tunnel_client.inspector.capture.exchange import KeptExchange
from tunnel_client.inspector.capture.store import CaptureStore
from tunnel_client.inspector.replaying.replayed_request import (
    NO_CHANGES,
    ReplayRefused,
    replayed_request,
)
from tunnel_client.inspector.replaying.replays import Replays

REQUESTS_MAX: Final = 1000
# An event stream has no end, and a person waits for the next one.
EACH_S: Final = 30.0


class ReplayJob:
    """See above.

    Args:
        numbers: of the exchanges.
        key: see `replayed_request`.

    Attributes:
        total: how many there are.
        done: how many are over, the failed ones among them.
        failed: how many could not be sent, broke, or got a status from 400 on.
        is_over: nothing more will be sent.
    """

    def __init__(
        self, store: CaptureStore, replays: Replays, numbers: Sequence[int], key: bytes
    ) -> None:
        self.total = len(numbers)
        self.done = 0
        self.failed = 0
        self.is_over = False
        self._store = store
        self._replays = replays
        self._numbers = numbers
        self._key = key
        self._is_stopped = False

    def __repr__(self) -> str:
        return f"<ReplayJob {self.done} of {self.total}, {self.failed} failed>"

    def stop(self) -> None:
        """Send nothing more; the one under way goes on."""
        self._is_stopped = True

    async def run(self) -> None:
        """Send all of them. When cancelled, what is under way goes on."""
        try:
            for number in self._numbers:
                if self._is_stopped or not await self._send(number):
                    return
        finally:
            self.is_over = True

    async def _send(self, number: int) -> bool:
        """Send one and wait for its end; False: no app is there."""
        exchange = self._store.get(number)
        try:
            if exchange is None:
                raise ReplayRefused("it is not kept any more")
            sent = self._replays.begin(replayed_request(exchange, NO_CHANGES, self._key))
        except ReplayRefused:
            self._count(failed=True)
            return True
        answered = await self._end_of(sent)
        status = None if answered is None else answered.status
        self._count(failed=status is None or status >= 400)
        return answered is None or status is not None or answered.marks.head_sent is not None

    async def _end_of(self, number: int) -> KeptExchange | None:
        """Wait until it is over, or cancel it; None: it is not kept."""
        with trio.move_on_after(EACH_S) as patience:
            while (found := self._store.get(number)) is None or found.state != "over":
                if found is None and number < self._store.first:
                    return None  # it was over, and gave way
                await self._store.changed()
        if patience.cancelled_caught:
            stream = self._store.stream_of(number)
            if stream is not None:
                self._replays.cancel(stream)
        return self._store.get(number)

    def _count(self, *, failed: bool) -> None:
        self.done += 1
        self.failed += failed
