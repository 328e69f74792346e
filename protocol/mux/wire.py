"""Frames: twelve bytes of header and a body. A message of the control WebSocket is whole frames.

    0       1       2               4                                               12
    +-------+-------+---------------+-----------------------------------------------+------
    | type  | flags | body length   | stream id (0: the session)                    | body ...
    +-------+-------+---------------+-----------------------------------------------+------

Numbers are big-endian. Flags are all zero: a set one is from a version that this one cannot speak.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import FRAME_BODY_MAX_BYTES, MESSAGE_MAX_BYTES

_HEADER: Final = struct.Struct("!BBHQ")
HEADER_BYTES: Final = _HEADER.size


class FrameType(IntEnum):
    """The first byte of a frame. The first six are counted, in the order of docs/protocol.md."""

    OPEN = 1
    HEAD = 2
    DATA = 3
    END = 4
    RESET = 5
    STOP_SENDING = 6
    CREDIT = 16
    ACK = 17
    PING = 18
    PONG = 19
    HELLO = 32
    WELCOME = 33
    RESUME = 34
    RESUMED = 35
    CLAIM = 36
    CLAIMED = 37
    REFUSED = 38
    RELEASE = 39
    GOAWAY = 40
    GONE = 41  # from version 2 on


COUNTED: Final = frozenset(range(FrameType.OPEN, FrameType.STOP_SENDING + 1))
"""Types that acknowledgement counts; a resume retransmits these and no others."""

_KNOWN: Final = frozenset(int(kind) for kind in FrameType)


Frame = tuple[int, int, bytes]
"""One frame as it came: its type, one of FrameType as a plain integer; its stream; its body."""


def header(kind: int, stream_id: int, body_bytes: int) -> bytes:
    """Return the header of a frame whose body follows in a buffer of its own.

    Raises:
        LocalProtocolError: the body is longer than a frame may carry.
    """
    if body_bytes > FRAME_BODY_MAX_BYTES:
        raise LocalProtocolError(f"a frame body of {body_bytes} bytes is too long")
    return _HEADER.pack(kind, 0, body_bytes, stream_id)


def frame(kind: int, stream_id: int, body: bytes = b"") -> bytes:
    """Return one whole frame. Raises LocalProtocolError as `header` does."""
    return header(kind, stream_id, len(body)) + body


def split_message(message: bytes) -> list[Frame]:
    """Split a message into its frames, in order.

    Raises:
        RemoteProtocolError: the message is not one or more whole frames of known types.
    """
    frames: list[Frame] = []
    end = len(message)
    if not 0 < end <= MESSAGE_MAX_BYTES:
        raise RemoteProtocolError(f"a message of {end} bytes")
    at = 0
    while at < end:
        begin = at + HEADER_BYTES
        if begin > end:
            raise RemoteProtocolError("a message ends inside a frame's header")
        kind, flags, size, stream_id = _HEADER.unpack_from(message, at)
        at = begin + size
        if flags or kind not in _KNOWN:
            raise RemoteProtocolError(f"a frame of type {kind} with flags {flags:#x}")
        if at > end or size > FRAME_BODY_MAX_BYTES:
            raise RemoteProtocolError(f"a frame announces {size} bytes, {end - begin} are there")
        frames.append((kind, stream_id, message[begin:at]))
    return frames
