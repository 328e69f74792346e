"""The app that the measured tunnel shares: small answers, event streams, WebSockets, uploads.

    python -m benchmarks.attacks.app

Prints its port as {"port": N}, on 127.0.0.1, and serves until it is ended.
"""

from __future__ import annotations

import json
import re

import trio

from protocol.http.websocket import accept_for

HEAD_BYTES_MAX = 64 * 1024
EVENT_EVERY_S = 5.0
BODY = bytes(1024)
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_KEY = re.compile(rb"\r\nsec-websocket-key: *(\S+)", re.IGNORECASE)


async def serve(stream: trio.SocketStream) -> None:
    """One connection. What is no request of ours ends it."""
    buffer = bytearray()
    with stream.socket:
        try:
            while await answer(stream, buffer):
                pass
        except* (OSError, trio.BrokenResourceError):
            pass  # the visitor has gone


async def answer(stream: trio.SocketStream, buffer: bytearray) -> bool:
    """Answer one request; whether another may follow."""
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        data = await stream.receive_some()
        if not data or len(buffer) > HEAD_BYTES_MAX:
            return False
        buffer += data
    head = bytes(buffer[: end + 2])
    del buffer[: end + 4]
    path = head.split(b" ", 2)[1]
    if path == b"/events":
        await events(stream)
    elif (key := _KEY.search(head)) is not None:
        await stream.send_all(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept_for(key[1])
        )
        await swallow(stream)
    else:
        if (length := _LENGTH.search(head)) is not None:
            await skip(stream, buffer, int(length[1]))
        await stream.send_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b"
            % (len(BODY), BODY)
        )
        return True
    return False


async def events(stream: trio.SocketStream) -> None:
    """An event now and then, until the visitor has gone."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    async with trio.open_nursery() as nursery:

        async def speak() -> None:
            while True:
                await trio.sleep(EVENT_EVERY_S)
                await stream.send_all(b"data: news\n\n")

        nursery.start_soon(speak)
        await swallow(stream)
        nursery.cancel_scope.cancel()


async def swallow(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass


async def skip(stream: trio.SocketStream, buffer: bytearray, size: int) -> None:
    while size > 0:
        if not buffer:
            buffer += await stream.receive_some() or b""
            if not buffer:
                raise trio.BrokenResourceError
        taken = min(size, len(buffer))
        del buffer[:taken]
        size -= taken


async def main() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=1024)
    print(json.dumps({"port": listeners[0].socket.getsockname()[1]}), flush=True)
    await trio.serve_listeners(serve, listeners)


if __name__ == "__main__":
    trio.run(main)
