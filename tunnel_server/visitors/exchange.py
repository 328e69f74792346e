"""One request and its answer, shared by the two tasks of a visitor's connection.

The tables of `exchange_states` say how far each of the two is.

Neither end is the other's (RFC 9112 9.3): behind an answer that is OVER or CLOSING a request may
still be COMING. Then it is *under way*, and the connection goes on with it until it has ended. So
it does with an upgrade whose app has ended its direction alone.
"""

from __future__ import annotations

from typing import Final, Protocol

import trio

from protocol.drivers.latch import Latch
from protocol.drivers.stream import TunnelStream
from protocol.drivers.upgrade_leg import CLOSE_ANSWER_S
from protocol.errors import LocalProtocolError
from protocol.http.heads import RequestHead
from protocol.http.stopping import UnderWay, asked, switched
from protocol.http.upgrades import WEBSOCKET
from tunnel_server.answers.answer import Answer, Landing
from tunnel_server.answers.refusal import Refusal
from tunnel_server.visitors.exchange_states import (
    ANSWER,
    COMING,
    REQUEST,
    AnswerEvent,
    AnswerState,
    RequestEvent,
    RequestState,
)
from tunnel_server.visitors.tap import EndedBy, Tap

_BROKEN: Final = RequestState.BROKEN  # each request asks for it; see COMING
_R, _RE, _A, _AE = RequestState, RequestEvent, AnswerState, AnswerEvent


class Relay(Protocol):
    """The upgrade that an exchange became, as the reading task and a stop see it."""

    @property
    def reads(self) -> bool:
        """Whether the visitor's direction goes on."""

    async def relay_to_app(self, data: bytes) -> None:
        """The visitor's direction, to the end of both; `data` has been read already."""

    def close(self, code: int, answer_s: float = CLOSE_ANSWER_S) -> None:
        """End it: a WebSocket with a Close of ours, which has so long to be answered.

        All else ends with a reset.
        """

    def sweep(self, now: float) -> None:
        """Once a second: see whether the visitor should get a ping, or has been told too long."""


