"""The running server's side of a handover: whoever asks for the listening sockets gets them."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

import trio

from tunnel_server.listening.accepting import Acceptor
from tunnel_server.listening.handover import (
    ACCEPTING,
    ACCEPTING_S,
    BUSY,
    GIVEN_UP,
    STEP_S,
    STOPPING,
    TAKE,
    HandoverError,
    MeetingPoint,
    expect,
    path_in,
    say,
    send_sockets,
    uid_of,
)

log = logging.getLogger(__name__)


class Offer:
    """Gives the listening sockets to who asks for them, one after the other, until one has them.

    Args:
        place: where to be found.
        sockets: what is given.
        before: called before they are given, for what the other is to find.

    Attributes:
        taken: set when another process accepts on them. This one should stop.
    """

    def __init__(
        self, place: MeetingPoint, sockets: Sequence[socket.socket], before: Callable[[], None]
    ) -> None:
        self.taken = trio.Event()
        self._place = place
        self._sockets = sockets
        self._before = before
        self._busy = False
        self._listener: socket.socket | None = None
        self._inode = 0

    def __repr__(self) -> str:
        state = "taken" if self.taken.is_set() else "busy" if self._busy else "open"
        return f"<Offer {state} at {self._place.name}>"

    def open(self) -> None:
        """Be found from now on. A socket that another server left behind is replaced.

        Raises:
            HandoverError: the folder is no place for this.
        """
        place = self._place
        draft = f"{place.name}.{os.getpid()}-{secrets.token_hex(4)}"
        try:
            place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with place.open() as folder:
                self._listener = _listen(folder, draft, place.name)
                self._inode = os.stat(place.name, dir_fd=folder).st_ino
        except OSError as error:
            raise HandoverError(f"{place.folder}: {error.strerror or error}") from None

    async def run(self) -> None:
        """Serve who asks, until cancelled; then be found no more. Call it once, after `open`."""
        assert self._listener is not None
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._listener))
        try:
            async with trio.open_nursery() as nursery:
                await Acceptor(self._serve, nursery).run([listener])
        finally:
            self._remove()

    def _remove(self) -> None:
        """The server that took over may have put a socket of its own in the place of this one."""
        place = self._place
        with suppress(OSError, HandoverError), place.open() as folder:
            if os.stat(place.name, dir_fd=folder).st_ino == self._inode:
                os.unlink(place.name, dir_fd=folder)

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
            self._before()
            await send_sockets(stream, self._sockets)
            await self._wait_until_it_accepts(stream)
            await say(stream, STOPPING)
            self.taken.set()
        finally:
            self._busy = False

    async def _wait_until_it_accepts(self, stream: trio.SocketStream) -> None:
        try:
            await expect(stream, ACCEPTING, ACCEPTING_S)
        except HandoverError:
            with suppress(trio.BrokenResourceError):  # it has ended, and needs no word
                await say(stream, GIVEN_UP)
            raise


def _listen(folder: int, draft: str, name: str) -> socket.socket:
    """A socket that is at `name` at once, in the place of what was there."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.bind(path_in(folder, draft))
        listener.listen()
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        listener.close()
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)
        raise
    return listener
