"""A port of its own for a tunnel's name.

The fuzzing client asks the system for the address of the host in its URL, and most systems do not
know NAME.localhost. So it is given this port instead, which puts the name where Host stands and
then passes on every byte, FIN and reset as it came.
"""

from __future__ import annotations

import re
import socket
import struct
from functools import partial

import trio

from tests.programs import Address

READ_BYTES = 64 << 10
LINGER_0_S = struct.pack("ii", 1, 0)  # the close that follows is a reset


async def serve_renamed(address: Address, nursery: trio.Nursery) -> int:
    """The port that leads to this address, until the nursery is cancelled."""
    pass_on = partial(_pass_on, address)
    listeners = await nursery.start(partial(trio.serve_tcp, pass_on, 0, host="127.0.0.1"))
    port: int = listeners[0].socket.getsockname()[1]
    return port


async def _pass_on(address: Address, visitor: trio.SocketStream) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        data = await visitor.receive_some(READ_BYTES)
        if not data:
            return
        head += data
    head = re.sub(rb"(?i)(\r\nHost: )[^\r]*", rb"\1" + address.authority.encode(), head, count=1)
    async with await trio.open_tcp_stream("127.0.0.1", address.port) as there:
        await there.send_all(head)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_copy, visitor, there, nursery.cancel_scope)
            nursery.start_soon(_copy, there, visitor, nursery.cancel_scope)


async def _copy(source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope) -> None:
    try:
        async for data in source:
            await sink.send_all(data)
        await sink.send_eof()
    except trio.BrokenResourceError:
        for stream in (source, sink):
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0_S)
        both.cancel()
