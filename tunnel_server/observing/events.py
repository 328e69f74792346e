"""The events of the server.

Fields are those of the JSON (docs/events.md, made of this), which is fixed: some may be added at
the end, none changes.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class ServerListening(NamedTuple):
    """The sockets listen.

    Fields:
        bind: the address and the port, which --bind may have left open.
        url: the service's own, as the public sees it.
    """

    bind: str
    url: str

    @property
    def port(self) -> int:
        """The port of `bind`."""
        return int(self.bind.rpartition(":")[2])


class OldestRequest(NamedTuple):
    """The request that began first of those that a stop waits for, and how far it is.

    Fields:
        name: of the tunnel.
        age_s: since its head was whole.
        request, answer: bytes of their bodies that have passed, and their lengths; None: unknown.
    """

    name: str
    method: bytes
    age_s: float
    request: tuple[int, int | None]
    answer: tuple[int, int | None]


class ServerDraining(NamedTuple):
    """A Ctrl-C, a SIGTERM or another server came.

    Fields:
        streams: how many requests are waited for; those that end at once are none of them.
        replaced: whether it was another server.
        oldest: of those.
    """

    streams: int
    replaced: bool
    oldest: OldestRequest | None = None


class ServerStopped(NamedTuple):
    """The server ends; the last event.

    Fields:
        cut_off: the requests that it has ended before they were whole.
        replaced: whether another server has taken its place.
    """

    cut_off: int
    replaced: bool


ServerEvent = ServerListening | ServerDraining | ServerStopped

JSON_NAMES: Final = {ServerListening: "listening"}
"""The name of each event in JSON; that the server drains and stops is for people only."""
