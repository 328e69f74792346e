"""The frames of the session itself: heartbeat, claims, goaway.

What is to be sent is state and not a queue: one slot for each thing that can be said, in which the
newest replaces the older. A peer that floods and does not read fills nothing.

None of it is acknowledged. So what a lost connection may have swallowed is repeated after a
resume: a claim without an answer, every release that the peer may have missed, the goaway. A `gone`
is not, since a client lets go by itself of what nobody has used for long.
"""

from __future__ import annotations

import math
from collections import OrderedDict

from protocol import VERSION
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import (
    CLAIMS_MAX,
    CLAIMS_PER_MINUTE_MAX,
    GONE_UNSENT_MAX,
    PINGS_PER_SECOND_MAX,
)
from protocol.mux.codec import pack, read_uint
from protocol.mux.events import (
    ClaimAnswered,
    ClaimAsked,
    ConnectionGone,
    Event,
    GoingAway,
    Released,
)
from protocol.mux.map_bodies import (
    pack_map,
    read_claim,
    read_claimed,
    read_goaway,
    read_gone,
    read_refused,
    read_release,
)
from protocol.mux.messages import Claim, Claimed, Goaway, Gone, Refused, Release
from protocol.mux.sending import Parts
from protocol.mux.wire import FrameType, frame


class Heartbeat:
    """Pings both ways, and whether the peer is alive.

    Times are seconds of any one clock.
    """

    def __init__(self, ping_interval_s: float, timeout_s: float) -> None:
        self.ping_interval_s = ping_interval_s
        self.timeout_s = timeout_s
        self.round_trip_s = math.inf
        """The newest one measured; infinite before the first on this connection."""
        self._number = 0
        self._sent_at = -math.inf
        self._answered = True
        self._second_at = -math.inf
        self._in_second = 0

    def __repr__(self) -> str:
        return f"<Heartbeat {self._number} sent, round trip {self.round_trip_s:.4f} s>"

    def resume(self) -> None:
        """Begin anew on a new connection, whose round trips are its own."""
        self.round_trip_s = math.inf
        self._sent_at = self._second_at = -math.inf
        self._answered = True

    def ping_due(self, now: float) -> int | None:
        """Return the number to send, when the interval has passed."""
        if now - self._sent_at < self.ping_interval_s:
            return None
        self._number += 1
        self._sent_at = now
        self._answered = False
        return self._number

    def pinged(self, now: float) -> None:
        """The peer sent a ping. Raises RemoteProtocolError for a flood."""
        if now - self._second_at >= 1:
            self._second_at, self._in_second = now, 0
        self._in_second += 1
        if self._in_second > PINGS_PER_SECOND_MAX:
            raise RemoteProtocolError("too many pings")

    def ponged(self, number: int, now: float) -> None:
        """The peer answered; only the newest ping tells a round trip, and only once."""
        if number == self._number and not self._answered:
            self._answered = True
            self.round_trip_s = now - self._sent_at


