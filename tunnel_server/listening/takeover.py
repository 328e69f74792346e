"""The new server's side of a handover: it asks the running one for the listening sockets."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress

import trio

from tunnel_server.listening.handover import (
    ACCEPTING,
    GOING_ON,
    STEP_S,
    STOPPING,
    TAKE,
    HandoverError,
    next_word,
    receive_sockets,
    say,
)
from tunnel_server.listening.local import PlaceError, SocketPlace, connect, uid_of
from tunnel_server.listening.sockets import ListenError

log = logging.getLogger(__name__)


class Takeover:
    """Sockets that the running server has given, and the word that it still waits for."""

    def __init__(self, stream: trio.SocketStream, sockets: list[socket.socket]) -> None:
        self.sockets = sockets
        self._stream = stream

    def __repr__(self) -> str:
        return f"<Takeover of {len(self.sockets)} sockets>"

    def refuse(self) -> None:
        """Give the sockets back: the other goes on."""
        self._stream.socket.close()
        for taken in self.sockets:
            taken.close()

    async def accepting(self) -> None:
        """Tell the other that this process accepts, so that it stops. Call it once.

        If the other died, or does not answer, that is logged, and this process goes on. It says so
        to the other, which may only be slow, and then stops, too.

        Raises:
            HandoverError: the other had given up waiting, and goes on itself: this one must stop.
        """
        async with self._stream:
            with suppress(trio.BrokenResourceError):  # it may have said why it has closed
                await say(self._stream, ACCEPTING)
            try:
                answer = await next_word(self._stream, STEP_S)
            except (trio.BrokenResourceError, HandoverError) as error:
                log.warning("the server that ran before did not say that it stops: %s", error)
                with suppress(trio.BrokenResourceError):
                    await say(self._stream, GOING_ON)
                return
        if answer != STOPPING:
            raise HandoverError("the running server has waited too long for this one, and goes on")


async def take_over(place: SocketPlace) -> Takeover | None:
    """Ask the running server for its sockets; None: there is no server.

    Raises:
        HandoverError: there is one, and it does not give them.
    """
    try:
        stream = await connect(place)
    except PlaceError as error:
        raise HandoverError(str(error)) from None
    if stream is None:
        return None
    try:
        return Takeover(stream, await _ask(stream))
    except (OSError, ListenError) as error:
        stream.socket.close()
        raise HandoverError(f"the running server gave no sockets: {error}") from None
    except BaseException:
        stream.socket.close()
        raise


async def _ask(stream: trio.SocketStream) -> list[socket.socket]:
    if uid_of(stream) != os.geteuid():
        raise HandoverError("the running server is another user's")
    with suppress(trio.BrokenResourceError):  # it may have said why it has closed
        await say(stream, TAKE)
    return await receive_sockets(stream)
