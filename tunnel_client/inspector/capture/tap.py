"""The data path's part of capture: a tap appends to a list and adds to one counter.

All else is the store's task's, later. A piece of SMALL_BYTES or more is copied into the ring; a
smaller one is kept as it is until the task joins it with others.
"""

from __future__ import annotations

import marshal
import math
from collections.abc import Callable, Iterable, Sized
from enum import IntEnum
from typing import Final, cast

import trio

from protocol.http.fields import Fields
from protocol.mux.messages import Open
from protocol.mux.streams import WEBSOCKET
from tunnel_client.inspector.capture.ring import SEGMENT_BYTES, Kept, Ring
from tunnel_client.origin.tap import PlainTap
from tunnel_client.origin.visitor_stream import VisitorStream

# Below this a copy costs more than a reference, and nobody's heap is torn.
SMALL_BYTES: Final = 4096
BODY_MAX_BYTES: Final = SEGMENT_BYTES  # kept of each body
# Of each thing that is kept: the object, and its places in lists.
THING_BYTES: Final = 96
# An app may send informational heads without end. So much may wait, and an exchange has as much.
HEADS_MAX_BYTES: Final = 256 * 1024


class Kind(IntEnum):
    """The kind of a note."""

    CONNECTING = 1
    CONNECTED = 2
    ASKED = 3
    SENT = 4
    HEAD = 5
    TRAILERS_IN = 6
    TRAILERS_OUT = 7
    OWN_TO_APP = 8
    OWN_TO_VISITOR = 9
    ENDED = 10
    # Bodies, and what follows a 101; below these a piece was dropped, and the note has its size.
    BODY_IN = 20
    BODY_OUT = 21
    GAP_IN = 22
    GAP_OUT = 23


# Plain numbers stand in notes: what holds nothing else is nothing that the collector of cycles
# looks at, and a global costs a third of an enum's member.
_ASKED: Final[int] = Kind.ASKED.value
_HEAD: Final[int] = Kind.HEAD.value
_ENDED: Final[int] = Kind.ENDED.value
_BODY_IN: Final[int] = Kind.BODY_IN.value
_BODY_OUT: Final[int] = Kind.BODY_OUT.value
_GAP: Final[int] = Kind.GAP_IN.value - Kind.BODY_IN.value
_GAPS: Final = (Kind.GAP_IN.value, Kind.GAP_OUT.value)

Note = float | bytes | Kept | tuple[int] | str | Fields | None
"""Three stand for each note: its kind, when it was made, and what it says; a gap says its size."""


class Intake:
    """The part that all taps of a store share.

    Args:
        ring: takes the large pieces.
        waiting_max_bytes: how much may wait for the store's task; what is beyond is dropped.
        clock: in seconds; it need not be trio's.

    Attributes:
        waiting_bytes: what waits: of each note THING_BYTES, and the length of what it says. Taps
            add, the task subtracts.
        opened: the taps that are new since the task looked.
        numbered: how many there were.
    """

    __slots__ = (*("clock", "numbered", "opened", "ring", "waiting_bytes", "waiting_max_bytes"),)

    def __init__(self, ring: Ring, waiting_max_bytes: int, clock: Callable[[], float]) -> None:
        self.ring = ring
        self.waiting_max_bytes = waiting_max_bytes
        self.clock = clock
        self.waiting_bytes = 0
        self.numbered = 0
        self.opened: list[CaptureTap] = []

    def __repr__(self) -> str:
        return f"<Intake {self.waiting_bytes} of {self.waiting_max_bytes} bytes wait>"


