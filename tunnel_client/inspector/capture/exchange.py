"""One request and its answer, as the store's task has sorted what its tap noted.

Heads stay bytes, and what can be read out of the notes is read when somebody asks: ten thousand of
these are kept, and few are ever looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple, cast

from protocol.http.fields import Fields
from protocol.mux.messages import Open
from protocol.mux.streams import HTTP
from tunnel_client.inspector.capture.body import (
    NO_BODIES,
    Bodies,
    Body,
    bodies_of,
    sizes_of,
)
from tunnel_client.inspector.capture.frames import Frames
from tunnel_client.inspector.capture.ring import Ring
from tunnel_client.inspector.capture.tap import (
    THING_BYTES,
    CaptureTap,
    Kind,
    Note,
    unpacked,
)

# What an exchange takes beside its heads and pieces: the object, its places and its times.
EXCHANGE_BYTES: Final = 960
SWITCHING: Final = 101
NO_CLAIM: Final = 0
"""The claim of an imported request: it came by no tunnel, whose claims begin with 1."""
_ENDED: Final[int] = Kind.ENDED.value

State = Literal["visitor", "tunnel", "app", "open", "over"]
"""It waits for the visitor (to send its body, or to read), the tunnel (an upload before it,
or a session that is detached), the app (to be there, or to answer); or it is an upgrade that is
open; or it is over."""

Side = Literal["visitor", "app", "tunnel"]


class Half(NamedTuple):
    """A request or an answer.

    Fields:
        head: as the app got it, or as the app wrote it; None: there was none.
        body: None: not a byte of one has come.
        trailers: behind it.
    """

    head: bytes | None
    body: Body | None
    trailers: Fields


class Marks(NamedTuple):
    """The times at which something happened, in seconds after the exchange began; None: it has not.

    Fields:
        connecting, connected: the making of a connection to the app, with the wait for an app that
            is not there; None: an idle one was used again, or it has not come so far.
        head_sent: the head goes to the app.
        body_sent: the last piece of the request has gone there.
        answer_head: the final head of the answer came.
        first_byte, last_byte: of the answer's body, as far as that is kept.
        ended: nothing is under way any more.
        reused: it went by a connection that had served before.
        retried: that one was closed under it, and it went once more by another.
    """

    connecting: float | None
    connected: float | None
    head_sent: float | None
    body_sent: float | None
    answer_head: float | None
    first_byte: float | None
    last_byte: float | None
    ended: float | None
    reused: bool
    retried: bool


class KeptExchange:
    """A request and its answer; the store's task alone changes it.

    Args:
        ring: has the large pieces of its bodies.
        tap: what is noted of it.
        began: in seconds since the epoch.
        whole_bytes: it is over, and all that is noted of it, bodies and all, takes so much and
            stays as it is. Most are over when the task first looks, and few are ever looked at.
            0: it goes on, or is to be sorted.

    Attributes:
        id: its place in the order of this run, from 1 on.
        began_at: by the clock of the taps.
        began: see there.
        replay_of: the number of the exchange whose request it repeats.
        seq: the store's count at its last change.
        frames: of a WebSocket after its 101.
        state: what it waits for.
        taken_bytes: the memory that counts for it, outside of the ring.
    """

    __slots__ = (
        *("_bodies", "_notes", "_packed", "_ring", "began", "began_at"),
        *("frames", "id", "replay_of", "seq", "state", "taken_bytes"),
    )

    def __init__(self, ring: Ring, tap: CaptureTap, began: float, whole_bytes: int) -> None:
        self.id = tap.number
        self.seq = 0
        self.began_at = tap.opened_at
        self.began = began
        self.replay_of = tap.replay_of
        self.frames: Frames | None = None
        self.state: State = "over" if whole_bytes else "tunnel"
        self.taken_bytes = EXCHANGE_BYTES + len(tap.packed) + whole_bytes
        self._notes: Sequence[Note] = tap.notes if whole_bytes else ()
        self._bodies: Bodies | None = None  # they stand in the notes
        self._packed = tap.packed
        self._ring = ring

    def __repr__(self) -> str:
        return f"<KeptExchange {self.id} {self.state} {self.status or 'no answer'} seq={self.seq}>"

    @property
    def opened(self) -> Open:
        """The request as the visitor made it."""
        return unpacked(self._packed)

    @property
    def bodies(self) -> Bodies:
        """The bodies of request and answer; None for one of which no byte has come.

        Behind a 101 of another protocol than WebSocket they are what came from either side.
        """
        return bodies_of(self._notes, self._ring) if self._bodies is None else self._bodies

    @property
    def request(self) -> Half:
        """The request as the app got it."""
        return Half(self._last_bytes(Kind.ASKED), self.bodies[0], self._trailers(Kind.TRAILERS_IN))

    @property
    def answer(self) -> Half:
        """The app's answer as it wrote it, without its informational heads."""
        trailers = self._trailers(Kind.TRAILERS_OUT)
        return Half(self._final_head(), self.bodies[1], trailers)

    @property
    def informational(self) -> list[bytes]:
        """The informational heads as the app wrote them; at most 256 KiB of heads are kept."""
        heads = [cast("bytes", said) for _, said in self._said(Kind.HEAD)]
        return heads[:-1] if self._final_head() is not None else heads

    @property
    def status(self) -> int | None:
        """The status of the final head; None: none has come."""
        head = self._final_head()
        return None if head is None else status_of(head)

    @property
    def error(self) -> str | None:
        """Say why it failed, for people; None: it did not, so far."""
        end = self._end
        return end[1] if end is not None and isinstance(end[1], str) else None

    @property
    def ended_s(self) -> float | None:
        """The time after which nothing was under way any more; None: it goes on."""
        end = self._end
        return None if end is None else self._after(end[0])

    @property
    def answer_head(self) -> bytes | None:
        """The app's final head as it wrote it."""
        return self._final_head()

    @property
    def is_request_whole(self) -> bool:
        """Whether the end of a request with chunks has passed: its bytes do not say so."""
        return any(kind == Kind.SENT for kind, _, _ in self.notes)

    @property
    def ended_by(self) -> Side | None:
        """The side from where the end of a WebSocket came first; None: it came from none."""
        return None if self.frames is None else self.frames.closed_by

    @property
    def sizes_bytes(self) -> tuple[int, int]:
        """The bytes that came from the visitor and from the app, without the heads."""
        if self.frames is not None:
            return self.frames.sizes_bytes
        if self._bodies is None:
            return sizes_of(self._notes)
        request, answer = (0 if body is None else body.size_bytes for body in self._bodies)
        return request, answer

    @property
    def marks(self) -> Marks:
        """The times of it."""
        at = {Kind(kind): self._after(when) for kind, when, _ in self.notes}
        request, answer = self.bodies
        asked = [when for when, _ in self._said(Kind.ASKED)]
        made = [when for when, _ in self._said(Kind.CONNECTED)]
        sent = self._after(request.last_at) if request is not None else at.get(Kind.ASKED)
        has_bytes = answer is not None and answer.kept_bytes > 0
        return Marks(
            connecting=at.get(Kind.CONNECTING),
            connected=at.get(Kind.CONNECTED),
            head_sent=at.get(Kind.ASKED),
            body_sent=at.get(Kind.SENT, sent),
            answer_head=None if self._final_head() is None else at.get(Kind.HEAD),
            first_byte=self._after(answer.first_at) if answer and has_bytes else None,
            last_byte=self._after(answer.last_at) if answer and has_bytes else None,
            ended=at.get(Kind.ENDED),
            reused=bool(asked) and not (made and made[0] <= asked[0]),
            retried=len(asked) > 1,
        )

    @property
    def kind(self) -> str:
        """The kind of its stream."""
        return self.opened.kind

    @property
    def is_imported(self) -> bool:
        """Whether it passed elsewhere, and was put here from a file."""
        return self.replay_of is None and self.opened.claim == NO_CLAIM

    @property
    def is_upgraded(self) -> bool:
        """Whether the final head is a 101."""
        return self.status == SWITCHING

    @property
    def notes(self) -> Iterator[tuple[int, float, Note]]:
        """All that was noted but bodies, in order."""
        notes = iter(self._notes)
        every = zip(notes, notes, notes, strict=True)
        noted = cast("Iterator[tuple[int, float, Note]]", every)
        return (note for note in noted if note[0] < Kind.BODY_IN)

    # --- what the store's task does ---

    def note(self, notes: list[Note]) -> None:
        """Add notes, none of them of a body."""
        self._notes = [*self._notes, *notes]

    def keep_bodies(self) -> Bodies:
        """Return the bodies, the same objects from now on."""
        self._bodies = self.bodies
        return self._bodies

    def body(self, side: int) -> Body:
        """Return the body of the request, 0, or of the answer, 1; an empty one is made."""
        bodies = list(self._bodies or NO_BODIES)
        body = bodies[side]
        if body is None:
            body = bodies[side] = Body(self._ring)
            self.taken_bytes += THING_BYTES
        self._bodies = bodies[0], bodies[1]
        return body

    def freeze(self) -> None:
        """It is over. Tuples of plain values are nothing that the collector of cycles looks at."""
        self._notes = tuple(self._notes)
        for body in self._bodies or NO_BODIES:
            if body is not None:
                body.freeze()

    def _said(self, kind: Kind) -> list[tuple[float, Note]]:
        return [(when, said) for noted, when, said in self.notes if noted == kind]

    @property
    def _end(self) -> tuple[float, Note] | None:
        """The time of its end, and the error; nothing is noted behind that."""
        notes = self._notes
        if not notes or notes[-3] != _ENDED:
            return None
        return cast("float", notes[-2]), notes[-1]

    def _last_bytes(self, kind: Kind) -> bytes | None:
        notes, wanted = self._notes, kind.value
        for at in range(len(notes) - 3, -1, -3):
            if notes[at] == wanted:
                return cast("bytes", notes[at + 2])
        return None

    def _trailers(self, kind: Kind) -> Fields:
        found = self._said(kind)
        return cast("Fields", found[-1][1]) if found else ()

    def _final_head(self) -> bytes | None:
        head = self._last_bytes(Kind.HEAD)
        if head is None:
            return None
        status = status_of(head)
        # A 101 is the last one where it was asked for; else it is as informational as others.
        upgraded = status == SWITCHING and self.opened.kind != HTTP
        return head if status >= 200 or upgraded else None

    def _after(self, when: float) -> float:
        return when - self.began_at


def status_of(head: bytes) -> int:
    """Return the status in an answer's head that was taken as one."""
    return int(head[9:12])
