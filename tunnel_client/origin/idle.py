"""Workers whose connection to the app any request may use, parked between two of them.

Which of them is used, and which are closed when, is the policy's to say (`reuse`). Here it is told
what happens, and what it decides is done.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import trio

from tunnel_client.origin.replay import Replay
from tunnel_client.origin.reuse import ReusePolicy
from tunnel_client.origin.worker import Worker

# So many at once wait for an app that says that it closes. Each has 0.2 s: at 320 requests a second
# all may wait, and at 1,500 they would be 300 descriptors, of 1,024 that many machines allow.
CLOSING_MAX: Final = 64


class IdleWorkers:
    """The parked ones.

    Args:
        tasks: where time passes: one task while something is due, and else none.

    Attributes:
        closing: those whose app may close the connection first.
    """

    def __init__(self, tasks: trio.Nursery) -> None:
        self.closing = trio.CapacityLimiter(CLOSING_MAX)
        self._tasks = tasks
        self._policy = ReusePolicy[Worker, Replay]()
        self._looking: trio.CancelScope | None = None  # until the next look

    def __repr__(self) -> str:
        return f"<IdleWorkers {self._policy!r}>"

    def __len__(self) -> int:
        return len(self._policy)

    @property
    def says_close(self) -> bool:
        """See ReusePolicy."""
        return self._policy.says_close

    def take(self, *, repeatable: bool) -> Worker | None:
        """Return the worker for a request; None: it needs a new one. See ReusePolicy.choose."""
        worker, passed_over = self._policy.choose(repeatable=repeatable)
        if passed_over:
            _end(passed_over)
        return worker

    def put(self, worker: Worker) -> None:
        """Park a worker, or end it."""
        if not self._policy.keep(worker, trio.current_time()):
            worker.assign(None)
        elif self._looking is None or self._policy.has_news:
            self._look_in_time()

    def asks(self, replay: Replay) -> None:
        """A new connection is being made for this request."""
        self._policy.asks(replay, trio.current_time())
        self._look_in_time()

    def connected(self, replay: Replay, life: int) -> None:
        """It is made; see ReusePolicy."""
        self._policy.connected(replay, trio.current_time(), life)

    def ended(self, replay: Replay) -> None:
        """A request is over, on whatever connection."""
        self._policy.ended(replay)

    def _look_in_time(self) -> None:
        at = self._policy.look_at
        if self._looking is not None:
            if at < self._looking.deadline:
                self._looking.deadline = at
        elif at < math.inf:
            self._looking = trio.CancelScope(deadline=at)
            self._tasks.start_soon(self._look)

    async def _look(self) -> None:
        """Look when it is time, until nothing is due any more."""
        while self._looking is not None:
            with self._looking:
                await trio.sleep_forever()
            _end(self._policy.look(trio.current_time()))
            at = self._policy.look_at
            self._looking = None if at == math.inf else trio.CancelScope(deadline=at)


def _end(workers: Iterable[Worker]) -> None:
    for worker in workers:
        worker.assign(None)
