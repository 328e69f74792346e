"""DRIVER. The progress of a peer, as the kernel knows it: whether it takes what is sent to it.

Our own writes say little of that. A socket takes some hundred KB at once and then nothing for as
long as these need, so whoever is slow and whoever reads no more look the same from here. TCP tells
them apart: bytes are on their way and acknowledged, or the peer has closed its window (RFC 9293
3.8.6). It is asked while something stops, and never else.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from typing import Final, NamedTuple

import trio

from protocol.drivers.sockets import socket_below

# struct tcp_info of Linux, to tcpi_busy_time (4.9): numbers are only ever added behind it. What is
# read: unacked (in segments), last_data_sent and last_ack_recv (ms ago), bytes_acked, notsent_bytes
# and busy_time (us).
_TCP_INFO: Final = struct.Struct("=24xI16xI8xI60xQ16xI20xQ")
_LIMITLESS: Final = struct.pack("=I", 0xFFFF_FFFF)
_MS_PER_S: Final = 1e3
_US_PER_S: Final = 1e6


class PeerProgress(NamedTuple):
    """The progress of a peer for which something waits here.

    Fields:
        quiet_s: since when it has taken nothing, or has let nothing be heard.
        is_closed: all that has left has arrived, and its window lets nothing more go.
        taken_bytes: what it has taken in the life of its connection.
        taking_s: for how long something waited for it meanwhile, without `quiet_s`.
    """

    quiet_s: float
    is_closed: bool
    taken_bytes: int
    taking_s: float


def peer_progress(stream: trio.abc.Stream) -> PeerProgress | None:
    """Return the progress of the peer of a stream, under TLS or not.

    None where nothing waits and where nobody knows: without a TCP socket, and elsewhere than on
    Linux. A proxy between is the peer.
    """
    below = socket_below(stream) if sys.platform == "linux" else None
    if below is None or below.socket.fileno() < 0:
        return None
    try:
        raw = below.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        unacked, sent_ms, heard_ms, taken_bytes, unsent_bytes, busy_us = _TCP_INFO.unpack(raw)
    except (OSError, struct.error):  # no TCP, or an older Linux
        return None
    if not unacked and not unsent_bytes:
        return None
    quiet_s = (heard_ms if unacked else sent_ms) / _MS_PER_S
    return PeerProgress(quiet_s, not unacked, taken_bytes, max(0.0, busy_us / _US_PER_S - quiet_s))


def fill_send_buffer(stream: trio.abc.Stream) -> None:
    """Let the system take all that is written from now on, as far as its buffer goes.

    trio has it take little (TCP_NOTSENT_LOWAT), so that what is urgent does not wait behind bulk.
    At a stop that is of no use, and what the system has taken leaves without us. Where that cannot
    be said nothing changes.
    """
    below, option = socket_below(stream), getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if below is not None and option is not None and below.socket.fileno() >= 0:
        with contextlib.suppress(OSError):  # no TCP
            below.setsockopt(socket.IPPROTO_TCP, option, _LIMITLESS)
