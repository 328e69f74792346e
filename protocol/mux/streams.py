"""The states of a stream: two halves, each with the same rules at both ends.

This file does not know which end it is on. `TRANSITIONS` is the whole table: what is not in it is
forbidden, to our own program (LocalProtocolError) as to the peer (RemoteProtocolError). It stands
in docs/protocol.md as well, and a test compares the two.

The request's half begins in BODY. One that asks for an upgrade is HELD until the final head of the
answer, since what the visitor sent behind such a request is the first data after a 101 and the next
request after anything else. That of a WebSocket begins so; that of any other upgrade, which may
have a body, is ASKING before, and has two ends: of its body and, behind the final head, its own.
The answer's half begins in HEADS.
"""

from __future__ import annotations

import math
from collections import deque
from enum import IntEnum
from typing import Final, Protocol

from protocol import VERSION
from protocol.http.fields import BodyForm, Fields
from protocol.limits import (
    FIRST_CREDIT_BYTES,
    JOINED_MAX_BYTES,
    READ_BYTES,
    START_BYTES_PER_S,
    START_PARTS,
    START_WINDOW_BYTES,
    START_WINDOW_LONG_BYTES,
)
from protocol.mux.codec import read_trailers
from protocol.mux.head_bodies import read_head
from protocol.mux.messages import Head, Open
from protocol.mux.scheduler import Turn
from protocol.mux.sending import SendQueue
from protocol.mux.windows import Budget, ReceiveWindow


class HalfState(IntEnum):
    """The state of one half of a stream."""

    HEADS = 1  # no final head yet
    ASKING = 2  # an upgrade is being asked for, with a body or without
    TAKING = 3  # the same, and it was answered before its body's end
    BODY = 4
    HELD = 5  # an upgrade was asked for, whole, and not answered
    ENDED = 6
    RESET = 7


HELD: Final = HalfState.HELD
"""This and above: no more of a body comes, unless a 101 does."""

ENDED: Final = HalfState.ENDED
"""This and above: over. Asked for every frame, and a global costs a third of an enum's member."""


class Item(IntEnum):
    """A frame, or a head the other way, that moves a half to its next state."""

    INFORMATIONAL = 1  # a head from 100 to 199, but 101
    FINAL = 2
    ANSWERED = 3  # for the request's half: a final head went the other way, but 101
    SWITCHED = 4  # likewise: a 101
    DATA = 5
    END = 6
    RESET = 7


TRANSITIONS: Final = {
    (HalfState.HEADS, Item.INFORMATIONAL): HalfState.HEADS,
    (HalfState.HEADS, Item.FINAL): HalfState.BODY,
    (HalfState.HEADS, Item.RESET): HalfState.RESET,
    (HalfState.ASKING, Item.ANSWERED): HalfState.TAKING,
    (HalfState.ASKING, Item.DATA): HalfState.ASKING,
    (HalfState.ASKING, Item.END): HalfState.HELD,
    (HalfState.ASKING, Item.RESET): HalfState.RESET,
    (HalfState.TAKING, Item.DATA): HalfState.TAKING,
    (HalfState.TAKING, Item.END): HalfState.BODY,
    (HalfState.TAKING, Item.RESET): HalfState.RESET,
    (HalfState.BODY, Item.ANSWERED): HalfState.BODY,
    (HalfState.BODY, Item.DATA): HalfState.BODY,
    (HalfState.BODY, Item.END): HalfState.ENDED,
    (HalfState.BODY, Item.RESET): HalfState.RESET,
    (HalfState.HELD, Item.ANSWERED): HalfState.BODY,
    (HalfState.HELD, Item.SWITCHED): HalfState.BODY,
    (HalfState.HELD, Item.RESET): HalfState.RESET,
    (HalfState.ENDED, Item.ANSWERED): HalfState.ENDED,
    (HalfState.RESET, Item.ANSWERED): HalfState.RESET,
    (HalfState.RESET, Item.SWITCHED): HalfState.RESET,
}

SWITCHING_PROTOCOLS: Final = 101

HTTP: Final = "http"
WEBSOCKET: Final = "websocket"
UPGRADE: Final = "upgrade"
"""The kinds of streams. The last asks for an upgrade to anything but WebSocket."""

KINDS: Final = (HTTP, WEBSOCKET, UPGRADE)
UPGRADES: Final = (WEBSOCKET, UPGRADE)

