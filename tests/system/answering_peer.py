"""A client that is written by hand, whose answers are frames, sent as credit allows."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from protocol.mux.codec import read_uint
from protocol.mux.head_bodies import read_open
from protocol.mux.wire import COUNTED, FrameType, frame
from tests.hostile_peers import RawPeer, ack


class Part(NamedTuple):
    """One frame of an answer."""

    kind: FrameType
    body: bytes


class _Answer:
    """What is left of one answer, and the credit for it."""

    def __init__(self, parts: list[Part], credit: int) -> None:
        self.left = deque(parts)
        self.credit = credit

    def take(self) -> list[Part]:
        """What may go now: data that fits, and a head or trailers while a byte is left."""
        taken = []
        while self.left:
            part = self.left[0]
            fits = len(part.body) <= self.credit
            if not fits and (part.kind is FrameType.DATA or self.credit <= 0):
                break
            self.credit -= len(part.body)
            taken.append(self.left.popleft())
        return taken


class AnsweringPeer:
    """Answers every request alike.

    Attributes:
        asked: the requests that came.
        sent: the frames of answers.
        stopped: the answers of which the server wanted no more.
    """

    def __init__(self, peer: RawPeer, parts: list[Part]) -> None:
        self.asked = self.sent = self.stopped = 0
        self._peer = peer
        self._parts = parts
        self._answers: dict[int, _Answer] = {}
        self._granted: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<AnsweringPeer {self.asked} asked, {self.sent} frames sent>"

    async def run(self) -> None:
        """Answer until the session ends."""
        counted = 0
        while frames := await self._peer.frames():
            for kind, stream_id, body in frames:
                counted += kind in COUNTED
                if kind == FrameType.OPEN:
                    self.asked += 1
                    self._granted[stream_id] = read_open(body).credit
                    self._answers[stream_id] = _Answer(self._parts, self._granted[stream_id])
                elif kind == FrameType.CREDIT:
                    granted = read_uint(body)
                    self._answers[stream_id].credit += granted - self._granted[stream_id]
                    self._granted[stream_id] = granted
                elif kind == FrameType.STOP_SENDING:
                    self.stopped += 1
                    self._answers[stream_id].left.clear()
                if stream_id:
                    await self._go_on(stream_id)
            await self._peer.message(ack(counted))

    async def _go_on(self, stream_id: int) -> None:
        for part in self._answers[stream_id].take():
            self.sent += 1
            await self._peer.message(frame(part.kind, stream_id, part.body))
