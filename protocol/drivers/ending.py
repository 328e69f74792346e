"""DRIVER. Tells the streams of a session that it has ended, a few in each pass of the loop.

Whoever waits at one is woken, and then has something to say to its visitor, or to its app, which
takes 0.1 ms each. A thousand that are woken together all have their turns before the loop looks at
a socket again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

import trio

from protocol.mux.streams import Stream

TOLD_AT_ONCE: Final = 32


class Ending:
    """The streams of a session that has ended, and were not told so yet.

    Args:
        streams: all that it has.
    """

    def __init__(self, streams: Iterable[Stream]) -> None:
        self._untold = deque(streams)

    def __repr__(self) -> str:
        return f"<Ending, {len(self._untold)} streams to tell>"

    def tell(self) -> None:
        """Tell a few now, and the others in later passes. It needs no task, and raises nothing."""
        for _ in range(min(len(self._untold), TOLD_AT_ONCE)):
            _tell(self._untold.popleft())
        if not self._untold:
            return
        try:
            trio.lowlevel.current_trio_token().run_sync_soon(self.tell)
        except trio.RunFinishedError:  # the program ends: there is no later pass
            while self._untold:
                _tell(self._untold.popleft())


def _tell(stream: Stream) -> None:
    if stream.driver is not None:
        stream.driver.wake_reader()
        stream.driver.peer_stopped()
        stream.driver.gone()
