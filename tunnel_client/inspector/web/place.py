"""The place of the inspector: its socket, its token, and the link that has both."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Literal, NamedTuple

from tunnel_client.inspector.web.listening import bind_exactly, bind_usual
from tunnel_client.inspector.web.token import InspectorToken, inspector_token
from tunnel_client.settings.addresses import Address, format_address
from tunnel_client.settings.target import Target


class InspectorPlace(NamedTuple):
    """See above.

    Fields:
        name: a host as which a proxy in front asks; None: there is none.
    """

    sock: socket.socket
    token: InspectorToken
    name: str | None

    def __repr__(self) -> str:
        return f"<InspectorPlace {self.url}>"

    @property
    def address(self) -> Address:
        """The host and port that it listens at."""
        host, port = self.sock.getsockname()[:2]
        return host, port

    @property
    def port(self) -> int:
        """Its port."""
        return self.address[1]

    @property
    def url(self) -> str:
        """For programs: without the token."""
        return f"http://{format_address(*self.address)}"

    @property
    def link(self) -> str:
        """For people. A browser sends a fragment to nobody."""
        return f"{self.url}/#t={self.token.text}"


def open_place(
    wanted: Address | Literal[True], name: str | None, target: Target, state_folder: Path
) -> InspectorPlace:
    """Take a place at this address, or for True at the usual one. Raises InspectorPlaceError."""
    sock = bind_usual(target.port) if wanted is True else bind_exactly(wanted)
    return InspectorPlace(sock, inspector_token(state_folder), name)
