"""Bytes of bodies and frames: the newest are kept, and the oldest give way to them.

They are copied: a reference to a read of 64 KiB would keep malloc from using its place again, and
tear the heap. The ring is made of segments, so that it can give memory back when heads need it, and
takes each only when it is first written to.
"""

from __future__ import annotations

from collections import deque
from typing import Final

Kept = tuple[int, int]
"""The place of something: how many bytes the ring had been given room for before it, its size."""

SEGMENT_BYTES: Final = 1024 * 1024  # of one body as much is kept, so any piece of one has room
_SEGMENTS_MIN: Final = 8  # of a small budget: each one that ends leaves a rest unused


class Ring:
    """A ring of segments.

    Args:
        memory_bytes: how much it may take in all.

    Attributes:
        segment_bytes: as much as one thing may have; of a larger one the beginning is kept.
    """

    __slots__ = (
        "_allowed",
        "_at",
        "_base",
        "_end",
        "_first",
        "_segments",
        "_view",
        "segment_bytes",
    )

    def __init__(self, memory_bytes: int) -> None:
        self.segment_bytes = max(1, min(SEGMENT_BYTES, memory_bytes // _SEGMENTS_MIN))
        self._allowed = max(1, memory_bytes // self.segment_bytes)
        self._segments: deque[memoryview] = deque()
        self._first = 0  # number of the oldest segment
        self._at = self._end = self._base = 0  # where the next byte goes; of the newest segment
        self._view = memoryview(bytearray())

    def __repr__(self) -> str:
        return f"<Ring {len(self._segments)} of {self._allowed} segments, at {self._at}>"

    @property
    def first(self) -> int:
        """The place before which nothing is kept any more."""
        return self._first * self.segment_bytes

    @property
    def used_bytes(self) -> int:
        """The memory that it has taken."""
        return len(self._segments) * self.segment_bytes

    def keep(self, data: bytes) -> Kept:
        """Copy it; of what is larger than a segment, its beginning."""
        size = len(data)
        if self._at + size > self._end:
            data = data[: self.segment_bytes]
            size = len(data)
            self._begin_segment()
        at = self._at
        offset = at - self._base
        self._view[offset : offset + size] = data
        self._at = at + size
        return at, size

    def get(self, kept: Kept) -> bytes | None:
        """Return what was kept; None: it was overwritten since."""
        at, size = kept
        number, offset = divmod(at, self.segment_bytes)
        if number < self._first:
            return None
        if not size:
            return b""
        return bytes(self._segments[number - self._first][offset : offset + size])

    def wipe(self, kept: Kept) -> None:
        """Overwrite what was kept, which nobody may see any more."""
        at, size = kept
        number, offset = divmod(at, self.segment_bytes)
        if number >= self._first and size:
            self._segments[number - self._first][offset : offset + size] = bytes(size)

    def allow(self, memory_bytes: int) -> None:
        """Change how much it may take, one segment at least; the oldest go at once."""
        self._allowed = max(1, memory_bytes // self.segment_bytes)
        while len(self._segments) > self._allowed:
            self._segments.popleft()
            self._first += 1

    def _begin_segment(self) -> None:
        segments = self._segments
        if len(segments) < self._allowed:
            view = memoryview(bytearray(self.segment_bytes))
        else:
            view = segments.popleft()
            self._first += 1
        segments.append(view)
        self._view = view
        self._base = self._at = (self._first + len(segments) - 1) * self.segment_bytes
        self._end = self._base + self.segment_bytes