class Control:
    """The state of a session beside its streams."""

    def __init__(self, heartbeat: Heartbeat, *, is_server: bool, version: int = VERSION) -> None:
        self.heartbeat = heartbeat
        self._version = version
        self.is_server = is_server
        self.peer_leaving: Goaway | None = None
        self.claims: set[int] = set()
        """The claims that hold now."""
        self._leaving: Goaway | None = None
        self._asked: Claim | None = None
        """The claim that waits for its answer."""
        self._releases: OrderedDict[int, Release] = OrderedDict()
        """Releases of this end that the peer may not know. It holds CLAIMS_MAX at most, and hears
        of releases in their order, so those are the last CLAIMS_MAX."""
        self._slots: dict[tuple[FrameType, int], bytes] = {}
        self._minute_at = -math.inf
        self._in_minute = 0  # claims that were asked

    def __repr__(self) -> str:
        state = "leaving" if self.leaving or self.peer_leaving else "open"
        return f"<Control {state}, claims {sorted(self.claims)}, {len(self._slots)} to send>"

    @property
    def leaving(self) -> bool:
        """Whether this end has said that it stops."""
        return self._leaving is not None

    @property
    def server_stops(self) -> bool:
        """Whether the server has said so; its goaway that answers ours means something else."""
        said = self._leaving if self.is_server else self.peer_leaving
        return said is not None and said.code != "no-error"

    # --- sending ---

    def __len__(self) -> int:
        return len(self._slots)

    def take(self, parts: Parts, room: int) -> int:
        """Move what fits into a message; returns the bytes moved."""
        size = 0
        for key in list(self._slots):
            body = self._slots[key]
            if size + len(body) > room:
                break
            parts.append(self._slots.pop(key))
            size += len(body)
        return size

    def only(self, goaway: Goaway) -> None:
        """Send nothing but this from now on."""
        self._slots.clear()
        self.goaway(goaway)

    def ping(self, now: float) -> None:
        """Queue a ping when the interval has passed."""
        number = self.heartbeat.ping_due(now)
        if number is not None:
            self._say(FrameType.PING, pack(number))

    def claim(self, claim: Claim) -> None:
        """Ask for a name.

        Raises:
            LocalProtocolError: another claim is unanswered, the number is in use, there are as many
                claims as may be, or this end is the server.
        """
        if self.is_server or self._asked is not None or self._no_place_for(claim):
            raise LocalProtocolError("one claim at a time, each with a number of its own")
        self._say(FrameType.CLAIM, pack_map(claim))
        self._asked = claim

    def answer_claim(self, answer: Claimed | Refused) -> None:
        """Answer the claim that was asked. Raises LocalProtocolError if none was."""
        if not self.is_server or self._asked is None or answer.claim != self._asked.claim:
            raise LocalProtocolError("no such claim was asked")
        granted = isinstance(answer, Claimed)
        self._say(FrameType.CLAIMED if granted else FrameType.REFUSED, pack_map(answer))
        self._asked = None
        if granted:
            self.claims.add(answer.claim)

    def awaits_answer(self, claim: Claim) -> bool:
        """Whether the client awaits the answer to this claim: after a resume it asks it again."""
        return self._asked is claim

    def release(self, claim: int, code: str, message: str) -> None:
        """End a claim; nothing when it has ended already."""
        if claim in self.claims:
            self.claims.remove(claim)
            self._say_release(Release(claim, code, message))

    def _say_release(self, release: Release) -> None:
        self._releases[release.claim] = release
        self._releases.move_to_end(release.claim)
        if len(self._releases) > CLAIMS_MAX:
            self._releases.popitem(last=False)
        self._say(FrameType.RELEASE, pack_map(release), release.claim)

    def gone(self, connection: int) -> None:
        """Tell the client that a visitor's connection has ended (server only, from version 2 on).

        Where a client does not read, the first GONE_UNSENT_MAX are kept for it.
        """
        unsent = sum(kind is FrameType.GONE for kind, _ in self._slots)
        if unsent < GONE_UNSENT_MAX:
            self._say(FrameType.GONE, pack_map(Gone(connection)), connection)

    def goaway(self, goaway: Goaway) -> None:
        """Say that this end stops."""
        self._leaving = goaway
        self._say(FrameType.GOAWAY, pack_map(goaway))

    def resume(self) -> None:
        """Repeat, on a new connection, what the peer may have missed; drop what waited."""
        self._slots.clear()
        self.heartbeat.resume()
        for release in tuple(self._releases.values()):
            self._say_release(release)
        if self.is_server:
            self._asked = None  # the client asks again
        elif self._asked is not None:
            self._say(FrameType.CLAIM, pack_map(self._asked))
        if self._leaving is not None:
            self.goaway(self._leaving)

    def _say(self, kind: FrameType, body: bytes, slot: int = 0) -> None:
        self._slots[kind, slot] = frame(kind, 0, body)

    # --- receiving ---

    def receive(self, kind: int, body: bytes, now: float) -> Event | None:
        """Take one frame of the session. Raises RemoteProtocolError."""
        if kind == FrameType.PING:
            self.heartbeat.pinged(now)
            self._say(FrameType.PONG, pack(read_uint(body)))
        elif kind == FrameType.PONG:
            self.heartbeat.ponged(read_uint(body), now)
        elif kind == FrameType.GOAWAY:
            return self._going_away(read_goaway(body))
        elif kind == FrameType.RELEASE:
            return self._released(read_release(body))
        elif self.is_server and kind == FrameType.CLAIM:
            return self._claim_asked(read_claim(body), now)
        elif not self.is_server and kind == FrameType.CLAIMED:
            return self._claim_answered(read_claimed(body))
        elif not self.is_server and kind == FrameType.REFUSED:
            return self._claim_answered(read_refused(body))
        elif not self.is_server and kind == FrameType.GONE and self._version > 1:
            return ConnectionGone(read_gone(body).connection)
        else:
            raise RemoteProtocolError(f"a frame of type {kind} where none belongs")
        return None

    def _no_place_for(self, claim: Claim) -> bool:
        return claim.claim in self.claims or len(self.claims) >= CLAIMS_MAX

    def _claim_asked(self, claim: Claim, now: float) -> Event:
        if now - self._minute_at >= 60:
            self._minute_at, self._in_minute = now, 0
        self._in_minute += 1
        if self._in_minute > CLAIMS_PER_MINUTE_MAX:
            raise RemoteProtocolError("too many claims")
        unsent = {(FrameType.CLAIMED, 0), (FrameType.REFUSED, 0)} & self._slots.keys()
        if self._asked is not None or unsent:
            raise RemoteProtocolError("a second claim before the answer")
        if claim.claim not in self.claims and len(self.claims) >= CLAIMS_MAX:
            raise RemoteProtocolError(f"claim {claim.claim} is one too many")
        self._asked = claim
        self._releases.pop(claim.claim, None)  # it knows
        return ClaimAsked(claim)

    def _claim_answered(self, answer: Claimed | Refused) -> Event:
        if self._asked is None or answer.claim != self._asked.claim:
            raise RemoteProtocolError("an answer to a claim that was not asked")
        self._asked = None
        self._releases.pop(answer.claim, None)
        if isinstance(answer, Claimed):
            self.claims.add(answer.claim)
        return ClaimAnswered(answer)

    def _going_away(self, goaway: Goaway) -> Event | None:
        """A client stops once; of a server the newest word holds, since one answers a client's."""
        if self.is_server and self.peer_leaving is not None:
            return None
        self.peer_leaving = goaway
        return GoingAway(goaway)

    def _released(self, release: Release) -> Event | None:
        if release.claim not in self.claims:
            return None  # both ends released it at once
        self.claims.remove(release.claim)
        return Released(release)
