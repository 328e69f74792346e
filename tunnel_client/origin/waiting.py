"""Waits for an app that is not there: a dev server restarts, and the visitor sees a pause.

A request whose connection is refused has sent nothing, so it is always safe to hold it and to try
again, a POST and an upgrade too. Nothing of its body is read meanwhile: credit holds the visitor
back. Visitor, session and program can each cancel the waiting.

However many requests wait, one of them tries to connect, and when it succeeds the others follow.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

import trio

from protocol.program.observing import Sink
from tunnel_client.observing.events import OriginCameUp, OriginWentDown
from tunnel_client.origin.dial import Dialer, OriginDown, OriginStream
from tunnel_client.settings.target import Target

# Between two attempts: at first so little that a person does not notice; later not so often, since
# a name may have to be resolved each time.
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 0.5
_SLOWER: Final = 1.25


class PatientDialer(Dialer):
    """A dialer that waits while nobody listens.

    Args:
        wait_s: how long for each connection; 0: not at all.
        sink: is told when the app goes and comes back, as far as requests find that out.
    """

    def __init__(
        self,
        target: Target,
        *,
        wait_s: float,
        sink: Sink[OriginWentDown | OriginCameUp],
        insecure: bool = False,
        ca: Path | None = None,
    ) -> None:
        super().__init__(target, insecure=insecure, ca=ca)
        self._wait_s = wait_s
        self._sink = sink
        self._is_down = False
        self._retrying = trio.Lock()
        self._waits: set[trio.CancelScope] = set()

    def __repr__(self) -> str:
        state = f"down, {len(self._waits)} wait" if self._is_down else "up"
        return f"<PatientDialer {self.target} {state}>"

    def open_at_once(self) -> OriginStream | None:
        """See Dialer; an app that was away is found to be back by `open` alone."""
        return None if self._is_down else super().open_at_once()

    async def open(self) -> OriginStream:
        """See Dialer; OriginDown comes only after the wait.

        Cancelling leaves nothing open, and another one tries.
        """
        try:
            return await self.open_now()
        except OriginDown as error:
            if not self._wait_s:
                raise
            why = str(error)
        with trio.move_on_after(self._wait_s) as scope:
            self._waits.add(scope)
            try:
                return await self._open_when_up()
            finally:
                self._waits.discard(scope)
        waited = f" (waited {self._wait_s:g} s)" if self._wait_s else ""
        raise OriginDown(f"{why}{waited}")

    def give_up(self) -> None:
        """Wait no more: the program ends."""
        self._wait_s = 0.0
        for scope in self._waits:
            scope.cancel()

    async def open_now(self) -> OriginStream:
        """See Dialer: without a wait, and OriginDown at once."""
        try:
            stream = await super().open()
        except OriginDown as error:
            if not self._is_down:
                self._is_down = True
                self._sink.tell(OriginWentDown(str(error), self._wait_s))
            raise
        if self._is_down:
            self._is_down = False
            self.lives += 1
            self._sink.tell(OriginCameUp())
        return stream

    async def _open_when_up(self) -> OriginStream:
        while True:
            async with self._retrying:
                pause_s = FIRST_PAUSE_S
                while self._is_down:
                    await trio.sleep(pause_s)
                    pause_s = min(pause_s * _SLOWER, LONGEST_PAUSE_S)
                    with contextlib.suppress(OriginDown):
                        return await self.open_now()
            with contextlib.suppress(OriginDown):
                return await self.open_now()