FIRST_STATES: Final = {WEBSOCKET: HalfState.HELD, UPGRADE: HalfState.ASKING}
"""The first state of a request's half by its kind; BODY for all others."""

SERVES_UPGRADES: Final = "upgrade"
"""The feature of a hello with which a client says that it serves streams of kind UPGRADE."""

ENDS_STUCK: Final = "ends-stuck"
"""The feature of a welcome with which a server says that it ends, for a client that stops, what
visitors hold up that read no more."""


def item_of(head: Head) -> Item:
    """Whether a head is informational; 101 is final, since data follows it."""
    status = head.status
    return Item.FINAL if status >= 200 or status == SWITCHING_PROTOCOLS else Item.INFORMATIONAL


class BodyLength:
    """Holds a half to the length that its body form announced."""

    __slots__ = ("carried", "form", "limit")

    def __init__(self, form: BodyForm) -> None:
        self.form = form
        self.limit = 0 if form is None else form if isinstance(form, int) else None
        """Bytes; None: any number."""
        self.carried = 0

    def __repr__(self) -> str:
        return f"<BodyLength {self.carried} of {self.form}>"

    def fits(self, size: int) -> bool:
        """Whether so many more bytes may be of this body."""
        return self.limit is None or self.carried + size <= self.limit

    @property
    def complete(self) -> bool:
        return self.limit is None or self.carried == self.limit


def first_state(opened: Open) -> HalfState:
    """Return the first state of the request's half."""
    return FIRST_STATES.get(opened.kind, HalfState.BODY)


