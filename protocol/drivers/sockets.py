"""DRIVER. The sockets of visitors and of apps alike: keep-alive, and closing without a wait."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Final, TypeVar

import trio

from protocol.drivers.tcp import TcpStream

SocketStream = trio.SocketStream | TcpStream
AnyStream = TypeVar("AnyStream", bound=trio.abc.Stream)

# A peer that vanished must not hold a stream for ever: three probes after a minute of silence, and
# what was sent unacknowledged for a minute at most. At the server a control connection has this as
# well; it never acts there, since the session gives a silent peer up after TIMEOUT_S, 30 s.
_KEEPALIVE: Final = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 60),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 20),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 60_000),
)
_LINGER_NONE: Final = struct.pack("ii", 1, 0)


def keep_alive(stream: SocketStream) -> None:
    """Let the kernel notice a peer that vanished; unknown options of other systems are left out."""
    if stream.socket.family in (socket.AF_INET, socket.AF_INET6):
        for level, name, value in _KEEPALIVE:
            option = getattr(socket, name, None)
            if option is not None:
                with contextlib.suppress(OSError):  # elsewhere than on Linux: it is gone already
                    stream.setsockopt(level, option, value)


def socket_below(stream: trio.abc.Stream) -> SocketStream | None:
    """The socket's stream under TLS, or itself; None for a stream in memory.

    Whatever lies over a socket names what is below it `transport_stream`, as trio's TLS does.
    """
    below: object = stream
    while below is not None and not isinstance(below, SocketStream):
        below = getattr(below, "transport_stream", None)
    return below


def drop(stream: trio.abc.Stream, *, reset: bool) -> None:
    """Close the socket now, without waiting for anything.

    Tasks that use it get ClosedResourceError. Nothing is raised here, and nothing happens to a
    socket that is closed, or to a stream in memory.

    Args:
        reset: with RST, so that what was sent cannot be taken for whole (a unix socket has none:
            there it is an end like another); else with FIN. Under TLS neither sends a close_notify.
    """
    below = socket_below(stream)
    if below is None or below.socket.fileno() < 0:
        return
    if isinstance(below, TcpStream):
        below.close(reset=reset)
        return
    if reset:
        with contextlib.suppress(OSError):  # elsewhere than on Linux: it is reset already
            below.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    below.socket.close()


def is_readable(stream: trio.abc.Stream) -> bool:
    """Whether the peer has sent something, or its end, that nobody has read.

    Under TLS what was read and not yet decrypted counts too: a record that came together with the
    end of an answer lies there, and nothing is left in the socket. A closed stream is readable, a
    stream in memory is not.
    """
    below = socket_below(stream)
    if below is None:
        return False
    # The server has a stream of its own over trio's TLS.
    tls = (
        stream if isinstance(stream, trio.SSLStream) else getattr(stream, "transport_stream", None)
    )
    if isinstance(tls, trio.SSLStream) and (tls.pending() or undecrypted_bytes(tls)):
        return True
    if isinstance(below, TcpStream):
        return below.is_readable()
    return below.socket.fileno() < 0 or below.socket.is_readable()


def was_reset(stream: trio.abc.Stream) -> bool:
    """Whether the peer reset the connection while nobody reads: the kernel wakes nobody then.

    It is told once, and where somebody reads, that fails instead. A stream in memory, or one that
    was closed, is not reset.
    """
    below = socket_below(stream)
    if below is None or below.socket.fileno() < 0:
        return False
    return below.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


def undecrypted_bytes(stream: trio.SSLStream[AnyStream]) -> int:
    """The bytes that TLS has read from below and not looked at.

    The one place that looks into trio, which says nothing of it in public:
    test_trios_tls_keeps_what_it_has_read_in_incoming tells when it has moved.
    """
    return stream._incoming.pending
