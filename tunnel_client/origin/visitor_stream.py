"""A visitor's request, as what replays it to the app sees it.

A stream of the tunnel is one (TunnelStream, where each method's promise stands). Whatever else has
this shape can be given to `Dispatcher.serve` and reaches the app in the same way, such as a request
that is sent again from what was kept of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from protocol.drivers.bonds import VisitorConnection
from protocol.drivers.upgrade_leg import UpgradeStream
from protocol.http.fields import Fields
from protocol.mux.messages import Head, Open


class VisitorStream(UpgradeStream, Protocol):
    """One request of a visitor, and the way back for its answer.

    Attributes:
        on_stopped: called when the visitor wants no more of the answer, or the tunnel is lost. It
            neither raises nor blocks.
        on_gone: called once, when nothing can come or go any more. Likewise.
    """

    on_stopped: Callable[[], None] | None
    on_gone: Callable[[], None] | None

    @property
    def id(self) -> int:
        """Its number, for the report."""

    @property
    def opened(self) -> Open:
        """The head of the request."""

    @property
    def visitor_connection(self) -> VisitorConnection | None:
        """The visitor's connection that it came by; None: that is not known, or there is none."""

    @property
    def stopped(self) -> str | None:
        """The code with which the visitor's side wanted no more of the answer."""

    @property
    def reset_code(self) -> str | None:
        """The code with which the request has ended badly; what came before may still be there."""

    @property
    def detached(self) -> bool:
        """Whether nothing can come or go just now, so that no time is counted."""

    @property
    def server_stops(self) -> bool:
        """Whether the server that it came by has said that it stops."""

    @property
    def trailers(self) -> Fields:
        """Of the request, once it has ended."""

    @property
    def unsent_bytes(self) -> int:
        """Of the answer, what has not left: its visitor, or the line, has not taken it."""

    @property
    def waits_for_visitor(self) -> bool:
        """Whether nothing but its visitor holds it up, and its end is told where that has stopped.

        A visitor on a bad line may take nothing for seconds, and this side cannot tell.
        """

    @property
    def request_progress(self) -> tuple[int, int | None]:
        """The bytes of the request's body that have come, and its length; None: it has none."""

    @property
    def answer_progress(self) -> tuple[int, int | None]:
        """Likewise of the answer's body, as far as it was queued."""

    def log_by(
        self, logger: logging.Logger
    ) -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
        """Return what a module logs about the request with: it says by which session that came."""

    async def receive_some(self) -> bytes:
        """Return what has come of the request's body, b"" at its end.

        Raises StreamReset and SessionClosed.
        """

    async def send_head(self, head: Head) -> None:
        """A head of the answer. Raises StreamStopped and SessionClosed."""

    async def send_all(self, data: bytes) -> None:
        """Of the answer's body. Raises StreamStopped and SessionClosed."""

    def send_eof(self, trailers: Fields = ()) -> None:
        """The end of the answer."""

    def reset(self, code: str, message: str = "") -> None:
        """End the answer badly; nothing when it has ended."""

    def stop_sending(self, code: str) -> None:
        """Want no more of the request."""

    def cancel(self, code: str) -> None:
        """Give up both: what has not left of the answer is dropped, and its end is visible."""


def why_left(stream: VisitorStream) -> str:
    """Say why nobody waits for the answer: what a server's stop cuts off has its visitor still."""
    return "the server is stopping" if stream.server_stops else "the visitor went away"
