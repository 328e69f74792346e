"""The events of the server.

Fields are those of the JSON (README, `--json`), which is fixed: some may be added at the end, none
changes.
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


class ServerDraining(NamedTuple):
    """A Ctrl-C, a SIGTERM or another server came.

    Fields:
        streams: how many requests are under way.
        replaced: whether it was another server.
    """

    streams: int
    replaced: bool


ServerEvent = ServerListening | ServerDraining

JSON_NAMES: Final = {ServerListening: "listening"}
"""The name of each event in JSON; that the server drains is for people only."""