class Exchange:
    """One request and its answer; the reading task begins it, and the writing task ends it.

    Either a `stream` carries it to an app, or `answer` is ours. The two tasks meet at three points:
    the reading one says that the request has ended, the writing one that the exchange was switched
    to an `upgrade`, and that it is `over`.

    Args:
        head: None when the request was no HTTP.
        last: nothing follows it on this connection, whatever it asks for.

    Attributes:
        request: how far the request is.
        answered: how far the answer is.
        answers: the kind of the app's answer, for a stop, once it has begun.
        failure: what is answered if this end broke the exchange off.
        upgrade: what runs after a 101.
        ws_keepalive_s: when a visitor that gets nothing is pinged after a 101; 0 for never.
        tap: counts what passes; None: nobody wants to know.
    """

    __slots__ = (
        *("_last", "_meeting", "_read_ahead", "answer", "answered", "answers", "failure", "head"),
        *("name", "request", "stream", "tap", "upgrade", "ws_keepalive_s"),
    )

    def __init__(
        self,
        head: RequestHead | None,
        *,
        stream: TunnelStream | None = None,
        answer: Refusal | Landing | Answer | None = None,
        name: str = "",
        last: bool = False,
    ) -> None:
        self.head = head
        self.stream = stream
        self.answer = answer
        self.name = name
        self.request = _R.COMING if head is None or _has_body(head, stream) else _R.WHOLE
        self.answered = _A.AWAITED
        self.answers = UnderWay.SIZED
        self.failure: Refusal | None = None
        self.upgrade: Relay | None = None
        self.ws_keepalive_s = 0
        self.tap: Tap | None = None
        self._last = last or head is None or not head.keep_alive
        self._meeting = Latch()
        self._read_ahead: trio.CancelScope | None = None

    def __repr__(self) -> str:
        target = self.head.target if self.head else b"?"
        return f"<Exchange {target!r} {self.request.name} {self.answered.name} {self.stream!r}>"

    def keep_little_of(self, head: RequestHead) -> None:
        """It has begun: this is its head from now on, with few fields."""
        self.head = head
        if self.stream is not None:
            self.stream.let_go_of_fields()

    @property
    def method(self) -> bytes:
        return self.head.method if self.head else b"GET"

    @property
    def version(self) -> bytes:
        return self.head.version if self.head else b"1.1"

    @property
    def asks_websocket(self) -> bool:
        return self.head is not None and self.head.upgrade == WEBSOCKET

    @property
    def asks_upgrade(self) -> bool:
        """Whether it asks for any upgrade, a WebSocket or another."""
        return self.head is not None and bool(self.head.upgrade)

    @property
    def request_ended(self) -> bool:
        """Whether the request was read whole."""
        return self.request is _R.WHOLE or self.request is _R.FOLLOWED

    @property
    def over(self) -> bool:
        """Whether the answer has ended, well or badly."""
        return self.answered >= _A.OVER

    @property
    def decided(self) -> bool:
        """Whether the reading task may go on to what follows the request."""
        return self.answered >= _A.SWITCHED

    @property
    def ends_by_close(self) -> bool:
        """Whether an answer has begun that only the end of the connection ends."""
        return self.answered is _A.CUT or self.answered is _A.SWITCHED

    @property
    def under_way(self) -> bool:
        """Whether more of the request, or behind its 101, is to come, and to go to an app."""
        stream = self.stream
        if stream is None or self.upgrade is None:
            return self.request is COMING and stream is not None
        return self.upgrade.reads and stream.stopped is None and not stream.lost

    @property
    def both_ended(self) -> bool:
        """Whether both directions have: the answer is over, and nothing is under way behind it."""
        return self.over and not self.under_way

    @property
    def under_way_as(self) -> UnderWay | None:
        """The kind that it is of, for a stop; None: no app has to do with it, or not any more."""
        stream = self.stream
        if stream is None or self.head is None:
            return None
        if self.both_ended:
            return None
        if self.upgrade is not None:
            return switched(stream.opened.kind)
        if self.over:
            return UnderWay.ORDER
        if self.answered is not _A.AWAITED:
            return self.answers
        if self.request is _BROKEN:
            return None
        return asked(self.head.method, has_body=self.head.body not in (None, 0))

    @property
    def closes(self) -> bool:
        """Whether nothing follows this exchange; known once its answer has begun."""
        kept = self.answered is _A.KEPT or self.answered is _A.OVER
        return not kept or self.request is _BROKEN

    def beginning(
        self,
        *,
        own: bool,
        draining: bool,
        cut: bool = False,
        silent: bool = False,
        app_closes: bool | None = None,
    ) -> AnswerEvent:
        """Decide, as an answer is about to begin, whether the connection closes after it.

        One that is earlier than its request's end says so only if the app's connection closes too,
        or we have a reason of our own: a visitor that reads it may send no more, as curl does.

        Args:
            own: it is an answer of ours, not the app's.
            draining: the server stops.
            cut: only the end of the connection can end it.
            silent: it is the end of the connection, without a byte.
            app_closes: the app's connection ends with it; None: a client of version 1, which stops
                the request when its answer has ended.
        """
        early = not self.request_ended
        goes_on = early and not own and app_closes is False and self.request_goes_on
        if cut:
            return _AE.UNSAID_CUT if goes_on and not draining else _AE.CUT
        if silent or draining:
            return _AE.LAST
        if early:
            if not goes_on:
                return _AE.LAST
            # HTTP/1.0 waits for our end, keep-alive or not: proxies pass that on unread.
            return _AE.UNSAID if self._last or self.version == b"1.0" else _AE.KEEP
        if self._last:
            return _AE.LAST
        # What came behind a handshake was meant for a WebSocket, or may have been.
        if self.asks_websocket and (own or self.request is _R.FOLLOWED):
            return _AE.LAST
        return _AE.KEEP

    @property
    def request_goes_on(self) -> bool:
        """Whether the app still takes what is to come of the request."""
        stream = self.stream
        taken = stream is not None and stream.stopped is None and not stream.lost
        return taken and self.request is _R.COMING

    def ended_by(self, by: EndedBy) -> None:
        """One side has ended it, well or badly: for the tap, if there is one."""
        if self.tap is not None:
            self.tap.ended(by)

    # --- the writing task ---

    def begin_answer(self, event: AnswerEvent) -> None:
        """The answer leaves now, as `beginning` has decided."""
        self._move_answer(event)

    def switch(self, upgrade: Relay) -> None:
        """The app agreed to the upgrade, and its head has left."""
        self._move_answer(_AE.SWITCH)
        self.upgrade = upgrade
        self._meet()

    def finish(self) -> None:
        """The answer is over, well or badly."""
        self._move_answer(_AE.FINISH)
        self._meet()

    def _move_answer(self, event: AnswerEvent) -> None:
        state = ANSWER.get((self.answered, event))
        if state is None:
            raise LocalProtocolError(f"{event.name} of an answer that is {self.answered.name}")
        self.answered = state

    def _meet(self) -> None:
        self._meeting.open()
        if self._read_ahead is not None:
            self._read_ahead.cancel()

    # --- the reading task ---

    def end_request(self) -> None:
        """The request was read whole."""
        self._move_request(_RE.END)

    def follow(self) -> None:
        """Something came behind the request, and waits for the answer."""
        self._move_request(_RE.FOLLOW)

    def break_off(self, failure: Refusal) -> None:
        """The rest of the request will not come; the answer says so, if none has begun.

        What broke it off first is what the answer says.
        """
        self._move_request(_RE.BREAK)
        self.failure = self.failure or failure

    def give_up_request(self) -> None:
        """The app takes no more of the request."""
        self._move_request(_RE.BREAK)

    def fail(self, failure: Refusal) -> None:
        """Break the request off, and take nothing more of the app."""
        self.break_off(failure)
        if self.stream is not None:
            self.stream.cancel("cancelled")

    def _move_request(self, event: RequestEvent) -> None:
        state = REQUEST.get((self.request, event))
        if state is None:
            raise LocalProtocolError(f"{event.name} of a request that is {self.request.name}")
        self.request = state

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


def _has_body(head: RequestHead, stream: TunnelStream | None) -> bool:
    """Whether something of the request comes behind its head; to an app also an empty body does."""
    if stream is None:
        return bool(head.body)
    return head.body is not None and head.upgrade != WEBSOCKET
