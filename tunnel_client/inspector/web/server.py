"""DRIVER. The web server, from its first connection to its last.

This module and what it imports is loaded when the inspector starts, by a thread: it takes a tenth
of a second.
"""

from __future__ import annotations

import socket
from typing import Final

import trio

from tunnel_client.inspector.web.connections import Connections
from tunnel_client.inspector.web.door import Door
from tunnel_client.inspector.web.entry import EntryRules
from tunnel_client.inspector.web.feed import LiveFeeds
from tunnel_client.inspector.web.place import InspectorPlace
from tunnel_client.inspector.web.routes import routes_of
from tunnel_client.inspector.web.server_log import ServerLog
from tunnel_client.inspector.web.view import InspectorView

# Pages have this long to take the news that the client ends; nobody waits longer for Ctrl-C.
GOODBYE_S: Final = 0.2


class WebServer:
    """Serves the pages and the API of one client."""

    def __init__(self, place: InspectorPlace, view: InspectorView) -> None:
        rules = EntryRules(place.port, place.token, place.name)
        self.feeds = LiveFeeds(view, place.token)
        self.connections = Connections(Door(routes_of(view, self.feeds), rules), ServerLog())
        self._closing = view.closing
        self._sock: socket.socket = place.sock

    def __repr__(self) -> str:
        return f"<WebServer {self.connections!r} {self.feeds!r}>"

    async def run(self) -> None:
        """Serve until it is cancelled; then pages get Close 1001, and GOODBYE_S to take it.

        hypercorn's own way to end takes three seconds.
        """
        shielded = trio.CancelScope(shield=True)
        async with trio.open_nursery() as tasks:
            tasks.start_soon(self._serve, shielded)
            try:
                await trio.sleep_forever()
            finally:
                self._closing.set()
                with trio.move_on_after(GOODBYE_S, shield=True):
                    await self.feeds.wait_none_left()
                self.connections.cut_all()
                shielded.cancel()

    async def _serve(self, scope: trio.CancelScope) -> None:
        with scope:
            async with trio.open_nursery() as tasks:
                tasks.start_soon(self.connections.watch)
                await self.connections.accept(self._sock, tasks)
