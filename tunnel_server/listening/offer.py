"""The running server's side of a handover: whoever asks for the listening sockets gets them."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import trio

from tunnel_server.listening.handover import (
    ACCEPTING,
    ACCEPTING_S,
    BUSY,
    GIVEN_UP,
    GOING_ON,
    STEP_S,
    STOPPING,
    TAKE,
    HandoverError,
    expect,
    has_heard,
    say,
    send_sockets,
)
from tunnel_server.listening.local import LocalListener, PlaceError, SocketPlace, uid_of

log = logging.getLogger(__name__)


class HandOver(Protocol):
    """The rest of the program, while the sockets change hands."""

    def begins(self) -> None:
        """They are about to be given: leave what the other is to find."""

    async def is_certain(self) -> None:
        """The other accepts; it goes on when this returns. It takes no longer than STEP_S."""

    async def is_off(self) -> None:
        """The other will not go on."""


class Offer:
    """Gives the listening sockets to who asks for them, one after the other, until one has them.

    Args:
        place: where to be found.
        sockets: what is given.
        hand_over: what happens beside it in the program.

    Attributes:
        taken: set when another process accepts on them. This one should stop.
    """

    def __init__(
        self, place: SocketPlace, sockets: Sequence[socket.socket], hand_over: HandOver
    ) -> None:
        self.taken = trio.Event()
        self._place = place
        self._sockets = sockets
        self._hand_over_of = hand_over
        self._busy = False
        self._listener = LocalListener(place)

    def __repr__(self) -> str:
        state = "taken" if self.taken.is_set() else "busy" if self._busy else "open"
        return f"<Offer {state} at {self._place.name}>"

    def open(self) -> None:
        """Be found from now on. A socket that another server left behind is replaced.

        Raises:
            HandoverError: the folder is no place for this.
        """
        try:
            self._listener.open()
        except PlaceError as error:
            raise HandoverError(str(error)) from None

    async def run(self) -> None:
        """Serve who asks, until cancelled; then be found no more. Call it once, after `open`."""
        await self._listener.run(self._serve)

    async def _serve(self, stream: trio.SocketStream) -> None:
        if uid_of(stream) != os.geteuid():
            log.warning("a process of another user asked for the listening sockets; refused")
            return
        try:
            if self._busy or self.taken.is_set():
                await say(stream, BUSY)
            else:
                await self._hand_over(stream)
        except (OSError, trio.BrokenResourceError, HandoverError) as error:
            log.warning("no other process has taken over: %s", error)

    async def _hand_over(self, stream: trio.SocketStream) -> None:
        self._busy = True
        try:
            await expect(stream, TAKE, STEP_S)
            self._hand_over_of.begins()
            await send_sockets(stream, self._sockets)
            behind = await self._wait_until_it_accepts(stream)
            await self._hand_over_of.is_certain()
            try:
                await say(stream, STOPPING)
            except trio.BrokenResourceError:  # it has ended, or goes on since we were too slow
                if behind != GOING_ON and not await has_heard(stream, GOING_ON):
                    raise
            self._listener.succeeded()
            self.taken.set()
        except Exception:
            await self._hand_over_of.is_off()
            raise
        finally:  # cancelled, this one stops: then it is for the other to go on
            self._busy = False

    async def _wait_until_it_accepts(self, stream: trio.SocketStream) -> str:
        try:
            return await expect(stream, ACCEPTING, ACCEPTING_S)
        except HandoverError:
            with suppress(trio.BrokenResourceError):  # it has ended, and needs no word
                await say(stream, GIVEN_UP)
            raise
