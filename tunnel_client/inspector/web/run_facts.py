"""The facts of this run that the store does not have: its name, and how it is connected."""

from __future__ import annotations

import secrets
from typing import Any, Final, NamedTuple, Protocol

from tunnel_client.observing.events import (
    ClientEvent,
    ClientStopping,
    ProgramStopped,
    Reconnecting,
    SessionResumed,
    TunnelReady,
    TunnelRefused,
)
from tunnel_client.origin.visitor_stream import VisitorStream

_ID_BYTES: Final = 8
_KEY_BYTES: Final = 32  # of the tags of masked values

_STATES: Final[dict[type[Any], str]] = {
    TunnelReady: "connected",
    SessionResumed: "connected",
    Reconnecting: "offline",
    TunnelRefused: "refused",
    ClientStopping: "stopping",
    ProgramStopped: "stopped",
}


class ProgramFacts(NamedTuple):
    """The part that does not change.

    Fields:
        began: in seconds since the epoch.
    """

    version: str
    target: str
    began: float


class WatchedProgram(Protocol):
    """The part of the running client that the inspector asks."""

    @property
    def round_trip_s(self) -> float | None:
        """Of the connection to the server; None: there is none, or it is too new."""

    def cancel(self, stream: VisitorStream) -> bool:
        """End a request as if its visitor had gone; False: it is over. Never blocks or raises."""


class RunFacts:
    """See above.

    Attributes:
        run: 16 hex digits; a page sees by them that another run answers.
        key: of the tags of masked values.
        url: the public one; None until the first `ready`.
        state: of the connection.
        changes: grows with each change of `url` and `state`.
        running: is asked for what changes all the time; None: nothing runs yet.
    """

    __slots__ = ("changes", "key", "program", "run", "running", "state", "url")

    def __init__(self, program: ProgramFacts) -> None:
        self.program = program
        self.run = secrets.token_hex(_ID_BYTES)
        self.key = secrets.token_bytes(_KEY_BYTES)
        self.url: str | None = None
        self.state = "connecting"
        self.changes = 0
        self.running: WatchedProgram | None = None

    def __repr__(self) -> str:
        return f"<RunFacts {self.run} {self.state} {self.url}>"

    def tell(self, event: ClientEvent) -> None:
        """Take what the client tells."""
        state = _STATES.get(type(event))
        if isinstance(event, TunnelReady):
            self.url = event.url
            self.changes += 1
        if state is not None and state != self.state:
            self.state = state
            self.changes += 1

    @property
    def connection(self) -> dict[str, Any]:
        """The connection, as the API says it."""
        trip_s = None
        if self.state == "connected" and self.running is not None:
            trip_s = self.running.round_trip_s
        return {"state": self.state, "rtt_ms": None if trip_s is None else round(trip_s * 1000, 1)}
