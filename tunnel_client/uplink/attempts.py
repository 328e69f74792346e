"""The client decides when it tries again to reach the server, and when it gives up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from protocol.backoff import LONGEST_HELD_SPAN_S, LONGEST_SPAN_S, Backoff, Patience
from protocol.program.observing import Sink
from tunnel_client.observing.events import Reconnecting, SessionResumed

_NO_REASON_YET: Final = "no attempt has ended"


class Attempts:
    """The attempts to connect of one client, one at a time.

    Time without a connection is counted from when it is made, so that is when the client starts.

    Args:
        sink: is told of each wait, and when a session was resumed.
        server: the server's URL, for people.
        random: for the waits, 0 to 1.
        give_up_after_s: how long to go on without a connection; 0: for ever.
        longest_span_s: of the waits.

    Attributes:
        ever_connected: the tunnel has served.
    """

    def __init__(
        self,
        sink: Sink[Reconnecting | SessionResumed],
        *,
        server: str,
        random: Callable[[], float],
        give_up_after_s: float = 0.0,
        longest_span_s: float = LONGEST_SPAN_S,
    ) -> None:
        self.ever_connected = False
        self._sink = sink
        self._server = server
        self._backoff = Backoff(random)
        self._give_up_after_s = give_up_after_s
        self._longest_span_s = longest_span_s
        self._patience = Patience(give_up_after_s or math.inf, trio.current_time())
        self._reason = _NO_REASON_YET
        self._woken = trio.Event()
        self._attempt: trio.CancelScope | None = None
        self._stops_by = math.inf

    def __repr__(self) -> str:
        return f"<Attempts {self._backoff!r} {self._patience!r}>"

    @property
    def gave_up(self) -> str:
        """The reason for giving up: how long it tried, the server, its last failure."""
        limit = f"{self._give_up_after_s:g} s"
        return f"gave up after {limit} without a connection to {self._server}: {self._reason}"

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Around one attempt, to the moment of `connected`: what it awaits is cut short by `wake`.

        Also when it is time to give up. The block is then left as if it were done, and the caller
        calls `pause`, as after any other failure.
        """
        with trio.CancelScope(deadline=self._patience.ends_at) as self._attempt:
            try:
                yield
            finally:
                self._attempt = None

    def connected(self) -> float:
        """The tunnel serves; returns for how many seconds it did not."""
        self._woken = trio.Event()
        self.ever_connected = True
        if self._attempt is not None:  # it may go on to serve in the same block
            self._attempt.deadline = math.inf
            self._attempt = None
        return self._patience.connected(trio.current_time())

    def resumed(self) -> None:
        """Like `connected`, and tells for how long the session had no connection."""
        self._sink.tell(SessionResumed(round(self.connected(), 3)))

    async def pause(
        self,
        lived_s: float,
        reason: str = "",
        *,
        held: bool = False,
        asked_s: float | None = None,
        code: str = "lost",
    ) -> bool:
        """Wait before the next attempt, and say so; not at all after a `wake`.

        Returns whether there is to be one: at the time to give up there is not, and `gave_up` says
        why. Called again then, it says so at once.

        Args:
            lived_s: how long the connection that was lost had served; 0: there was none.
            reason: why there is none, for people; empty: the attempt was cut short.
            held: the server holds a session for us, so waits are short.
            code: the reason for programs.
            asked_s: for which the server wants no attempt; None: it said nothing of that.
        """
        now = trio.current_time()
        self._patience.lost(now)
        self._reason = reason or self._reason
        self._backoff.connection_ended(lived_s)
        longest_s = min(LONGEST_HELD_SPAN_S if held else LONGEST_SPAN_S, self._longest_span_s)
        wait_s = self._backoff.next_wait_s(longest_s, asked_s)
        if self._woken.is_set():
            wait_s = 0.0
        left_s = min(self._patience.ends_at, self._stops_by) - now
        if wait_s < left_s:
            known_s = None if left_s == math.inf else round(left_s, 3)
            attempt, reason = self._backoff.attempt, self._reason
            self._sink.tell(Reconnecting(attempt, round(wait_s, 3), reason, known_s, code))
        await self._wait_until(min(now + wait_s, self._patience.ends_at))
        return trio.current_time() < self._patience.ends_at

    def stop_by(self, at: float) -> None:
        """The client stops, at this time at the latest: no longer wait is promised."""
        self._stops_by = at

    def wake(self) -> None:
        """The machine slept: the network may be another one, so try again now.

        Cuts a pause short, or an attempt that is under way. A connection that is lost next is
        followed by an attempt without a pause. The time to give up is counted anew, since nobody
        could have tried in the meantime.
        """
        self._backoff.reset()
        self._patience.begin_anew(trio.current_time())
        self._woken.set()
        if self._attempt is not None:
            self._attempt.cancel()

    async def _wait_until(self, at: float) -> None:
        with trio.move_on_at(at):
            await self._woken.wait()
        self._woken = trio.Event()
