"""The contents of all frames but data; `head_bodies` and `map_bodies` pack and read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from protocol.http.fields import BodyForm, Fields


class Open(NamedTuple):
    """A request; the server's first frame on a stream."""

    kind: str  # "http", "websocket" or "upgrade"; another is reset with `unsupported`
    claim: int  # whose tunnel it is for
    method: bytes
    target: bytes
    version: bytes  # of the visitor's HTTP: b"1.0" or b"1.1"
    fields: Fields
    body: BodyForm
    scheme: str  # as the visitor sees it
    host: str
    visitor: str  # an address
    credit: int  # bytes of answer that may come before the first `credit`
    # From version 2 on, in a map; None where the server does not say.
    connection: int | None = None  # the number of the visitor's connection, unique in the session
    request: int | None = None  # how many requests came by that connection before
    upgrade: bytes = b""  # of kind "upgrade": the protocols that are asked for


class Head(NamedTuple):
    """The head of an answer, informational or final."""

    status: int
    reason: bytes
    fields: Fields
    body: BodyForm
    # From version 2 on, in a map.
    closes: bool | None = False  # the app's answer ends its connection; None: not known
    bound: bool = False  # the app's connection is now for the visitor's connection alone
    upgrade: bytes = b""  # of a 101 to kind "upgrade": the protocol that follows


class Gone(NamedTuple):
    """A visitor's connection has ended to which the client has bound one of its own."""

    connection: int


class Hello(NamedTuple):
    """The client's first message on a new session."""

    features: tuple[str, ...]
    agent: str
    max_streams: int
    body_credit: int  # bytes of a request's body that may come before the first `credit`


class Welcome(NamedTuple):
    """The server's answer to hello."""

    features: tuple[str, ...]
    agent: str
    session: bytes
    secret: bytes
    ping_interval_s: int
    timeout_s: int
    hold_s: int

    def __repr__(self) -> str:
        return f"<Welcome session={self.session.hex()}>"  # the secret stays out of logs


class Resume(NamedTuple):
    """The client's first message when it wants a session back."""

    session: bytes
    secret: bytes
    attempt: int
    received: int

    def __repr__(self) -> str:
        return f"<Resume session={self.session.hex()} attempt={self.attempt}>"


class Resumed(NamedTuple):
    """The server's answer to resume: the session goes on."""

    received: int  # the client's counted frames that have come


class Claim(NamedTuple):
    """The client asks for a name. `start` is false when a reconnect asks.

    `default` is the name that it would have if nobody had chosen one; empty: it knows none; None:
    it does not say, as clients up to 0.2.
    """

    claim: int
    name: str
    instance: bytes
    start: bool
    options: Mapping[str, object]
    default: str | None = None


class Claimed(NamedTuple):
    """The name is the client's now.

    `note` is for its owner: from whom it was taken, or why it is not another one; None: nothing.
    """

    claim: int
    name: str
    url: str
    note: str | None = None


class Refused(NamedTuple):
    """A claim (or, with claim 0, a resume) was not accepted."""

    claim: int
    code: str
    message: str


class Release(NamedTuple):
    """A claim ends: the client gives it up, or the server takes it away."""

    claim: int
    code: str
    message: str


class Goaway(NamedTuple):
    """The sender stops: no new streams, and the connection ends when the old ones have."""

    code: str
    message: str
    deadline_s: int
