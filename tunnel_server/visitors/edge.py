"""The public side of a server: settings, the directory, connections and their places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from protocol.drivers.portions import in_portions
from protocol.drivers.stream import StreamSession
from protocol.http.forwarding import KNOWN
from protocol.program.process import open_files_max
from tunnel_server.settings.config import ServerConfig
from tunnel_server.tunnels.directory import Directory, sessions_for
from tunnel_server.visitors.crowd import SPARE, Crowd, connections_for
from tunnel_server.visitors.dropped_fields import DroppedFields
from tunnel_server.visitors.request_limits import limits_of
from tunnel_server.visitors.stopping import Stoppable

# Descriptors that are no visitor's, as in `connections_for`.
_OWN_DESCRIPTORS: Final = 64

# Connections in one turn: to look at one takes 1 to 2 us, to end one 10.
LOOKED_AT_ONCE: Final = 256
_ENDED_AT_ONCE: Final = 64


class Swept(Stoppable, Protocol):
    """A public connection, as the sweep and the stop see it."""

    @property
    def busy(self) -> bool:
        """Whether a request is being served or has begun to arrive, or an answer has just left."""

    @property
    def carried_by(self) -> StreamSession | None:
        """The session that its exchange goes by, or went."""

    def stop_when_idle(self) -> None:
        """End a connection that is not busy; one that carries a session goes on."""

    def close_upgrade(self, code: int) -> bool:
        """End what follows a 101, a WebSocket with a Close of ours; false where none did."""

    def end(self) -> None:
        """End it now: what is cut off looks so. One that carries a session goes on."""


def shortage_to_come(config: ServerConfig, descriptors: int) -> str | None:
    """Say that so many descriptors are fewer than the flags ask for, and what to do.

    Shares are of what the flags say. Where descriptors run out before, no share is full, and one
    address may have them all.

    Args:
        config: of a server; without both flags nothing is asked for.
        descriptors: of its process.
    """
    asked = {"--max-connections": config.max_connections, "--max-sessions": config.max_sessions}
    given = " and ".join(f"{flag} {most:,}" for flag, most in asked.items() if most is not None)
    sessions = config.max_sessions or sessions_for(descriptors)
    others = sessions + _OWN_DESCRIPTORS
    needed = (config.max_connections or connections_for(descriptors, sessions)) + others
    if not given or needed <= descriptors:
        return None
    less = f", or say --max-connections {descriptors - others:,}" if descriptors > others else ""
    return (
        f"{given}: {needed:,} file descriptors are needed, {sessions:,} of them for sessions and"
        f" {_OWN_DESCRIPTORS} for the server itself, and there are {descriptors:,}. One address may"
        " take them all, and then nobody gets in: raise the hard limit with ulimit -n, or"
        f" LimitNOFILE= in systemd{less}"
    )


class Edge:
    """The public side of a running server.

    Attributes:
        config: the settings.
        directory: the sessions and names that requests go to.
        port: the one that it listens on.
        public_url: the apex, as visitors see it.
        connections: those that are open.
        crowd: the places of visitors' connections.
        known_fields: the forwarding fields that a trusted proxy sets itself, in lower case.
        dropped_fields: is told of others that it has sent.
        request_limits: counts requests; None: nobody has limited them.
        hurries: the server stops, and somebody waits for its end.
    """

    def __init__(self, directory: Directory, *, port: int) -> None:
        self.config = directory.config
        self.directory = directory
        self.port = port
        self.public_url = self.config.public_url_for("", port)
        self.connections: set[Swept] = set()
        self.known_fields = KNOWN | self.config.trusted_fields
        self.dropped_fields = DroppedFields(self.config.trusted_fields)
        sessions = directory.clients.most
        most = self.config.max_connections or connections_for(open_files_max(), sessions)
        self.crowd = Crowd(most, SPARE)
        self.request_limits = limits_of(self.config.limits)
        self.hurries = False

    async def look_at_all(self, do: Callable[[Swept], object]) -> None:
        """Do something with each open connection that is still open then, a few in each turn."""
        still_open = self.connections.__contains__
        await in_portions(tuple(self.connections), do, at_once=LOOKED_AT_ONCE, when=still_open)

    async def end_all(
        self,
        end: Callable[[Swept], object],
        when: Callable[[Swept], bool] = lambda connection: True,
    ) -> None:
        """The same with each of which `when` says so, for what costs more."""

        def is_due(connection: Swept) -> bool:
            return connection in self.connections and when(connection)

        await in_portions(tuple(self.connections), end, at_once=_ENDED_AT_ONCE, when=is_due)

    def __repr__(self) -> str:
        return f"<Edge {len(self.connections)} connections {self.directory!r}>"
