"""A request on its way to the app.

The head leaves together with what has come of the body; only a body that is not there yet is sent
by a second task, since the two directions of a connection do not wait for one another. When the
request is cut off, the app sees that as it would have without the tunnel: its end in the middle.
"""

from __future__ import annotations

import contextlib
from enum import IntEnum
from typing import Final, Protocol

import trio

from protocol.errors import HttpError, SessionClosed, StreamReset
from protocol.http.serialise import chunk, last_chunk
from tunnel_client.origin.connection import OriginClosed, OriginConnection
from tunnel_client.origin.tap import OriginTap
from tunnel_client.origin.visitor_stream import VisitorStream

# More of a body than this is not sent before the answer is awaited: an app may fill our side's
# buffers with an early answer while it reads nothing. Every socket holds so much.
SENT_AT_ONCE_BYTES: Final = 16 * 1024


class SendState(IntEnum):
    """The progress of a request: how much of it has left; it only grows."""

    UNDER_WAY = 1
    LAST_PIECE = 2  # the last piece is being written
    SENT = 3


# Each request asks for these, and a global costs a third of an enum's member.
_UNDER_WAY: Final = SendState.UNDER_WAY
_LAST_PIECE: Final = SendState.LAST_PIECE
_SENT: Final = SendState.SENT


class RequestProgress(Protocol):
    """The view that a request has of its replay: to tell how far it is, and to show its bytes."""

    @property
    def tap(self) -> OriginTap:
        """Sees the body."""

    @property
    def aborted(self) -> bool:
        """Whether the connection was reset, or is about to be."""

    def start_timeout(self) -> None:
        """The app has got something, and has its time to answer from now on."""

    def stop_timeout(self) -> None:
        """The app has to wait for the visitor."""

    def cut_off(self, why: str) -> None:
        """The request ended in the middle."""

    def abort(self) -> None:
        """Reset the connection."""


class Request:
    """The sending of one request.

    Args:
        stream: where its body comes from.
        connection: where it goes.
        progress: is told of it.
    """

    __slots__ = ("_connection", "_left", "_progress", "_state", "_stream")

    def __init__(
        self, stream: VisitorStream, connection: OriginConnection, progress: RequestProgress
    ) -> None:
        self._stream = stream
        self._connection = connection
        self._progress = progress
        self._left: int | None = None  # of a body with a length: bytes not yet taken
        self._state: SendState = _UNDER_WAY

    def __repr__(self) -> str:
        return f"<Request {self._state.name} left={self._left} {self._stream!r}>"

    async def send(self, head: bytes, tasks: trio.Nursery) -> None:
        """Send the head and what is there of the body.

        A failed write is not an error: the answer may be there all the same, as an early 413.

        Args:
            tasks: where the rest is sent.
        """
        stream = self._stream
        body = stream.opened.body
        data = b"" if body in (None, 0) else stream.take_some()
        if data:
            self._progress.tap.body_in(data)
        whole = body is None
        if isinstance(body, int):
            self._left = body - len(data)
            whole = not self._left
        elif body == "chunked":
            whole = stream.receive_ended
            data = chunk(data) + (last_chunk(stream.trailers) if whole else b"")
        self._progress.start_timeout()
        at_once = len(data) <= SENT_AT_ONCE_BYTES
        if at_once:
            try:
                await self._connection.send(head + data)
            except OriginClosed:
                return
            if whole:
                self._state = _SENT
        if not (at_once and whole):
            tasks.start_soon(self._send_rest, b"" if at_once else head + data, whole)

    async def was_sent_whole(self) -> bool:
        """Whether all of it has left, when the answer is there."""
        if self._state is _LAST_PIECE:
            # The answer may be faster than the task that is just being told of its last write. It
            # gets two rounds: the tasks of one run in any order.
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
        return self._state is _SENT

    async def _send_rest(self, first: bytes, whole: bool) -> None:
        try:
            if whole:
                self._state = _LAST_PIECE
            if first:
                await self._connection.send(first)
            if not whole:
                await self._relay()
            self._state = _SENT
            self._progress.start_timeout()
        except OriginClosed:
            self._stream.stop_sending("no-error")
        except (StreamReset, HttpError) as error:
            await self._cut_off(str(error))
        except SessionClosed:
            self._progress.abort()

    async def _relay(self) -> None:
        stream = self._stream
        chunked = stream.opened.body == "chunked"
        while chunked or self._left:
            self._progress.stop_timeout()
            data = await stream.receive_some()
            if not data:
                break
            self._progress.tap.body_in(data)
            if self._left is not None:
                self._left -= len(data)
                if not self._left:
                    self._state = _LAST_PIECE
            self._progress.start_timeout()
            await self._connection.send(chunk(data) if chunked else data)
        if chunked:
            self._state = _LAST_PIECE
            await self._connection.send(last_chunk(stream.trailers))

    async def _cut_off(self, why: str) -> None:
        """The request ended in the middle, and must look so: an end here, where more was due."""
        if self._progress.aborted or self._connection.dropped:
            return  # or it is we who wanted no more of it
        self._progress.cut_off(why)
        if not self._connection.can_half_close:
            self._progress.abort()
            return
        with contextlib.suppress(OriginClosed):  # the app was faster; its answer is read
            await self._connection.send_eof()
