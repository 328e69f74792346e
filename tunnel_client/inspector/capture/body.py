"""One body as far as it is kept: its first MiB, in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from tunnel_client.inspector.capture.ring import Kept, Ring
from tunnel_client.inspector.capture.tap import BODY_MAX_BYTES, THING_BYTES, Kind, Note

NOT_CAPTURED: Final = "not captured"
NO_LONGER_KEPT: Final = "no longer kept"
TOO_LONG: Final = "over 1 MiB"
PIECES_MAX: Final = 2048  # as many as what comes in one tenth of a second each has in 3 minutes
DROPPED: Final = "too much came at once"

_IN: Final[int] = Kind.BODY_IN.value
_OUT: Final[int] = Kind.BODY_OUT.value


class Body:
    """A body.

    Args:
        ring: has its large pieces.

    Attributes:
        size_bytes: its true size, so far.
        kept_bytes: how much of it was kept when it came, from its beginning.
        first_at, last_at: when its first piece came, and the last that was kept; by the clock of
            the taps.
    """

    __slots__ = (
        *("_dropped", "_pieces", "_pinned", "_ring"),
        *("first_at", "kept_bytes", "last_at", "size_bytes"),
    )

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._pieces: Sequence[bytes | Kept] = []
        self._pinned: tuple[int, bytes] | None = None  # a copy of so many of the first pieces
        self._dropped = False
        self.size_bytes = 0
        self.kept_bytes = 0
        self.first_at = self.last_at = 0.0

    def __repr__(self) -> str:
        return f"<Body {self.kept_bytes} of {self.size_bytes} bytes, {self.why_not or 'whole'}>"

    @classmethod
    def whole(cls, ring: Ring, pieces: Sequence[bytes | Kept], at: Sequence[float]) -> Body:
        """Return one that has ended, of pieces as they came, and of the times at which they did."""
        body = cls(ring)
        body._pieces = pieces
        body.size_bytes = body.kept_bytes = sum(map(size_of, pieces))
        body.first_at, body.last_at = at[0], at[-1]
        return body

    def add(self, pieces: Sequence[bytes | Kept], at: float) -> int:
        """Add what has come of it; returns the bytes that this takes outside of the ring.

        Small pieces are joined with those that came with them.
        """
        if not self._pieces:
            self.first_at = at
        self.last_at = at
        taken = 0
        small: list[bytes] = []
        for piece in pieces:
            if isinstance(piece, bytes):
                small.append(piece)
                continue
            taken += self._add_small(small) + self._add(piece, piece[1])
            small = []
        return taken + self._add_small(small)

    def drop(self) -> None:
        """Note that a piece is missing: what comes behind it is of no use."""
        self._dropped = True

    def freeze(self) -> None:
        """No more comes."""
        self._pieces = tuple(self._pieces)

    @property
    def is_whole(self) -> bool:
        """Whether all of it that has come can be had."""
        return self.why_not is None

    @property
    def why_not(self) -> str | None:
        """Say why not all of it can be had; None: it can."""
        if self._dropped:
            return DROPPED
        if self.kept_bytes < self.size_bytes:
            return TOO_LONG if self.kept_bytes >= BODY_MAX_BYTES else NOT_CAPTURED
        if len(self.data()) < self.kept_bytes:
            return NO_LONGER_KEPT
        return None

    def data(self) -> bytes:
        """Return what is kept, from its beginning to the first piece that is not kept any more."""
        found: list[bytes] = []
        begin = 0
        if self._pinned is not None:
            begin, pinned = self._pinned
            found.append(pinned)
        for piece in self._pieces[begin:]:
            data = piece if isinstance(piece, bytes) else self._ring.get(piece)
            if data is None:
                break
            found.append(data)
        return b"".join(found)

    def pin(self) -> int:
        """Copy it out of the ring; returns the bytes that this takes. The rest is not copied."""
        data = self.data()
        if self._pinned is None and len(data) == self.kept_bytes:
            self._pinned = len(self._pieces), data
            return len(data)
        return 0

    def unpin(self) -> int:
        """Give the copy up; returns the bytes that it took."""
        pinned, self._pinned = self._pinned, None
        return 0 if pinned is None else len(pinned[1])

    def _add_small(self, pieces: list[bytes]) -> int:
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if not data:
            return 0
        # What comes by itself and is all there is stays as it is; of a body in many pieces
        # the ring has them, and here stand their places alone.
        if self._pieces:
            return self._add(self._ring.keep(data), len(data))
        return self._add(data, len(data)) + len(data)

    def _add(self, piece: bytes | Kept, size: int) -> int:
        left = BODY_MAX_BYTES - self.kept_bytes
        if self._dropped or left <= 0:
            return 0
        if size > left:
            piece, size = (piece[:left] if isinstance(piece, bytes) else (piece[0], left)), left
        assert isinstance(self._pieces, list)
        self._pieces.append(piece)
        self.kept_bytes += size
        if len(self._pieces) > PIECES_MAX and self._pinned is None:
            return THING_BYTES - self._join()
        return THING_BYTES

    def _join(self) -> int:
        """Make one piece of all; returns the bytes that this saves outside of the ring.

        A stream that trickles for days would else have a piece for each of its bytes.
        """
        data, count = self.data(), len(self._pieces)
        if len(data) < self.kept_bytes or len(data) > self._ring.segment_bytes:
            self.drop()
            data = b""
        self._pieces = [self._ring.keep(data)]
        return (count - 1) * THING_BYTES


Bodies = tuple[Body | None, Body | None]
"""Of a request and its answer."""

NO_BODIES: Final = (None, None)


def size_of(piece: bytes | Kept) -> int:
    """Return how many bytes a piece has."""
    return len(piece) if isinstance(piece, bytes) else piece[1]


def bodies_of(notes: Sequence[Note], ring: Ring) -> Bodies:
    """Return the bodies that stand in the notes of an exchange that is over."""
    request, answer = (_body_of(notes, kind, ring) for kind in (Kind.BODY_IN, Kind.BODY_OUT))
    return request, answer


def sizes_of(notes: Sequence[Note]) -> tuple[int, int]:
    """Return the sizes of both, without making them: each row of the list has these."""
    asked = answered = 0
    for at in range(0, len(notes), 3):
        if notes[at] == _IN:
            asked += size_of(cast("bytes | Kept", notes[at + 2]))
        elif notes[at] == _OUT:
            answered += size_of(cast("bytes | Kept", notes[at + 2]))
    return asked, answered


def _body_of(notes: Sequence[Note], kind: Kind, ring: Ring) -> Body | None:
    places = [at for at in range(0, len(notes), 3) if notes[at] == kind]
    if not places:
        return None
    pieces = [cast("bytes | Kept", notes[at + 2]) for at in places]
    return Body.whole(ring, pieces, [cast("float", notes[at + 1]) for at in places])
