"""Handing the listening sockets to another process of the same user: `tunnel-server --replace`.

    the new one               the running one
    take            ->
                    <-        sockets N          with N descriptors (SCM_RIGHTS)
    accepting       ->
                    <-        stopping           or given-up, when `accepting` took too long

They meet at a unix socket in the state folder, one for each address that is listened on. Until it
has said `stopping` the running one goes on as if nothing had happened, whatever becomes of the
other. Both share the sockets for a moment: nothing is closed, so nothing in their queues is lost.

Here is what the two have in common; `offer` is the running one's side, `takeover` the new one's.
"""

from __future__ import annotations

import array
import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import trio

from protocol.errors import TunnelError
from tunnel_server.listening.sockets import PASSED_MAX, listening_sockets

TAKE: Final = "take"
SOCKETS: Final = "sockets"
ACCEPTING: Final = "accepting"
STOPPING: Final = "stopping"
GIVEN_UP: Final = "given-up"
BUSY: Final = "busy"

# Each step is a message on this machine, and what goes before it takes milliseconds.
STEP_S: Final = 5.0
# Longer than the other's own steps, so that it is the one to give up where both are slow.
ACCEPTING_S: Final = 10.0

_WORD_MAX_BYTES: Final = 32
_INT: Final = struct.calcsize("i")
_UCRED: Final = struct.Struct("iII")  # pid, uid, gid: unix(7)


class HandoverError(TunnelError):
    """The sockets cannot be handed over; its text is for the person."""


class MeetingPoint(NamedTuple):
    """The place where the two meet.

    Attributes:
        folder: the state folder; only this user may get into it.
        bind: the address that is listened on.
    """

    folder: Path
    bind: str

    @property
    def name(self) -> str:
        """The socket's name in the folder."""
        return f"replace-{self.bind}.sock"

    @contextmanager
    def open(self) -> Iterator[int]:
        """The folder's descriptor.

        Raises:
            FileNotFoundError: there is no such folder.
            HandoverError: others may get into it.
        """
        if sys.platform != "linux":
            raise HandoverError("this system does not tell whose a process is (SO_PEERCRED)")
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
                raise HandoverError(f"{self.folder} is not this user's alone (chmod 700)")
            yield descriptor
        finally:
            os.close(descriptor)


def path_in(folder: int, name: str) -> str:
    """A path for bind and connect: an address has room for 107 bytes, and folders can be deep."""
    return f"/proc/self/fd/{folder}/{name}"


def uid_of(stream: trio.SocketStream) -> int:
    """Return whose the process at the other end is, by the kernel's word."""
    raw = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return int(_UCRED.unpack(raw)[1])


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


async def expect(stream: trio.SocketStream, word: str, within_s: float) -> None:
    """Wait for this word. Raises as `next_word`, and HandoverError for any other word."""
    said = await next_word(stream, within_s)
    if said != word:
        raise HandoverError(f"the other process said {said!r}, not {word!r}")


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
