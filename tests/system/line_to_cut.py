"""A line between the two programs that a test cuts and mends."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import trio

from tests.system.proxy import copy


class LineToCut:
    """Leads to a port; while it is cut, connections are closed as soon as they come.

    Attributes:
        port: its own, on 127.0.0.1.
    """

    def __init__(self, leads_to: int) -> None:
        self.port = 0
        self._leads_to = leads_to
        self._cut = False
        self._scopes: set[trio.CancelScope] = set()

    async def serve(self, nursery: trio.Nursery) -> LineToCut:
        listeners = await nursery.start(partial(trio.serve_tcp, self._handle, 0, host="127.0.0.1"))
        self.port = listeners[0].socket.getsockname()[1]
        return self

    def cut(self) -> None:
        """Drop what is there, at both ends."""
        self._cut = True
        for scope in self._scopes:
            scope.cancel()

    def mend(self) -> None:
        self._cut = False

    async def _handle(self, here: trio.SocketStream) -> None:
        if self._cut:
            return
        with trio.CancelScope() as scope, suppress(OSError):
            self._scopes.add(scope)
            try:
                async with await trio.open_tcp_stream("127.0.0.1", self._leads_to) as there:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(copy, here, there)
                        nursery.start_soon(copy, there, here)
            finally:
                self._scopes.discard(scope)
