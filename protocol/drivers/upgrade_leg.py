"""DRIVER. One leg of an upgrade: what a stream brings goes to the peer of this end's connection.

Both ends of the tunnel have one, the server to a visitor and the client to the app. The task that
runs `pump` is the only one that writes to the peer: pings of ours too, and a Close. Others wake it
where it waits for the stream.

That of a WebSocket knows where frames end. Of any other protocol nobody here knows anything: it is
bytes, as a WebSocket is behind an illegal header, and so there is neither a ping nor a Close.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import trio

from protocol.http.keepalive import Keepalive
from protocol.http.websocket import FrameCutter, close_frame

CLOSE_ANSWER_S: Final = 2.0  # for the answer to a Close of ours

# How long one direction goes on once the other one has ended.
HALF_CLOSED_UPGRADE_S: Final = 60.0  # without a byte
TLS_DRAIN_S: Final = 10.0  # a WebSocket's under TLS, in all: browsers end both ways at once


class UpgradeStream(Protocol):
    """The part of a stream that a leg uses; see TunnelStream."""

    @property
    def receive_ended(self) -> bool:
        """Whether the other side has ended its direction and all of it was taken."""

    @property
    def is_readable(self) -> bool:
        """Whether there is something to take, or never will be."""

    def take_some(self) -> bytes:
        """Take the data that is there now, or b""."""

    async def receive_some(self) -> bytes:
        """Take what comes next; b"" at the end."""

    async def wait_readable(self) -> None:
        """Wait until there may be something, or `wake_reader` is called."""

    def wake_reader(self) -> None:
        """End a wait."""

    async def send_all(self, data: bytes) -> None:
        """Send it to the tunnel's other end."""


class UpgradeLeg:
    """The way from a stream to a peer.

    Args:
        stream: what comes of it goes to the peer.
        send: writes all of it to the peer; what it raises goes through.
        framed: it is a WebSocket's.
        masked: whether frames to the peer are masked, as those to an app are.
        ping_after_s: how long nothing must have gone to the peer before a ping does, in seconds;
            0: none ever does.
        on_own: is told of each ping and Close of ours before it goes, and whether that is to the
            peer. It must neither raise nor block.

    Attributes:
        framed: see there.
        to_peer: cuts what goes to the peer.
        from_peer: is to cut all that comes from it if there are pings, since it takes their pongs
            out.
    """

    __slots__ = (
        *("_keepalive", "_masked", "_on_own", "_send", "_sending", "_stream", "_stopped"),
        *("framed", "from_peer", "to_peer"),
    )

    def __init__(
        self,
        stream: UpgradeStream,
        send: Callable[[bytes], Awaitable[None]],
        *,
        framed: bool,
        masked: bool,
        ping_after_s: float,
        on_own: Callable[[bytes, bool], None] | None = None,
    ) -> None:
        self._on_own = on_own
        self._stream = stream
        self._send = send
        self._masked = masked
        self._sending = False
        self._stopped = False
        self._keepalive: Keepalive | None = None
        self.framed = framed
        self.to_peer, self.from_peer = FrameCutter(masked), FrameCutter(not masked)
        if not framed:
            self.to_peer.lost = self.from_peer.lost = True
        elif ping_after_s:
            keepalive = Keepalive(ping_after_s, trio.current_time(), os.urandom, masked=masked)
            self.to_peer, self.from_peer = keepalive.to_peer, keepalive.from_peer
            self._keepalive = keepalive

    def __repr__(self) -> str:
        state = "sending" if self._sending else "stopped" if self._stopped else "open"
        return f"<UpgradeLeg {state} to peer {self.to_peer!r} from peer {self.from_peer!r}>"

    @property
    def sending(self) -> bool:
        """Whether a write is under way, or failed or was cancelled: a part of it may have left."""
        return self._sending

    @property
    def at_boundary(self) -> bool:
        """Whether a frame of ours may go to the peer: no other one has left in part."""
        return not self._sending and self.to_peer.at_boundary

    async def pump(self, taken: Callable[[bytes], None] | None = None) -> bool:
        """Relay until the stream's end, True, or a `stop`, False.

        Args:
            taken: is told of each piece that was taken from the stream, before it is sent.

        Raises what the stream and `send` do. Cancelled within a write it has sent a part, and
        `sending` says so.
        """
        stream = self._stream
        while not self._stopped:
            data = stream.take_some()
            if data:
                if taken is not None:
                    taken(data)
                await self._write(self.to_peer.feed(data))
            elif stream.receive_ended:
                await self._write(self.to_peer.held)
                return True
            elif ping := self._due_ping():
                self._tell(ping, to_peer=True)
                await self._write(ping)
            else:
                await stream.wait_readable()
        return False

    def stop(self) -> None:
        """Have `pump` return once what it is sending just now has left."""
        self._stopped = True
        self._stream.wake_reader()

    async def close_peer(self, code: int) -> None:
        """Send the peer a Close of ours where none has passed; it raises what `send` does.

        Only where the leg is `at_boundary`, and by the task of `pump`.
        """
        if not self.to_peer.closed:
            frame = close_frame(code, mask=os.urandom(4) if self._masked else None)
            self._tell(frame, to_peer=True)
            await self._write(frame)

    async def close_stream(self, code: int) -> None:
        """Send the tunnel's other end a Close of ours where none has passed; raises as the stream.

        Only between two frames, and by the task that sends what the peer sends.
        """
        if not self.from_peer.closed:
            mask = None if self._masked else os.urandom(4)
            frame = close_frame(code, mask=mask)
            self._tell(frame, to_peer=False)
            await self._stream.send_all(frame)

    async def await_close(self) -> None:
        """Drop what the stream brings until a Close has passed, or its end; raises as the stream.

        By the task of `pump`, once that has returned: nothing goes behind a Close of ours.
        """
        while not self.to_peer.closed and (data := await self._stream.receive_some()):
            self.to_peer.feed(data)

    def sweep(self, now: float) -> None:
        """Once a second: have `pump` send a ping when one is due."""
        if self._keepalive is not None and self._keepalive.is_due(now):
            self._stream.wake_reader()

    def end_pings(self) -> None:
        """Ping no more: one of the directions has ended, so no pong can come or go."""
        self._keepalive = None

    def _tell(self, frame: bytes, *, to_peer: bool) -> None:
        if self._on_own is not None:
            self._on_own(frame, to_peer)

    async def _write(self, frames: bytes) -> None:
        if frames:
            self._sending = True
            await self._send(frames)
            self._sending = False
            if self._keepalive is not None:
                self._keepalive.sent_at = trio.current_time()

    def _due_ping(self) -> bytes:
        if self._keepalive is None or self._stream.is_readable:
            return b""
        return self._keepalive.due_ping(trio.current_time())
