"""A message of many small frames in pieces, so that others get their turn between them.

64 KiB hold four frames of data or 5,000 acks. To take the latter apart holds up every other session
of the process for 5 ms, and a peer may send one such message behind the other. Where its frames
stand in a message does not matter, so a driver takes it in pieces.
"""

from __future__ import annotations

from typing import Final

from protocol.mux.wire import HEADER_BYTES

# Half a millisecond's work.
FRAMES_A_PIECE_MAX: Final = 256


def pieces_of(message: bytes) -> list[bytes]:
    """The message, or the pieces that make it: whole frames, none torn apart.

    Never raises: what is no frame stands at the end of the last piece, for its reader.
    """
    size = len(message)
    if size <= FRAMES_A_PIECE_MAX * HEADER_BYTES:
        return [message]
    pieces: list[bytes] = []
    start = at = frames = 0
    while at + HEADER_BYTES <= size:
        if frames == FRAMES_A_PIECE_MAX:
            pieces.append(message[start:at])
            start, frames = at, 0
        at += HEADER_BYTES + (message[at + 2] << 8 | message[at + 3])
        frames += 1
    return [*pieces, message[start:]] if pieces else [message]
