"""The events of the client.

Fields are those of the JSON (docs/events.md, made of this), which is fixed: some may be added at
the end, none changes. Numbers are rounded where an event is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

NameSource = Literal["chosen", "folder", "random"]
"""Of a name: somebody chose it, it is the folder's own, or it is a fresh one."""

Closer = Literal["visitor", "app", "tunnel"]
"""Of the end of a WebSocket: from where it came first."""


class TunnelReady(NamedTuple):
    """The tunnel serves, for the first time or again by a new session, as when the server restarts.

    After `reconnecting` the tunnel is back with this or with `resumed`.

    Fields:
        url: the public one.
        name: under which it serves.
        server: its URL.
        identity: the setting that holds: `local`, `public`, or `auto`, of which `identity` tells.
        name_from: `chosen` (--subdomain), `folder`: the stable one; or `random`.
        note: what the server has to say of the name, such as from whom it was taken; None: nothing.
        inspector: its address, without the token that it wants; None: it is off.
    """

    url: str
    name: str
    server: str
    identity: str = "local"
    name_from: NameSource = "chosen"
    note: str | None = None
    inspector: str | None = None


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


class RequestOpened(NamedTuple):
    """A request begins.

    Fields:
        id: of its stream; each session counts anew.
        kind: `http`, `websocket` or `upgrade`.
        method: as it came.
        path: the request's target as it came.
        visitor: its address.
    """

    id: int
    kind: str
    method: bytes
    path: bytes
    visitor: str


class WebSocketOpened(NamedTuple):
    """An app has taken a WebSocket; told to people alone, programs have its end.

    Fields:
        path: the request's target as it came.
    """

    path: bytes


class RequestEnded(NamedTuple):
    """A request is over.

    Fields:
        id: of its stream; None: it is a replay.
        method: as it came.
        path: the request's target as it came.
        status: of the answer that the visitor got, if it was an error of the tunnel's, too; None:
            the visitor went first, or the session was lost.
        bytes_in: of the request's body, or from the visitor after a 101.
        bytes_out: of the answer's body, or to the visitor after a 101.
        ms: from the open to the end, in milliseconds.
        error: why it failed, for people; None if it did not.
        open_streams: how many others are under way.
        kind: `http`, `websocket` or `upgrade`.
        messages_in: from the visitor of a WebSocket; None: it is none, or was not opened.
        messages_out: to it, likewise.
        closed_by: the end of a WebSocket came from there first: `visitor`, `app`, or `tunnel`.
        close_code: of its Close (RFC 6455 7.4); None: that had none, or the end came without one.
        replay: no visitor made it: the inspector sent one again.
    """

    id: int | None
    method: bytes
    path: bytes
    status: int | None
    bytes_in: int
    bytes_out: int
    ms: float
    error: str | None
    open_streams: int
    kind: str = "http"
    messages_in: int | None = None
    messages_out: int | None = None
    closed_by: Closer | None = None
    close_code: int | None = None
    replay: bool = False


class Reconnecting(NamedTuple):
    """There is no connection.

    Fields:
        attempt: the number of the next one since a connection last lived for a while.
        wait_s: how long until then.
        reason: why there is none, for people.
        give_up_in_s: when the program ends if no attempt gets through; None: it goes on.
        code: the reason for programs: the server's (docs/protocol.md 14), or `unreachable`, `lost`,
            `not-a-server`, `untrusted`, `slept`.
    """

    attempt: int
    wait_s: float
    reason: str
    give_up_in_s: float | None = None
    code: str = "unreachable"


class SessionResumed(NamedTuple):
    """The session goes on over a new connection; nothing was lost.

    Fields:
        away_s: how long there was none.
    """

    away_s: float


class OriginWentDown(NamedTuple):
    """Nothing listens at the app's address.

    Fields:
        why: for people.
        wait_s: so long each request waits for it.
    """

    why: str
    wait_s: float


class OriginCameUp(NamedTuple):
    """The app takes connections again."""


class Warned(NamedTuple):
    """A person should look at something; nothing fails for it.

    Fields:
        code: that of the error which a visitor would get; or `origin-silent`.
        message: for people.
    """

    code: str
    message: str


class TunnelRefused(NamedTuple):
    """The server said no, for good.

    Fields:
        code: the server's (docs/protocol.md 14).
        message: for people, and what to do next.
    """

    code: str
    message: str


class ClientStopping(NamedTuple):
    """A signal came, and not all that is under way ends at once.

    Fields:
        under_way: how many requests are waited for.
        wait_s: for how long at most.
        method: of the oldest of them.
        path: likewise, as it came.
        ms: since that began, in milliseconds.
        bytes_in: what has come of its body.
        length_in: the length of that; None if it says none.
        bytes_out: what has come of its answer's.
        length_out: the length of that; None likewise.
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
    """The program ends; the last event.

    Fields:
        reason: for people.
        cut_off: how many requests a signal has ended before they were whole (docs/closing.md).
    """

    reason: str
    cut_off: int = 0


ClientEvent = (
    TunnelReady
    | IdentityChosen
    | RequestOpened
    | WebSocketOpened
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
    RequestOpened: "opened",
    RequestEnded: "request",
    Reconnecting: "reconnecting",
    SessionResumed: "resumed",
    OriginWentDown: "origin_down",
    OriginCameUp: "origin_up",
    Warned: "warning",
    TunnelRefused: "refused",
    ClientStopping: "stopping",
    ProgramStopped: "stopped",
}
"""The name of each event in JSON. That a request begins is for programs only, and that a WebSocket
was opened for people."""

_KINDS: Final = {name: kind for kind, name in JSON_NAMES.items()}


def event_of(record: Mapping[str, Any]) -> ClientEvent | None:
    """The event that a JSON object tells of, as a program reads it; None: it is not known.

    Raises:
        TypeError: a field is missing.
    """
    kind = _KINDS.get(str(record.get("event")))
    if kind is None:
        return None
    said = {field: record[field] for field in kind._fields if field in record}  # type: ignore[attr-defined]  # a NamedTuple
    for field in ("method", "path"):
        if isinstance(text := said.get(field), str):
            said[field] = text.encode("ascii", "backslashreplace")
    event: ClientEvent = kind(**said)
    return event
