"""One request and its answer, shared by the two tasks of a visitor's connection."""

from __future__ import annotations

from typing import Protocol

import trio

from protocol.drivers.latch import Latch
from protocol.drivers.stream import TunnelStream
from protocol.http.heads import RequestHead
from tunnel_server.answers.answer import Answer, Landing
from tunnel_server.answers.refusal import Refusal


class Relay(Protocol):
    """The WebSocket that an exchange became (`upgrade`), as the reading task and a stop see it."""

    async def relay_to_app(self, data: bytes) -> None:
        """The visitor's direction, to the end of both; `data` has been read already."""

    def close(self, code: int) -> None:
        """End it with a Close of ours."""

    def sweep(self, now: float) -> None:
        """Once a second: see whether the visitor should get a ping."""


class Exchange:
    """What the reading task begins and the writing task ends.

    Either a `stream` carries it to an app, or `answer` is ours. The two tasks meet at three points:
    the reading one says that the request has ended, the writing one that the exchange was switched
    to an `upgrade`, and that it is `over`.

    Attributes:
        head: None when the request was no HTTP.
        close: nothing follows it on this connection.
        request_ended: the request was read whole.
        failure: what is answered if this end broke the exchange off.
        bytes_behind: something came behind a request that was not answered.
        ends_by_close: an answer has begun that only the end of the connection ends.
        upgrade: set after a 101.
        ws_keepalive_s: when a visitor who gets nothing is pinged after a 101; 0 for never.
        over: the answer has ended, well or badly.
    """

    __slots__ = (
        "_meeting",
        "_read_ahead",
        "answer",
        "bytes_behind",
        "close",
        "ends_by_close",
        "failure",
        "head",
        "name",
        "over",
        "request_ended",
        "stream",
        "upgrade",
        "ws_keepalive_s",
    )

    def __init__(
        self,
        head: RequestHead | None,
        *,
        stream: TunnelStream | None = None,
        answer: Refusal | Landing | Answer | None = None,
        name: str = "",
    ) -> None:
        self.head = head
        self.stream = stream
        self.answer = answer
        self.name = name
        self.close = head is None or not head.keep_alive
        self.request_ended = False
        self.failure: Refusal | None = None
        self.bytes_behind = False
        self.ends_by_close = False
        self.upgrade: Relay | None = None
        self.ws_keepalive_s = 0
        self.over = False
        self._meeting = Latch()
        self._read_ahead: trio.CancelScope | None = None

    def __repr__(self) -> str:
        state = "over" if self.over else "switched" if self.upgrade else "open"
        target = self.head.target if self.head else b"?"
        return f"<Exchange {target!r} {state} {self.stream!r}>"

    @property
    def method(self) -> bytes:
        return self.head.method if self.head else b"GET"

    @property
    def version(self) -> bytes:
        return self.head.version if self.head else b"1.1"

    @property
    def asks_upgrade(self) -> bool:
        return self.head is not None and self.head.upgrade

    # --- the writing task ---

    def switch(self, upgrade: Relay) -> None:
        """The app agreed to the upgrade, and its head has left."""
        self.upgrade = upgrade
        self._meet()

    def finish(self) -> None:
        """The answer is over, well or badly."""
        self.over = True
        self._meet()

    def _meet(self) -> None:
        self._meeting.open()
        if self._read_ahead is not None:
            self._read_ahead.cancel()

    # --- the reading task ---

    def fail(self, failure: Refusal) -> None:
        """Break the exchange off; the answer says so, if none has begun."""
        self.failure = failure
        if self.stream is not None:
            self.stream.cancel("cancelled")

    @property
    def decided(self) -> bool:
        """Whether the reading task may go on to what follows the request."""
        return self.over or self.upgrade is not None

    async def wait_decided(self) -> None:
        """Wait for `switch` or `finish`."""
        while not self.decided:
            await self._meeting.wait()

    async def wait_over(self) -> None:
        """Wait for `finish`."""
        while not self.over:
            await self._meeting.wait()

    def until_decided(self) -> trio.CancelScope:
        """A scope for one read, which `switch` and `finish` cancel."""
        self._read_ahead = trio.CancelScope()
        if self.decided:
            self._read_ahead.cancel()
        return self._read_ahead