def start_window(opened: Open, round_trip_s: float, budget: Budget) -> int:
    """Return the first window: small for an upgrade, since many stay open and carry little.

    Args:
        opened: what is asked for.
        round_trip_s: of the session. On a long line the window is larger: where TCP's own start is
            faster than a window grows, credit releases bursts that routers drop.
        budget: which lends it; one stream takes a part of what there is.
    """
    if opened.kind in UPGRADES:
        return FIRST_CREDIT_BYTES
    if round_trip_s == math.inf:
        return START_WINDOW_BYTES
    wanted = int(min(START_BYTES_PER_S * round_trip_s, START_WINDOW_LONG_BYTES))
    if wanted <= START_WINDOW_BYTES:
        return START_WINDOW_BYTES
    return max(min(wanted, budget.free // START_PARTS), START_WINDOW_BYTES)


def length_after(head: Head) -> BodyLength:
    """Return the length of the answer's half after its final head."""
    return BodyLength("until-close" if head.status == SWITCHING_PROTOCOLS else head.body)


class SendHalf:
    """The half that this end writes."""

    __slots__ = ("informational", "length", "queue", "state", "stopped", "wants_room")

    def __init__(self, state: HalfState, credit: int, form: BodyForm) -> None:
        self.state = state
        self.queue = SendQueue(credit)
        self.length = BodyLength(form)
        self.informational = 0
        """Informational heads so far."""
        self.stopped: str | None = None
        """The code with which the peer stopped it."""
        self.wants_room = False
        """A task waits until the queue has room."""

    def __repr__(self) -> str:
        return f"<SendHalf {self.state.name} {self.queue!r}>"

    @property
    def finished(self) -> bool:
        """Whether its last frame has gone out."""
        return self.state >= ENDED and not self.queue


class ReceiveHalf:
    """The half that the peer writes, and what our program has not yet taken of it.

    Heads and trailers wait as they came: in many short fields they are fifteen times as much once
    they are read. A head that our program waits for is read when it comes, and taken at once.
    """

    __slots__ = (
        "_chunks",
        "_heads",
        "_trailers",
        "awaits_head",
        "cut",
        "informational",
        "leaving_bytes",
        "length",
        "reset",
        "state",
        "stopped",
        "window",
    )

    def __init__(self, state: HalfState, window: ReceiveWindow, form: BodyForm) -> None:
        self.state = state
        self.window = window
        self.length = BodyLength(form)
        self.informational = 0
        """Informational heads so far."""
        self.awaits_head = True
        """Our program waits for a head: for the first, and where it asked and there was none."""
        self.leaving_bytes = 0
        """The credit of the head that was taken last, which may be on its way."""
        self.reset: tuple[str, str] | None = None
        """Code and message with which it ended badly."""
        self.stopped = False
        """We want no more of it: what comes is ignored."""
        self.cut = False
        """The program threw away a part of it."""
        self._heads: deque[tuple[Head | bytes, int]] = deque()
        self._trailers = b""
        self._chunks: deque[bytes] = deque()

    def __repr__(self) -> str:
        return f"<ReceiveHalf {self.state.name} {len(self._chunks)} chunks {self.window!r}>"

    @property
    def trailers(self) -> Fields:
        """The trailers with which it ended; read anew each time."""
        return read_trailers(self._trailers)

    def put_head(self, head: Head, body: bytes) -> None:
        """Keep a head, read if our program waits for it, else the body that it came in."""
        self._heads.append((head if self.awaits_head else body, len(body)))
        self.awaits_head = False

    def put_trailers(self, body: bytes) -> None:
        self._trailers = body

    def put_data(self, data: bytes) -> None:
        chunks = self._chunks
        if chunks and len(chunks[-1]) + len(data) <= JOINED_MAX_BYTES:
            chunks[-1] += data
        else:
            chunks.append(data)

    def take_head(self, version: int = VERSION) -> Head | None:
        """Return the next head, of this version of the wire; None if there is none."""
        if not self._heads:
            self.awaits_head = True
            return None
        head, self.leaving_bytes = self._heads.popleft()
        return read_head(head, version) if isinstance(head, bytes) else head

    def take_data(self, most: int = READ_BYTES) -> bytes:
        """Return up to `most` bytes of what is there, joined; a single piece is not copied."""
        chunks = self._chunks
        if not chunks:
            return b""
        data = chunks.popleft()
        if chunks:
            parts, size = [data], len(data)
            while chunks and size + len(chunks[0]) <= most:
                size += len(chunks[0])
                parts.append(chunks.popleft())
            data = b"".join(parts) if len(parts) > 1 else data
        return data

    @property
    def drained(self) -> bool:
        """Whether there is nothing to take now."""
        return not self._chunks and not self._heads

    def drop(self) -> None:
        """Throw away what was not taken and what may come, and give back what was promised."""
        if self.state < ENDED or not self.drained:
            self.cut = True
        self._heads.clear()
        self._chunks.clear()
        self._trailers = b""
        self.window.close()


def may_switch(opened: Open, request: SendHalf | ReceiveHalf) -> bool:
    """Whether a 101 may pass: an upgrade was asked for, in a request that is whole."""
    return opened.kind in UPGRADES and (request.state, Item.SWITCHED) in TRANSITIONS


def answered(half: SendHalf | ReceiveHalf, head: Head) -> None:
    """The request's half learns that the final head has passed the other way.

    A 101 only passes where it `may_switch`.
    """
    if head.status == SWITCHING_PROTOCOLS:
        half.length = BodyLength("until-close")
        half.state = TRANSITIONS[half.state, Item.SWITCHED]
        return
    if half.state is HELD:
        half.length = BodyLength(None)
    half.state = TRANSITIONS[half.state, Item.ANSWERED]


def body_ended(half: SendHalf | ReceiveHalf) -> None:
    """An end has passed that was only that of the body: nothing but the half's own may follow.

    Before that nothing is known of an answer yet, or it was none that switches.
    """
    if half.state < ENDED:
        half.length = BodyLength(None)


class StreamDriver(Protocol):
    """The driver's side of a stream, as the core calls it."""

    def wake_reader(self) -> None:
        """Something has come."""

    def wake_writer(self) -> None:
        """The queue has room, or will never have it again."""

    def peer_stopped(self) -> None:
        """The peer wants no more of our half, or the session is gone."""

    def gone(self) -> None:
        """No frame of it can come or go any more: the peer takes another one in its place."""


class Stream:
    """One request and its answer, as the core keeps it. The driver's own record hangs on it."""

    __slots__ = (
        "cancelled",
        "driver",
        "id",
        "opened",
        "receiving",
        "sending",
        "stop_due",
        "turn",
    )

    def __init__(
        self, stream_id: int, opened: Open, sending: SendHalf, receiving: ReceiveHalf
    ) -> None:
        self.id = stream_id
        self.opened = opened
        self.sending = sending
        self.receiving = receiving
        self.turn = Turn.IDLE
        self.cancelled = False
        """Our program is done with it, before it has ended."""
        self.driver: StreamDriver | None = None
        self.stop_due: str | None = None
        """The code of a stop-sending that has not left."""

    def __repr__(self) -> str:
        return f"<Stream {self.id} {self.sending!r} {self.receiving!r}>"

    @property
    def finished(self) -> bool:
        """Whether no frame of it can come or go any more."""
        return self.receiving.state >= ENDED and self.sending.finished
