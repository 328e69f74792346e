"""The events of the client.

Fields are those of the JSON (README, `--json`), which is fixed: some may be added at the end, none
changes. Numbers are rounded where an event is made.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

NameSource = Literal["chosen", "folder", "random"]
"""Of a name: somebody chose it, it is the folder's own, or it is a fresh one."""


class TunnelReady(NamedTuple):
    """The tunnel serves.

    Fields:
        url: the public one.
        name: under which it serves.
        server: its URL.
        identity: the setting that holds: `local`, `public`, or `auto`, of which `identity` tells.
        name_from: `chosen` (--subdomain), `folder`: the stable one; or `random`.
        note: what the server has to say of the name, such as from whom it was taken; None: nothing.
    """

    url: str
    name: str
    server: str
    identity: str = "local"
    name_from: NameSource = "chosen"
    note: str | None = None


class IdentityChosen(NamedTuple):
    """The app was asked as whom it is to be asked, or there is something new about that.

    Fields:
        mode: `local` or `public`.
        path: of the page that was looked at.
        reason: a clause.
        asks: how many GETs it took.
        origin: the public origin that it is for.
        hint: sentences for the developer; None if there is nothing to do.
    """

    mode: str
    path: bytes
    reason: str
    asks: int
    origin: str
    hint: str | None = None


class RequestEnded(NamedTuple):
    """A request is over.

    Fields:
        id: of its stream.
        path: the request's target as it came.
        status: of the answer that the visitor got, if it was an error of the tunnel's, too; None:
            the visitor went first, or the session was lost.
        bytes_in: of the request's body, or from the visitor after a 101.
        bytes_out: of the answer's body, or to the visitor after a 101.
        ms: from the open to the end, in milliseconds.
        error: why it failed, for people; None if it did not.
        open_streams: how many others are under way.
    """

    id: int
    method: bytes
    path: bytes
    status: int | None
    bytes_in: int
    bytes_out: int
    ms: float
    error: str | None
    open_streams: int


class Reconnecting(NamedTuple):
    """There is no connection, for this reason; the next attempt comes in `wait_s` seconds.

    Fields:
        give_up_in_s: when the program ends if no attempt gets through; None: it goes on.
    """

    attempt: int
    wait_s: float
    reason: str
    give_up_in_s: float | None = None


class SessionResumed(NamedTuple):
    """The session goes on over a new connection, after so many seconds without one."""

    away_s: float


class OriginWentDown(NamedTuple):
    """Nothing listens at the app's address; requests wait for it, so long each."""

    why: str
    wait_s: float


class OriginCameUp(NamedTuple):
    """The app takes connections again."""


class Warned(NamedTuple):
    """A person should look at something; nothing fails for it.

    Fields:
        code: that of the error which a visitor would get; or `origin-silent`.
    """

    code: str
    message: str


class TunnelRefused(NamedTuple):
    """The server said no, for good."""

    code: str
    message: str


class ClientStopping(NamedTuple):
    """A signal came, and not all that is under way ends at once.

    Fields:
        under_way: how many requests are waited for.
        wait_s: for how long at most.
        method, path: of the oldest of them.
        ms: since it began, in milliseconds.
        bytes_in, length_in: what has come of its body, and its length; None if it has none.
        bytes_out, length_out: the same of its answer's.
    """

    under_way: int
    wait_s: float
    method: bytes
    path: bytes
    ms: float
    bytes_in: int
    length_in: int | None
    bytes_out: int
    length_out: int | None


class ProgramStopped(NamedTuple):
    """The program ends; the last event."""

    reason: str


ClientEvent = (
    TunnelReady
    | IdentityChosen
    | RequestEnded
    | Reconnecting
    | SessionResumed
    | OriginWentDown
    | OriginCameUp
    | Warned
    | TunnelRefused
    | ClientStopping
    | ProgramStopped
)

JSON_NAMES: Final = {
    TunnelReady: "ready",
    IdentityChosen: "identity",
    RequestEnded: "request",
    Reconnecting: "reconnecting",
    SessionResumed: "resumed",
    Warned: "warning",
    TunnelRefused: "refused",
    ClientStopping: "stopping",
    ProgramStopped: "stopped",
}
"""The name of each event in JSON. That the app is down and back is for people only: programs read
it in the `error` of each request."""
