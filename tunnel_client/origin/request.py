"""A request on its way to the app.

The head leaves together with what has come of the body; only a body that is not there yet is sent
by a second task, since the two directions of a connection do not wait for one another: an answer
that ends does not end its request (RFC 9112 9.3). When the request is cut off, the app sees that as
it would have without the tunnel: its end in the middle.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final, Protocol

import trio

from protocol.errors import HttpError, LocalProtocolError, SessionClosed, StreamReset
from protocol.http.serialise import chunk, last_chunk
from protocol.http.stopping import VISITOR_STUCK
from tunnel_client.origin.connection import OriginClosed, OriginConnection
from tunnel_client.origin.request_states import SENDING, SendEvent, SendState
from tunnel_client.origin.tap import OriginTap
from tunnel_client.origin.visitor_stream import VisitorStream

# More of a body than this is not sent before the answer is awaited: an app may fill our side's
# buffers with an early answer while it reads nothing. Every socket holds so much.
SENT_AT_ONCE_BYTES: Final = 16 * 1024

# The codes of a reset behind which no visitor is left; a server up to 0.2 says `no-error` when it
# has had the answer. With any other the visitor has only ended its direction.
GONE: Final = frozenset({"visitor-gone", VISITOR_STUCK, "cancelled", "no-error"})

# Each request asks for these, and a global costs a third of an enum's member.
_UNDER_WAY: Final = SendState.UNDER_WAY
_SENT: Final = SendState.SENT
_STOPPED: Final = SendState.STOPPED


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

    Attributes:
        state: changed by `SENDING` alone.
        is_writing: the app has still to take what is being sent of its body.
        on_over: called once, when it has ended in any way after this was set. It must neither raise
            nor block.
    """

    __slots__ = ("_connection", "_left", "_progress", "_stream", "is_writing", "on_over", "state")

    def __init__(
        self, stream: VisitorStream, connection: OriginConnection, progress: RequestProgress
    ) -> None:
        self._stream = stream
        self._connection = connection
        self._progress = progress
        self._left: int | None = None  # of a body with a length: bytes not yet taken
        self.state: SendState = _UNDER_WAY
        self.is_writing = False
        self.on_over: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<Request {self.state.name} left={self._left} {self._stream!r}>"

    def stop(self) -> None:
        """The app takes no more of it."""
        self._happened(SendEvent.STOP)

    async def wait_whole(self) -> None:
        """Wait until it has been sent, and no more of it can come.

        Before that nobody changes the protocol, whatever an app says (RFC 9110 7.8).

        Raises:
            OriginClosed: it has ended in another way.
            SessionClosed: the session is gone.
        """
        over = trio.Event()
        self.on_over = over.set
        if self.state is _UNDER_WAY:
            await over.wait()
        self.on_over = None
        if self.state is not _SENT:
            raise OriginClosed
        try:
            await self._stream.receive_some()  # an end, behind a body with a length too
        except StreamReset as error:
            raise OriginClosed from error

    async def wait_over(self) -> bool:
        """Wait until it has ended, behind its answer; whether the app sent something meanwhile.

        The app ends it by ending its connection. What else it sends behind its answer is dropped.
        """
        more = False
        with trio.CancelScope() as watching:
            self.on_over = watching.cancel
            try:
                while self.state is _UNDER_WAY and await self._connection.receive():
                    more = True
            except OriginClosed:
                pass
            if self.state is _UNDER_WAY:
                self.stop()
        return more

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
            if whole and stream.trailers:
                self._progress.tap.request_trailers(stream.trailers)
            data = chunk(data) + (last_chunk(stream.trailers) if whole else b"")
        self._progress.start_timeout()
        at_once = len(data) <= SENT_AT_ONCE_BYTES
        if at_once:
            try:
                await self._connection.send(head + data)
            except OriginClosed:
                self.stop()
                return
            if whole:
                self.state = _SENT  # as the table says; this is the commonest request
                if body == "chunked":
                    self._progress.tap.request_sent()
        if not (at_once and whole):
            tasks.start_soon(self._send_rest, b"" if at_once else head + data, whole)

    async def _send_rest(self, first: bytes, whole: bool) -> None:
        try:
            if first:
                self.is_writing = True  # its time runs since `send`
                await self._connection.send(first)
            if not whole:
                await self._relay()
            self._progress.tap.request_sent()
            self._progress.start_timeout()
            self._happened(SendEvent.SEND)
        except OriginClosed:
            self._stream.stop_sending("no-error")
            self.stop()
        except StreamReset as error:
            await self._cut_off(str(error), gone=error.code in GONE)
        except HttpError as error:
            await self._cut_off(str(error), gone=False)
        except SessionClosed:
            self._progress.abort()

    async def _relay(self) -> None:
        stream = self._stream
        chunked = stream.opened.body == "chunked"
        while chunked or self._left:
            self._progress.stop_timeout()
            self.is_writing = False
            data = await stream.receive_some()
            if not data:
                break
            self._progress.tap.body_in(data)
            if self._left is not None:
                self._left -= len(data)
            await self._write(chunk(data) if chunked else data)
        if chunked:
            if stream.trailers:
                self._progress.tap.request_trailers(stream.trailers)
            await self._write(last_chunk(stream.trailers))

    async def _write(self, data: bytes) -> None:
        """Send it, which the app has its time to take."""
        self._progress.start_timeout()
        self.is_writing = True
        await self._connection.send(data)

    async def _cut_off(self, why: str, *, gone: bool) -> None:
        """The request ended in the middle, and must look so: an end here, where more was due.

        Args:
            why: for people.
            gone: nobody is there who would want the answer.
        """
        if self._progress.aborted or self._connection.dropped:
            return  # or it is we who wanted no more of it
        if gone:
            self._progress.abort()
            return
        self._progress.cut_off(why)
        if not self._connection.can_half_close:
            self._progress.abort()
            return
        with contextlib.suppress(OriginClosed):  # the app was faster; its answer is read
            await self._connection.send_eof()
        self._happened(SendEvent.CUT)

    def _happened(self, event: SendEvent) -> None:
        state = SENDING.get((self.state, event))
        if state is None:
            raise LocalProtocolError(f"{event.name} of a request that is {self.state.name}")
        over = self.state is _UNDER_WAY
        self.state = state
        if over and self.on_over is not None:
            self.on_over()
