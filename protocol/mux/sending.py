"""The send queue of one stream: heads, data, the end, in their order."""

from __future__ import annotations

from collections import deque
from typing import Final

from protocol.limits import JOINED_MAX_BYTES, TURN_BYTES
from protocol.mux.windows import SendCredit
from protocol.mux.wire import HEADER_BYTES, FrameType, header

Parts = list[bytes | memoryview]
"""Buffers that make a message when they are joined."""

_OPEN: Final = int(FrameType.OPEN)
_DATA: Final = int(FrameType.DATA)
_KEPT: Final = frozenset({FrameType.OPEN, FrameType.RESET})
_COST_CREDIT: Final = frozenset({FrameType.HEAD, FrameType.DATA, FrameType.END})


class SendQueue:
    """Frames that wait, and the credit that they need.

    Data is kept as it was given, but for small pieces, and cut when it leaves. The bodies of heads
    and trailers cost credit like data, but cannot be cut: one byte that is left lets them go and
    overdraw.
    """

    __slots__ = ("_items", "_offset", "credit", "unsent_bytes")

    def __init__(self, credit: int) -> None:
        self.credit = SendCredit(credit)
        self.unsent_bytes = 0
        self._items: deque[tuple[int, bytes]] = deque()
        self._offset = 0  # what has left of the first item, when it is data

    def __repr__(self) -> str:
        return f"<SendQueue {self.unsent_bytes} bytes {self.credit!r}>"

    def __len__(self) -> int:
        return len(self._items)

    def put(self, kind: int, body: bytes) -> None:
        """Queue a frame; the body of data may be longer than a frame."""
        items = self._items
        self.unsent_bytes += len(body)
        if kind == _DATA and items and len(body) < JOINED_MAX_BYTES:
            last_kind, last = items[-1]
            if last_kind == _DATA and len(last) + len(body) <= JOINED_MAX_BYTES:
                items[-1] = _DATA, last + body
                return
        items.append((kind, body))

    def drop(self) -> None:
        """Forget what has not left, but for an `open`, since ids leave no gap, and a reset."""
        kept = [item for item in self._items if item[0] in _KEPT]
        self._items = deque(kept)
        self._offset = 0
        self.unsent_bytes = sum(len(body) for _, body in kept)

    @property
    def unopened(self) -> bool:
        """Whether the stream's `open` waits here: nothing about it may leave before."""
        return bool(self._items) and self._items[0][0] == _OPEN

    @property
    def ready(self) -> bool:
        """Whether its next frame may go now."""
        return bool(self._items) and not self.blocked

    @property
    def blocked(self) -> bool:
        """Whether its next frame waits for credit."""
        if not self._items or self.credit.left > 0:
            return False
        kind, body = self._items[0]
        return kind in _COST_CREDIT and len(body) > 0

    def take(
        self, parts: Parts, stream_id: int, room: int, turn: int = TURN_BYTES
    ) -> tuple[int, int]:
        """Move one turn of frames into a message.

        Args:
            parts: where the frames go.
            stream_id: for their headers.
            room: bytes that the message has left.
            turn: bytes of bodies after which the turn ends; only a head may pass it.

        Returns:
            The frames and the bytes moved; none when the next one lacks room or credit.
        """
        frames = size = 0
        while self._items:
            kind, body = self._items[0]
            if turn <= 0 and body:
                break  # an end without trailers rides along
            most = room - size - HEADER_BYTES
            if kind == _DATA:
                moved = self._take_data(parts, stream_id, body, min(most, turn))
            else:
                moved = self._take_whole(parts, stream_id, kind, body, most)
            if moved < 0:
                break
            frames += 1
            turn -= moved
            size += moved + HEADER_BYTES
            self.unsent_bytes -= moved
        return frames, size

    def _take_data(self, parts: Parts, stream_id: int, body: bytes, most: int) -> int:
        """Returns the bytes moved; -1 for none."""
        left = len(body) - self._offset
        size = min(left, most, self.credit.left)
        if size <= 0:
            return -1
        parts.append(header(_DATA, stream_id, size))
        end = self._offset + size
        parts.append(body if size == len(body) else memoryview(body)[self._offset : end])
        if size == left:
            self._items.popleft()
            self._offset = 0
        else:
            self._offset = end
        self.credit.spend(size)
        return size

    def _take_whole(self, parts: Parts, stream_id: int, kind: int, body: bytes, most: int) -> int:
        """Returns the bytes moved; -1 for none."""
        size = len(body)
        if size > most or self.blocked:
            return -1
        self._items.popleft()
        parts.append(header(kind, stream_id, size))
        if size:
            parts.append(body)
            if kind in _COST_CREDIT:
                self.credit.spend(size, overdraw=True)
        return size
