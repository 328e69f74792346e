"""An outgoing HTTP proxy that knows CONNECT alone, and leads every name to one port.

So a client that is given a name which does not resolve gets there by the proxy or not at all.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import trio

HEAD_BYTES_MAX = 64 << 10


class ConnectProxy:
    def __init__(self, leads_to: int) -> None:
        self.port = 0
        self.leads_to = leads_to
        self.asked: list[str] = []  # the request line of each connection

    async def serve(self, nursery: trio.Nursery) -> ConnectProxy:
        listeners = await nursery.start(partial(trio.serve_tcp, self._handle, 0, host="127.0.0.1"))
        self.port = listeners[0].socket.getsockname()[1]
        return self

    async def _handle(self, visitor: trio.SocketStream) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            data = await visitor.receive_some(1)  # nothing that follows the head is taken
            if not data or len(head) > HEAD_BYTES_MAX:
                return
            head += data
        self.asked.append(head.split(b"\r\n")[0].decode())
        async with await trio.open_tcp_stream("127.0.0.1", self.leads_to) as there:
            await visitor.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(copy, visitor, there)
                nursery.start_soon(copy, there, visitor)


async def copy(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    """What comes, and its end."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for data in source:
            await sink.send_all(data)
        await sink.send_eof()
