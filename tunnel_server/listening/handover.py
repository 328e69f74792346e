"""Handing the listening sockets to another process of the same user: `tunnel-server --replace`.

    the new one               the running one
    take            ->
                    <-        sockets N          with N descriptors (SCM_RIGHTS)
    accepting       ->
                    <-        stopping           or given-up, when `accepting` took too long
    going-on        ->                           only when no word came in time

They meet at a unix socket in the state folder, one for each address that is listened on. Until it
has said `stopping`, or hears `going-on`, the running one goes on, whatever becomes of the other;
only claims of names wait from the moment at which it gives the sockets. Both share these for a
moment: nothing is closed, so nothing in their queues is lost.

Here is what the two have in common; `offer` is the running one's side, `takeover` the new one's.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from protocol.errors import TunnelError
from tunnel_server.listening.local import SocketPlace
from tunnel_server.listening.sockets import PASSED_MAX, listening_sockets
from tunnel_server.settings.config import ServerConfig

TAKE: Final = "take"
SOCKETS: Final = "sockets"
ACCEPTING: Final = "accepting"
STOPPING: Final = "stopping"
GIVEN_UP: Final = "given-up"
GOING_ON: Final = "going-on"
BUSY: Final = "busy"

# Each step is a message on this machine, and what goes before it takes milliseconds.
STEP_S: Final = 5.0
# Longer than the other's own steps, so that it is the one to give up where both are slow.
ACCEPTING_S: Final = 10.0

_WORD_MAX_BYTES: Final = 32
_INT: Final = struct.calcsize("i")


class HandoverError(TunnelError):
    """The sockets cannot be handed over; its text is for the person."""


def meeting_place(folder: Path, bind: str, *, trusted: bool = False) -> SocketPlace:
    """The place where the two meet.

    Args:
        folder: the state folder.
        bind: the address that is listened on.
        trusted: see SocketPlace.
    """
    return SocketPlace(folder, f"replace-{bind}.sock", trusted)


def meeting_point_of(config: ServerConfig) -> SocketPlace:
    """The place of a server with these settings."""
    return meeting_place(config.state_dir, config.bind, trusted=config.trust_state_dir)


async def say(stream: trio.SocketStream, word: str) -> None:
    """Send a word. Raises trio.BrokenResourceError: the other has ended."""
    with trio.move_on_after(STEP_S):  # a line always fits
        await stream.send_all(f"{word}\n".encode())


async def next_word(stream: trio.SocketStream, within_s: float) -> str:
    """The next word.

    Raises:
        HandoverError: the other has ended, or is too slow.
        trio.BrokenResourceError: the other has ended with something unread.
    """
    said = b""
    with trio.move_on_after(within_s) as waiting:
        while not said.endswith(b"\n") and len(said) < _WORD_MAX_BYTES:
            more = await stream.receive_some(_WORD_MAX_BYTES - len(said))
            if not more:
                raise HandoverError("the other process has ended")
            said += more
    if waiting.cancelled_caught:
        raise HandoverError(f"the other process said nothing within {within_s:g} s")
    return said.decode("ascii", "replace").removesuffix("\n")


async def has_heard(stream: trio.SocketStream, word: str) -> bool:
    """Whether the other has said this last, and ended."""
    said = b""
    with suppress(trio.BrokenResourceError), trio.move_on_after(STEP_S):
        while more := await stream.receive_some(_WORD_MAX_BYTES):
            said = (said + more)[-_WORD_MAX_BYTES:]
    return said.endswith(f"{word}\n".encode())


async def expect(stream: trio.SocketStream, word: str, within_s: float) -> str:
    """Wait for this word. Raises as `next_word`, and HandoverError for any other word.

    Returns: what stands behind it, of one that has not waited for an answer.
    """
    said, _, behind = (await next_word(stream, within_s)).partition("\n")
    if said != word:
        raise HandoverError(f"the other process said {said!r}, not {word!r}")
    return behind


async def send_sockets(stream: trio.SocketStream, sockets: Sequence[socket.socket]) -> None:
    """Give the sockets, which stay open here too. Raises OSError: the other has ended."""
    descriptors = array.array("i", [each.fileno() for each in sockets])
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors.tobytes())
    # The descriptors ride on the first byte, and a line always fits.
    await stream.socket.sendmsg([f"{SOCKETS} {len(sockets)}\n".encode()], [rights])


async def receive_sockets(stream: trio.SocketStream) -> list[socket.socket]:
    """Take the sockets that the other gives.

    Raises:
        HandoverError: it gives none, and says why, or is too slow.
        ListenError: it gives something that is no socket to listen on.
        OSError: it has ended.
    """
    with trio.move_on_after(STEP_S) as waiting:
        said, ancillary, flags, _ = await stream.socket.recvmsg(
            _WORD_MAX_BYTES, socket.CMSG_SPACE(PASSED_MAX * _INT), socket.MSG_CMSG_CLOEXEC
        )
    if waiting.cancelled_caught:
        raise HandoverError(f"the running server said nothing within {STEP_S:g} s")
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) // _INT * _INT])
    line = said.decode("ascii", "replace").removesuffix("\n")
    if line == f"{SOCKETS} {len(descriptors)}" and descriptors and not flags & socket.MSG_CTRUNC:
        return listening_sockets(descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    raise HandoverError(_REFUSALS.get(line, f"the running server said {line!r}"))


_REFUSALS: Final = {
    BUSY: "another --replace is under way",
    "": "the running server has closed the connection",
}
