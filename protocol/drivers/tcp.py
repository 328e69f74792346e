"""DRIVER. A connected socket as a trio stream, with as few system calls as it takes.

trio's own SocketStream first tries to read, which between two requests always fails, then waits,
then reads; and each call that succeeds at once still goes round the scheduler. For a keep-alive
connection that is one failed call and two rounds a request. This stream waits first unless the
last read was a full one, and makes no checkpoint after a read that waited or a write that was
short. benchmarks/README.md has the figures.

Everything else is as trio.SocketStream promises it: the same errors, and the same options, which
trio has set when it made the socket (TCP_NODELAY, TCP_NOTSENT_LOWAT).
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from typing import Final

import trio

# A write of less does not take long enough to let others run after it.
_SHORT_WRITE_BYTES: Final = 16 * 1024
_READ_BYTES: Final = 64 * 1024

_LINGER_NONE: Final = struct.pack("ii", 1, 0)

# Between two attempts at a queue that is full: a program that serves one connection at a time, each
# for some milliseconds, is idle for as long at most.
FULL_QUEUE_S: Final = 0.02

SocketAddress = tuple[str, int] | str  # of an IP literal, or the path of a unix socket
_INTERNET: Final = frozenset({socket.AF_INET, socket.AF_INET6})

# The option that trio sets, and as it does: more that is unsent would only wait in the kernel.
_UNSENT_BYTES: Final = 16 * 1024


async def connect_tcp(host: str, port: int) -> trio.SocketStream:
    """Connect to a host, as trio.open_tcp_stream does.

    An address needs none of what that has for a name with several of them, which costs 0.1 ms.

    Raises OSError, or UnicodeError for a name that cannot be.
    """
    family = _family_of(host)
    if family is None:
        return await trio.open_tcp_stream(host, port)
    await trio.lowlevel.checkpoint()  # whoever cancels this in the same moment still comes in time
    connecting = trio.socket.socket(family)
    try:
        await connecting.connect((host, port))
    except BaseException:
        connecting.close()
        raise
    return trio.SocketStream(connecting)


def connect_at_once(family: int, address: SocketAddress) -> TcpStream:
    """Connect to a program on this machine, without a wait.

    That by loopback Linux does within the call, and that to a unix socket every system; connect(2)
    says so when it is asked once more. What is not finished then is given up.

    Raises:
        BlockingIOError: it takes a wait: the program is slow to accept, or this is no Linux.
        OSError: any other reason.
    """
    connecting = socket.socket(family, socket.SOCK_STREAM)
    try:
        connecting.setblocking(False)
        try:
            connecting.connect(address)
        except BlockingIOError:
            connecting.connect(address)
        if family in _INTERNET:
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    except BaseException:
        connecting.close()
        raise
    return TcpStream(connecting)


async def connect_unix(path: str) -> TcpStream:
    """Connect to a unix socket; while its queue is full, wait for a place, as others do.

    A connect that does not block fails then, and has begun nothing that one could wait for.

    Raises OSError.
    """
    await trio.lowlevel.checkpoint()
    while True:
        try:
            return connect_at_once(socket.AF_UNIX, path)
        except BlockingIOError:
            await trio.sleep(FULL_QUEUE_S)


def _family_of(host: str) -> socket.AddressFamily | None:
    """The family of an address; None: it is a name, or has a zone."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host)
    except (OSError, UnicodeError):
        return None
    return family


class TcpStream(trio.abc.HalfCloseableStream):
    """A TCP or unix socket.

    Args:
        connected: the socket, which does not block; or its owner until now, which must not be
            used any more.
    """

    def __init__(self, connected: socket.socket | trio.SocketStream) -> None:
        if isinstance(connected, trio.SocketStream):
            connected = socket.socket(fileno=connected.socket.detach())
            connected.setblocking(False)
        self._socket = connected
        self._more_expected = False

    def __repr__(self) -> str:
        return f"<TcpStream {'closed' if self.is_closed else self._socket.fileno()}>"

    @property
    def socket(self) -> socket.socket:
        """The socket itself, for its options."""
        return self._socket

    @property
    def is_closed(self) -> bool:
        return self._socket.fileno() < 0

    def is_readable(self) -> bool:
        """Whether the peer has sent something, or its end, that nobody has read."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            pass  # a reset, or closed by us
        return True

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option, as the socket's own method does."""
        self._socket.setsockopt(level, option, value)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what came, up to `max_bytes` (64 KiB); b"" at the peer's end.

        Cancelling loses nothing.

        Raises:
            trio.BrokenResourceError: the peer reset the connection, or vanished.
            trio.ClosedResourceError: this end closed it.
        """
        size = max_bytes or _READ_BYTES
        while True:
            if self._more_expected:
                self._more_expected = False
                await trio.lowlevel.checkpoint()
            else:
                self._check_open()
                await trio.lowlevel.wait_readable(self._socket)
            try:
                data = self._socket.recv(size)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._broken(error) from error
            self._more_expected = len(data) == size
            return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it. When cancelled, a part of it may have been sent.

        Raises:
            trio.BrokenResourceError: the peer reset the connection, or vanished.
            trio.ClosedResourceError: this end closed it.
        """
        sent = self._send(data)
        if sent < len(data):
            with memoryview(data) as view:
                while sent < len(data):
                    await self.wait_send_all_might_not_block()
                    sent += self._send(view[sent:])
        elif sent >= _SHORT_WRITE_BYTES:
            await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the socket takes bytes. Raises as `send_all`."""
        self._check_open()
        await trio.lowlevel.wait_writable(self._socket)

    async def send_eof(self) -> None:
        """End our direction. Raises as `send_all`."""
        await trio.lowlevel.checkpoint()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise self._broken(error) from error

    async def aclose(self) -> None:
        """Close it; a task that waits on it gets ClosedResourceError."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self, *, reset: bool = False) -> None:
        """Close it now, without waiting.

        Args:
            reset: with RST, so that what was sent cannot be taken for whole.
        """
        if self.is_closed:
            return
        if reset:
            with contextlib.suppress(OSError):  # elsewhere than on Linux: it is reset already
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()

    def _check_open(self) -> None:
        """Raise if it is closed: trio would note the waiting task under -1, and never forget it."""
        if self.is_closed:
            raise trio.ClosedResourceError("this end closed the connection")

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._broken(error) from error

    def _broken(self, error: OSError) -> Exception:
        if self.is_closed or error.errno == errno.EBADF:
            return trio.ClosedResourceError("this end closed the connection")
        return trio.BrokenResourceError(f"the connection broke: {error}")
