"""A request without a visitor: what the dispatcher replays as it does those of the tunnel.

Its answer goes nowhere: the tap keeps as much of it as of any, and here it is counted. So a
download of 10 GB fills no memory, and runs as fast as the app sends until somebody cancels it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from protocol.drivers.bonds import VisitorConnection
from protocol.drivers.latch import Latch
from protocol.errors import StreamStopped
from protocol.http.fields import Fields
from protocol.mux.messages import Head, Open
from tunnel_client.inspector.replaying.replayed_request import ReplayedRequest

PIECE_BYTES: Final = 16 * 1024  # as a visitor's come


class ReplayStream:
    """See above, and VisitorStream for each method.

    Attributes:
        replay_of: the number of the exchange whose request it repeats.
        as_written: see ReplayedRequest.
    """

    id = 0  # the report names no stream of a session
    visitor_connection: VisitorConnection | None = None
    reset_code: str | None = None
    detached = False
    server_stops = False
    unsent_bytes = 0
    waits_for_visitor = False

    def __init__(self, request: ReplayedRequest) -> None:
        self.opened: Open = request.opened
        self.replay_of = request.number
        self.trailers: Fields = request.trailers
        self.on_stopped: Callable[[], None] | None = None
        self.on_gone: Callable[[], None] | None = None
        self.stopped: str | None = None
        body = request.body
        pieces = (body[at : at + PIECE_BYTES] for at in range(0, len(body), PIECE_BYTES))
        self._pieces = deque(pieces)
        self._taken_bytes = 0
        self._answered_bytes = 0
        self._readable = Latch()

    def __repr__(self) -> str:
        return f"<ReplayStream of {self.replay_of}, {self._answered_bytes} bytes answered>"

    @property
    def request_progress(self) -> tuple[int, int | None]:
        length = self.opened.body
        return self._taken_bytes, length if isinstance(length, int) else None

    @property
    def answer_progress(self) -> tuple[int, int | None]:
        return self._answered_bytes, None

    def log_by(self, logger: logging.Logger) -> logging.Logger:
        return logger

    # --- the request ---

    @property
    def receive_ended(self) -> bool:
        return not self._pieces

    @property
    def is_readable(self) -> bool:
        return True

    def take_some(self) -> bytes:
        piece = self._pieces.popleft() if self._pieces else b""
        self._taken_bytes += len(piece)
        return piece

    async def receive_some(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.take_some()

    async def wait_readable(self) -> None:
        await self._readable.wait()

    def wake_reader(self) -> None:
        self._readable.open()

    def stop_sending(self, code: str) -> None:
        self._pieces.clear()

    # --- the answer ---

    async def send_head(self, head: Head) -> None:
        await trio.lowlevel.checkpoint()
        self._raise_if_stopped()

    async def send_all(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self._raise_if_stopped()
        self._answered_bytes += len(data)

    def send_eof(self, trailers: Fields = ()) -> None:
        pass

    def reset(self, code: str, message: str = "") -> None:
        pass

    def cancel(self, code: str) -> None:
        self.stop_sending(code)

    def _raise_if_stopped(self) -> None:
        if self.stopped is not None:
            raise StreamStopped(self.stopped)