class CaptureTap(PlainTap):
    """A plain tap that keeps what it sees, so that a request has one tap and not two.

    Args:
        room_bytes: how much of each body is kept. Frames are noted whole, to be told apart.

    Attributes:
        number: of the exchange.
        opened_at: by the intake's clock.
        notes: flat, three for each; the task takes them away.
        is_whole: nothing of its bodies is missing so far.
        packed: the wire's head of the request, in one piece, which frees the objects that it was.
        replay_of: the number of the exchange that is repeated.
        stream: None once it is over.
    """

    __slots__ = (
        *("_early_bytes", "_intake", "_room_bytes"),
        *("is_whole", "notes"),
        *("number", "opened_at", "packed", "replay_of", "stream"),
    )

    def __init__(self, intake: Intake, stream: VisitorStream, room_bytes: float) -> None:
        PlainTap.__init__(self, trio.current_time())  # `super` takes a third of it more
        self._intake = intake
        self.stream: VisitorStream | None = stream
        # Without references to what stands there twice it takes half the time of msgpack.
        self.packed = marshal.dumps(stream.opened[:], 0)
        self.replay_of: int | None = getattr(stream, "replay_of", None)
        self.number = intake.numbered = intake.numbered + 1
        intake.opened.append(self)
        self.opened_at = intake.clock()
        self.notes: list[Note] = []
        self.is_whole = room_bytes > 0
        self._room_bytes = room_bytes
        self._early_bytes = 0  # of informational heads

    def __repr__(self) -> str:
        state = "over" if self.stream is None else "under way"
        return f"<CaptureTap {self.number} {state}, {len(self.notes) // 3} notes>"

    @property
    def has_frames(self) -> bool:
        """Whether it is a WebSocket, after its 101."""
        return self._room_bytes == math.inf

    def connecting(self) -> None:
        """See OriginTap."""
        self._note(Kind.CONNECTING, None)

    def connected(self) -> None:
        """See OriginTap."""
        self._note(Kind.CONNECTED, None)

    def asked(self, head: bytes) -> None:
        """See OriginTap."""
        intake = self._intake
        self.notes += (_ASKED, intake.clock(), head)
        intake.waiting_bytes += len(head) + THING_BYTES

    def request_sent(self) -> None:
        """See OriginTap."""
        self._note(Kind.SENT, None)

    def head(self, raw: bytes) -> None:
        """See OriginTap."""
        if raw.startswith(b"1", 9) and not self._is_wanted(raw):
            return
        intake = self._intake
        self.notes += (_HEAD, intake.clock(), raw)
        intake.waiting_bytes += len(raw) + THING_BYTES

    def body_in(self, data: bytes) -> None:
        """See OriginTap."""
        size = len(data)
        if self.bytes_in < self._room_bytes:
            intake = self._intake
            if size < SMALL_BYTES and intake.waiting_bytes <= intake.waiting_max_bytes:
                self.notes += (_BODY_IN, intake.clock(), data)
                intake.waiting_bytes += size + THING_BYTES
            else:
                self._keep(_BODY_IN, data, size)
        else:
            self.is_whole = False
        self.bytes_in += size

    def body_out(self, data: bytes) -> None:
        """See OriginTap."""
        size = len(data)
        if self.page is not None and not self.page.feed(data):
            self.page = None
        if self.bytes_out < self._room_bytes:
            intake = self._intake
            if size < SMALL_BYTES and intake.waiting_bytes <= intake.waiting_max_bytes:
                self.notes += (_BODY_OUT, intake.clock(), data)
                intake.waiting_bytes += size + THING_BYTES
            else:
                self._keep(_BODY_OUT, data, size)
        else:
            self.is_whole = False
        self.bytes_out += size

    def request_trailers(self, fields: Fields) -> None:
        """See OriginTap."""
        self._note(Kind.TRAILERS_IN, fields)

    def answer_trailers(self, fields: Fields) -> None:
        """See OriginTap."""
        self._note(Kind.TRAILERS_OUT, fields)

    def own_frame(self, frame: bytes, to_app: bool) -> None:
        """See OriginTap."""
        if self._room_bytes:
            self._note(Kind.OWN_TO_APP if to_app else Kind.OWN_TO_VISITOR, frame)

    def ended(self, error: str | None) -> None:
        """See OriginTap."""
        intake = self._intake
        self.notes += (_ENDED, intake.clock(), error)
        intake.waiting_bytes += THING_BYTES if error is None else THING_BYTES + len(error)
        self.stream = None  # its next one may have its place in memory, which is still in a cache

    def _is_wanted(self, raw: bytes) -> bool:
        """Whether an informational head is not one too many. Behind a 101 there may be frames."""
        stream = self.stream
        if raw.startswith(b"101", 9) and stream is not None and stream.opened.kind == WEBSOCKET:
            self._room_bytes = math.inf  # the ring bounds what is kept of them
            return True
        self._early_bytes += len(raw) + THING_BYTES
        return self._early_bytes <= HEADS_MAX_BYTES

    def stop_keeping(self) -> None:
        """Keep no more of bodies and frames."""
        self._room_bytes = 0

    def _keep(self, kind: int, data: bytes, size: int) -> None:
        intake = self._intake
        if intake.waiting_bytes > intake.waiting_max_bytes:
            self._drop(kind, size)
        elif size < SMALL_BYTES:
            self.notes += (kind, intake.clock(), data)
            intake.waiting_bytes += size + THING_BYTES
        elif size <= intake.ring.segment_bytes:
            kept = intake.ring.keep(data)
            self.notes += (kind, intake.clock(), kept)
            intake.waiting_bytes += THING_BYTES + len(kept)
        else:  # what a stream had gathered
            step = intake.ring.segment_bytes
            for at in range(0, size, step):
                piece = data[at : at + step]
                self._keep(kind, piece, len(piece))

    def _drop(self, kind: int, size: int) -> None:
        """Note that a piece is missing; many in a row are one note for each direction.

        So they are few, however long nobody takes notes away.
        """
        notes, gap = self.notes, kind + _GAP
        at = _gap_at_end(notes, gap)
        if at is not None:
            told = notes[at + 2]
            assert isinstance(told, tuple)
            notes[at + 2] = (cast("int", told[0]) + size,)
        else:
            notes += (gap, self._intake.clock(), (size,))
            self._intake.waiting_bytes += THING_BYTES + 1
            self.is_whole = False

    def _note(self, kind: Kind, said: bytes | Fields | None) -> None:
        intake = self._intake
        self.notes += (kind.value, intake.clock(), said)
        intake.waiting_bytes += THING_BYTES + (0 if said is None else len(said))


def _gap_at_end(notes: list[Note], gap: int) -> int | None:
    """Return where the last note of a gap is, with gaps of the other direction behind it alone."""
    if notes and notes[-3] == gap:
        return len(notes) - 3
    if len(notes) >= 6 and notes[-6] == gap and notes[-3] in _GAPS:
        return len(notes) - 6
    return None


def waiting_bytes(notes: list[Note]) -> int:
    """Return what notes count for while they wait, as the taps have counted it."""
    said: Iterable[Sized] = filter(None, notes[2::3])  # type: ignore[arg-type]  # no numbers
    return len(notes) // 3 * THING_BYTES + sum(map(len, said))


def unpacked(packed: bytes) -> Open:
    """Return what a tap has packed."""
    return Open(*marshal.loads(packed))  # noqa: S302  # it has never left this process
