"""The account of one WebSocket for its last line: messages each way, and who ended it."""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

from protocol.http.websocket import FrameCutter
from tunnel_client.observing.events import Closer

EndedHow = Literal["close", "end", "reset"]
"""By a Close, whatever came behind it; without one, by an end of the connection, or by a reset."""


class SocketEnd(NamedTuple):
    """The end of a WebSocket.

    Fields:
        messages_in: that began, from the visitor.
        messages_out: to it.
        closed_by: from where the first sign of the end came: a Close, an end or a reset.
        close_code: of that Close; None: it has none, or it was none.
        how: what that first sign was; None: there was none.
    """

    messages_in: int
    messages_out: int
    closed_by: Closer | None
    close_code: int | None
    how: EndedHow | None


class SocketTally:
    """Listens to the cutters of both directions, and to how the relay ends.

    Args:
        to_app: cuts what the visitor sends.
        from_app: cuts what the app sends.
    """

    __slots__ = ("_closed_by", "_code", "_from_app", "_how", "_to_app")

    def __init__(self, to_app: FrameCutter, from_app: FrameCutter) -> None:
        self._to_app = to_app
        self._from_app = from_app
        self._closed_by: Closer | None = None
        self._code: int | None = None
        self._how: EndedHow | None = None
        to_app.on_close = partial(self._closes, "visitor")
        from_app.on_close = partial(self._closes, "app")

    def __repr__(self) -> str:
        return f"<SocketTally closed by {self._closed_by or 'nobody'}, {self._code or 'no code'}>"

    def ends(self, by: Closer, how: EndedHow, code: int | None = None) -> None:
        """An end came from there; the first one counts."""
        if self._closed_by is None:
            self._closed_by, self._how, self._code = by, how, code

    def settle(self) -> SocketEnd:
        """Return the account, and listen no more."""
        self._to_app.on_close = self._from_app.on_close = None  # they would hold one another
        messages = self._to_app.messages, self._from_app.messages
        return SocketEnd(*messages, self._closed_by, self._code, self._how)

    def _closes(self, by: Closer, code: int | None) -> None:
        self.ends(by, "close", code)
