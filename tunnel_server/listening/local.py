"""Unix sockets in the state folder: where other processes of this user find the server.

One is at its name at once, in the place of what a crashed server left behind, and is taken away at
the end, unless another server has put its own there meanwhile.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import trio

from protocol.errors import TunnelError
from protocol.program.private_files import UnsafePathError, check_open
from tunnel_server.listening.accepting import Acceptor

_CONNECT_S: Final = 5.0  # it is on this machine
_SEEN_S: Final = 1.0
_UCRED: Final = struct.Struct("iII")  # pid, uid, gid: unix(7)


class PlaceError(TunnelError):
    """No socket can be had there; its text is for the person."""


class SocketPlace(NamedTuple):
    """The name of a socket.

    Attributes:
        folder: the state folder, in which nobody else may write.
        name: of the socket in it.
        trusted: somebody has said that the folder is to be believed, whoever may write there.
    """

    folder: Path
    name: str
    trusted: bool = False

    @contextmanager
    def open(self) -> Iterator[int]:
        """The folder's descriptor.

        Raises:
            FileNotFoundError: there is no such folder.
            PlaceError: others may write there.
        """
        if sys.platform != "linux":
            raise PlaceError("this system does not tell whose a process is (SO_PEERCRED)")
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not self.trusted:
                _check(self.folder, descriptor)
            yield descriptor
        finally:
            os.close(descriptor)


class LocalListener:
    """A socket that listens at a place."""

    def __init__(self, place: SocketPlace) -> None:
        self._place = place
        self._listener: socket.socket | None = None
        self._inode = 0
        self._is_succeeded = False

    def __repr__(self) -> str:
        state = "closed" if self._listener is None else "open"
        return f"<LocalListener {state} at {self._place.name}>"

    def open(self) -> None:
        """Be found from now on.

        Raises:
            PlaceError: the folder is no place for this.
        """
        place = self._place
        draft = f"{place.name}.{os.getpid()}-{secrets.token_hex(4)}"
        try:
            place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with place.open() as folder:
                self._listener = _listen(folder, draft, place.name)
                self._inode = os.stat(place.name, dir_fd=folder).st_ino
        except OSError as error:
            raise PlaceError(f"{place.folder}: {error.strerror or error}") from None

    def succeeded(self) -> None:
        """Another process has the place: leave what is there, which may be its own by now."""
        self._is_succeeded = True

    async def run(self, serve: Callable[[trio.SocketStream], Awaitable[None]]) -> None:
        """Serve who connects, until cancelled; then be found no more. Once, after `open`."""
        assert self._listener is not None
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._listener))
        try:
            async with trio.open_nursery() as nursery:
                await Acceptor(serve, nursery).run([listener])
        finally:
            self._remove()

    def _remove(self) -> None:
        place = self._place
        if self._is_succeeded:
            return
        with suppress(OSError, PlaceError), place.open() as folder:
            if os.stat(place.name, dir_fd=folder).st_ino == self._inode:
                os.unlink(place.name, dir_fd=folder)


async def connect(place: SocketPlace) -> trio.SocketStream | None:
    """Connect to who listens there; None: nobody does.

    Raises:
        PlaceError: somebody does, or may, and cannot be reached.
    """
    unix = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with place.open() as folder, trio.fail_after(_CONNECT_S):
            await unix.connect(path_in(folder, place.name))
    except (FileNotFoundError, ConnectionRefusedError):  # a crashed server's is refused
        unix.close()
        return None
    except (OSError, trio.TooSlowError) as error:
        unix.close()
        raise PlaceError(f"the running server cannot be reached: {error}") from None
    except BaseException:
        unix.close()
        raise
    return trio.SocketStream(unix)


def is_served(place: SocketPlace) -> bool:
    """Whether a process of this user listens there. It waits for a second at most."""
    if sys.platform != "linux":
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as unix:
        unix.settimeout(_SEEN_S)
        try:
            with place.open() as folder:
                unix.connect(path_in(folder, place.name))
        except (OSError, PlaceError):
            return False
    return True


def path_in(folder: int, name: str) -> str:
    """A path for bind and connect: an address has room for 107 bytes, and folders can be deep."""
    return f"/proc/self/fd/{folder}/{name}"


def uid_of(stream: trio.SocketStream) -> int:
    """Return whose the process at the other end is, by the kernel's word."""
    raw = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return int(_UCRED.unpack(raw)[1])


def _check(folder: Path, descriptor: int) -> None:
    status = os.fstat(descriptor)
    if status.st_uid not in (0, os.geteuid()):
        raise PlaceError(f"{folder} is another user's: do this as that user, or as root")
    try:
        check_open(folder, status)
    except UnsafePathError as error:
        raise PlaceError(str(error)) from None


def _listen(folder: int, draft: str, name: str) -> socket.socket:
    """A socket that is at `name` at once, in the place of what was there."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.bind(path_in(folder, draft))
        os.chmod(path_in(folder, draft), 0o600)
        listener.listen()
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        listener.close()
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)
        raise
    return listener
