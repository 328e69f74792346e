"""Pings of our own on one leg of a WebSocket: when one may go, and which pong is its answer.

A leg is the connection to one peer: the server's to a visitor, the client's to the app. Proxies on
it cut a WebSocket off that is idle; a ping, and its pong, look like traffic to them. The ends must
not notice: RFC 6455 5.5.3 lets a peer that owes several pongs send only the latest, so a ping that
came close behind the app's would eat the answer to it. So ours waits until no other is unanswered,
and only a pong with exactly its payload is kept from crossing.

A pong names a ping by its payload alone, and answers all before that one as well. So it is enough
to remember the latest that went to the peer. Of two with the same payload on their way at once, a
pong answers both: their senders cannot tell which of the two it was for.

Nothing follows when a pong does not come. There is no second ping then, and a peer that has
vanished is found by TCP's own keepalive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from protocol.http.websocket import PING, PONG, WatchingCutter, ping_frame

# So many that no two of our pings, and none of ours and another's, are ever alike.
PING_PAYLOAD_BYTES: Final = 16


class Keepalive:
    """The pings of one leg. Everything that crosses the leg passes through its two cutters.

    Args:
        after_s: how long nothing must have gone to the peer, in seconds.
        now: on the clock of all other times.
        masked: whether frames to the peer are masked, which they are to an app.
        random_bytes: for payloads and masks, each of them fresh.

    Attributes:
        to_peer: cuts what goes to the peer.
        from_peer: cuts what comes from it, and takes the pongs to our pings out.
        sent_at: when a byte last went to the peer; the sender keeps it up to date.
    """

    __slots__ = (
        *("_after_s", "_forwarded", "_masked", "_ours", "_random_bytes"),
        *("from_peer", "sent_at", "to_peer"),
    )

    def __init__(
        self, after_s: float, now: float, random_bytes: Callable[[int], bytes], *, masked: bool
    ) -> None:
        self.sent_at = now
        self.to_peer = WatchingCutter(masked, PING, self._ping_crosses)
        self.from_peer = WatchingCutter(not masked, PONG, self._pong_crosses)
        self._after_s = after_s
        self._masked = masked
        self._random_bytes = random_bytes
        self._forwarded: bytes | None = None  # the latest ping that crossed, until its pong does
        self._ours: bytes | None = None  # the ping that we sent, until it was answered

    def __repr__(self) -> str:
        waits = "our pong" if self._ours else "a pong" if self._forwarded is not None else "nothing"
        return f"<Keepalive {self._after_s:g} s, awaits {waits}>"

    def is_due(self, now: float) -> bool:
        """Whether a ping should go to the peer, and may.

        That is between two frames (of one message too), before a Close either way, while the
        frames of both directions can be told apart, and with no ping unanswered.
        """
        to_peer, from_peer = self.to_peer, self.from_peer
        return (
            now - self.sent_at >= self._after_s
            and self._ours is None
            and self._forwarded is None
            and to_peer.at_boundary
            and not (from_peer.lost or to_peer.closed or from_peer.closed)
        )

    def due_ping(self, now: float) -> bytes:
        """The ping that is due, or b"". It must leave before `to_peer` is fed again."""
        if not self.is_due(now):
            return b""
        self._ours = self._random_bytes(PING_PAYLOAD_BYTES)
        return ping_frame(self._ours, mask=self._random_bytes(4) if self._masked else None)

    def _ping_crosses(self, payload: bytes) -> bool:
        self._forwarded = payload
        return True

    def _pong_crosses(self, payload: bytes) -> bool:
        """Whether a pong goes on: the answer to our own ping must not."""
        if payload == self._ours:
            self._ours = None
            return False
        if payload == self._forwarded:
            # Where ours is unanswered still, it went before this one, and is passed over.
            self._forwarded = self._ours = None
        return True
