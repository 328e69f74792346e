"""A tap sees one request as it passes between its visitor and the app."""

from __future__ import annotations

from typing import Protocol

from protocol.http.fields import Fields
from tunnel_client.origin.socket_tally import SocketEnd


class OriginTap(Protocol):
    """Sees one request pass; must neither raise nor block.

    What it is given may be kept: bytes do not change.
    """

    def connecting(self) -> None:
        """A connection to the app is about to be made; not called where an idle one serves."""

    def connected(self) -> None:
        """It is made; an app that was not there has come up."""

    def asked(self, head: bytes) -> None:
        """The request's head as the app gets it; once more when it goes again elsewhere."""

    def request_sent(self) -> None:
        """The request has left whole; not called where it went at once and has no chunks."""

    def body_in(self, data: bytes) -> None:
        """A piece of the request's body, or what the visitor sent after a 101."""

    def head(self, raw: bytes) -> None:
        """A head of the answer as the app wrote it: informational ones, then the final one."""

    def body_out(self, data: bytes) -> None:
        """A piece of the answer's body, or what the app sent after a 101."""

    def request_trailers(self, fields: Fields) -> None:
        """The trailers of the request, where it has some; the app gets them."""

    def answer_trailers(self, fields: Fields) -> None:
        """The trailers of the answer, where it has some."""

    def own_frame(self, frame: bytes, to_app: bool) -> None:
        """A frame of the tunnel's own goes to the app, or to the visitor: a ping or a Close.

        Data that `body_in` and `body_out` have shown stands around it, since a part of that may
        still be held.
        """

    def ended(self, error: str | None) -> None:
        """The last call: nothing is under way any more. `error` says why it failed, for people."""


class BodyLook(Protocol):
    """Looks at the first part of a body; must neither raise nor block."""

    def feed(self, data: bytes) -> bool:
        """Take the next piece; whether one more is of interest."""


class PlainTap:
    """The numbers that the report tells, and the way to another tap if there is one.

    Args:
        began_at: in trio's time.
        further: is given everything, too.

    Attributes:
        status: of the final head that was sent back; None if there was none.
        error_status: of the error that the visitor got in its place; None: it got none, since it
            went first, or the session did.
        bytes_in: of the request's body, taken from the stream.
        bytes_out: of the answer's body, given to the stream.
        error: why it failed, for people.
        socket: the end of a WebSocket, once it is there.
        page: looks at the answer's body, as long as it wants to.
    """

    __slots__ = (
        *("_further", "began_at", "bytes_in", "bytes_out"),
        *("error", "error_status", "page", "socket", "status"),
    )

    def __init__(self, began_at: float, further: OriginTap | None = None) -> None:
        self.began_at = began_at
        self.status: int | None = None
        self.error_status: int | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.error: str | None = None
        self.socket: SocketEnd | None = None
        self.page: BodyLook | None = None
        self._further = further

    def __repr__(self) -> str:
        said = f"{self.bytes_in} bytes in, {self.bytes_out} bytes out"
        return f"<PlainTap {self.status or 'no status'}, {said}, error={self.error!r}>"

    def connecting(self) -> None:
        """See OriginTap."""
        if self._further is not None:
            self._further.connecting()

    def connected(self) -> None:
        """See OriginTap."""
        if self._further is not None:
            self._further.connected()

    def asked(self, head: bytes) -> None:
        """See OriginTap."""
        if self._further is not None:
            self._further.asked(head)

    def request_sent(self) -> None:
        """See OriginTap."""
        if self._further is not None:
            self._further.request_sent()

    def body_in(self, data: bytes) -> None:
        """See OriginTap."""
        self.bytes_in += len(data)
        if self._further is not None:
            self._further.body_in(data)

    def head(self, raw: bytes) -> None:
        """See OriginTap."""
        if self._further is not None:
            self._further.head(raw)

    def body_out(self, data: bytes) -> None:
        """See OriginTap."""
        self.bytes_out += len(data)
        if self.page is not None and not self.page.feed(data):
            self.page = None
        if self._further is not None:
            self._further.body_out(data)

    def request_trailers(self, fields: Fields) -> None:
        """See OriginTap."""
        if self._further is not None:
            self._further.request_trailers(fields)

    def answer_trailers(self, fields: Fields) -> None:
        """See OriginTap."""
        if self._further is not None:
            self._further.answer_trailers(fields)

    def own_frame(self, frame: bytes, to_app: bool) -> None:
        """See OriginTap."""
        if self._further is not None:
            self._further.own_frame(frame, to_app)

    def ended(self, error: str | None) -> None:
        """See OriginTap."""
        if self._further is not None:
            self._further.ended(error)
