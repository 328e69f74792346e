"""DRIVER. The connections of the inspector: how many there are, and who takes nothing.

hypercorn's trio worker reads and writes each of them, one task at a time. It sends in a scope that
no cancellation passes, so a page that takes nothing would hold the whole client at its end: such a
connection is cut here, by closing its socket. That is why connections are accepted here and not by
`hypercorn.trio.serve`.
"""

from __future__ import annotations

import logging
import socket
from typing import Any, Final, cast

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from protocol.drivers.sockets import drop
from tunnel_client.inspector.web.door import HEAD_MAX_BYTES, MESSAGE_MAX_BYTES, App
from tunnel_client.inspector.web.server_log import ServerLog

CONNECTIONS_MAX: Final = 64  # a browser has six, and a WebSocket for each tab
IDLE_S: Final = 60.0  # a page that is read in peace asks again by the same connection
# A page takes at most half a MiB as what its kernel holds, and one message more; what it has not
# taken then, it never will: it is on this machine.
SEND_BUFFER_BYTES: Final = 256 * 1024  # Linux doubles it
TAKES_S: Final = 10.0
LOOK_EVERY_S: Final = 1.0
GONE_S: Final = 0.5  # handlers hear that nobody waits for them any more, and end by themselves


class WatchedStream:
    """A connection, with the time since when a piece has not been taken.

    Args:
        stream: see there; hypercorn uses of it what stands here.

    Attributes:
        scope: of all that serves it. It ends soon after the peer has: hypercorn waits until an idle
            connection would have been closed.
        sending_since: in trio's time; None: nothing waits to be taken.
    """

    __slots__ = ("_stream", "scope", "sending_since")

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.scope = trio.CancelScope()
        self.sending_since: float | None = None

    def __repr__(self) -> str:
        return f"<WatchedStream {self._stream.socket.fileno()} since={self.sending_since}>"

    @property
    def socket(self) -> trio.socket.SocketType:
        """See trio.SocketStream."""
        return self._stream.socket

    async def send_all(self, data: bytes) -> None:
        """See trio.SocketStream."""
        self.sending_since = trio.current_time()
        try:
            await self._stream.send_all(data)
        finally:
            self.sending_since = None

    async def receive_some(self, size: int) -> bytes:
        """See trio.SocketStream."""
        data = b""
        try:
            data = await self._stream.receive_some(size)
        finally:
            if not data:
                self.scope.deadline = trio.current_time() + GONE_S
        return data

    async def send_eof(self) -> None:
        """See trio.SocketStream."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """See trio.SocketStream."""
        await self._stream.aclose()

    def cut(self) -> None:
        """Close it now; tasks that use it get ClosedResourceError."""
        drop(self._stream, reset=True)


class Connections:
    """Serves connections.

    Args:
        app: is behind all of them.
        log: gets what hypercorn has to say.
    """

    def __init__(self, app: App, log: ServerLog) -> None:
        self._app = ASGIWrapper(cast("Any", app))
        self._log = log
        self._config = _config(log)
        self._context = WorkerContext(None)
        self._open: set[WatchedStream] = set()

    def __repr__(self) -> str:
        return f"<Connections {len(self._open)} open>"

    def __len__(self) -> int:
        return len(self._open)

    async def accept(self, sock: socket.socket, tasks: trio.Nursery) -> None:
        """Accept for ever; each connection is served in `tasks`."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        await trio.serve_listeners(self.serve, [listener], handler_nursery=tasks)

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one; beyond CONNECTIONS_MAX it is closed at once. A fault costs it alone."""
        if len(self._open) >= CONNECTIONS_MAX:
            drop(stream, reset=False)
            return
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        watched = WatchedStream(stream)
        self._open.add(watched)
        state = ConnectionState({})
        try:
            with watched.scope:
                await TCPServer(
                    self._app, self._config, self._context, state, cast("Any", watched)
                ).run()
        except Exception:  # noqa: BLE001  # logged there; the others are served on
            self._log.fault(logging.ERROR, "a connection to the inspector failed")
        finally:
            self._open.discard(watched)
            watched.cut()

    async def watch(self) -> None:
        """Cut for ever those that take nothing."""
        while True:
            await trio.sleep(LOOK_EVERY_S)
            late = trio.current_time() - TAKES_S
            for stream in tuple(self._open):
                if stream.sending_since is not None and stream.sending_since <= late:
                    stream.cut()

    def cut_all(self) -> None:
        """Close all of them now."""
        for stream in tuple(self._open):
            stream.cut()


def _config(log: ServerLog) -> Config:
    config = Config()
    config.h11_max_incomplete_size = HEAD_MAX_BYTES
    config.websocket_max_message_size = MESSAGE_MAX_BYTES
    config.keep_alive_timeout = IDLE_S
    config.include_server_header = False
    config._log = cast("Any", log)  # else it makes handlers of its own, which write to stderr
    return config
