"""Frames for people: what happened on the wire, and nothing of what visitors and apps said.

    -> 12 OPEN 431 GET
    <- 12 HEAD 203 200
    <- 12 DATA 1400
    -> 0 ACK 2

A line has the direction, the stream (0: the session), the type and the bytes of the body; of a head
also its method or status. Fields, targets, data, texts and secrets are never printed, whatever the
bytes are. `python -m protocol.mux.printing FILE...` prints files that hold one message each.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from protocol import VERSIONS
from protocol.errors import RemoteProtocolError
from protocol.limits import MESSAGE_MAX_BYTES
from protocol.mux.head_bodies import read_head, read_open
from protocol.mux.wire import Frame, FrameType, split_message

SENT: Final = "->"
RECEIVED: Final = "<-"

# The registered ones have 17 letters at most (IANA's HTTP method registry); another token may be
# anything, a secret too.
_METHOD: Final = re.compile(rb"[A-Z-]{1,17}")


def frame_line(direction: str, frame: Frame) -> str:
    """Return one frame as a line; `?` stands for a method or status that cannot be read.

    Args:
        direction: `SENT` or `RECEIVED`.
        frame: as `split_message` gives it.
    """
    kind, stream_id, body = frame
    line = f"{direction} {stream_id} {FrameType(kind).name} {len(body)}"
    if kind == FrameType.OPEN:
        return f"{line} {_method(body)}"
    return f"{line} {_status(body)}" if kind == FrameType.HEAD else line


def message_lines(direction: str, message: bytes) -> Iterator[str]:
    """Yield a line for each frame of a message.

    Raises:
        RemoteProtocolError: it is not whole frames of known types; then nothing was yielded.
    """
    for frame in split_message(message):
        yield frame_line(direction, frame)


def _method(body: bytes) -> str:
    for version in VERSIONS:
        with suppress(RemoteProtocolError):
            method = read_open(body, version).method
            return method.decode("ascii") if _METHOD.fullmatch(method) else "?"
    return "?"


def _status(body: bytes) -> str:
    for version in VERSIONS:
        with suppress(RemoteProtocolError):
            return str(read_head(body, version).status)
    return "?"


def main(files: list[str]) -> int:
    """Print each file's message; return the exit code: 1 if one cannot be read, 2 without files."""
    if not files:
        sys.stderr.write("usage: python -m protocol.mux.printing FILE...\n")
        return 2
    code = 0
    for file in files:
        try:
            with Path(file).open("rb") as stream:
                message = stream.read(MESSAGE_MAX_BYTES + 1)
            sys.stdout.writelines(f"{line}\n" for line in message_lines(SENT, message))
        except (OSError, RemoteProtocolError) as error:
            said = error.strerror if isinstance(error, OSError) else f"no message: {error}"
            sys.stderr.write(f"{file}: {said}\n")
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
