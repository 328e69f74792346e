"""A visitor's requests, written and read by hand."""

from __future__ import annotations

import trio

from protocol.limits import READ_BYTES

DOMAIN = "load.test"
HEAD_BYTES_MAX = 64 * 1024


def host_of(name: str) -> str:
    return f"{name}.{DOMAIN}"


def request(method: str, name: str, path: str, *fields: tuple[bytes, bytes]) -> bytes:
    """The head of a request for a tunnel."""
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    return f"{method} {path} HTTP/1.1\r\nHost: {host_of(name)}\r\n".encode() + lines + b"\r\n"


async def read_head(stream: trio.SocketStream) -> tuple[int, bytes]:
    """The status of an answer and what is behind its head; 0 where the connection ended before."""
    buffer = bytearray()
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        data = await stream.receive_some(READ_BYTES)
        if not data or len(buffer) > HEAD_BYTES_MAX:
            return 0, b""
        buffer += data
    return int(buffer.split(b" ", 2)[1]), bytes(buffer[end + 4 :])


async def read_answer(stream: trio.SocketStream, size: int) -> int:
    """The status of an answer of so many bytes, read to its end; 0 where that was missing."""
    status, body = await read_head(stream)
    left = size - len(body) if status == 200 else 0
    while left > 0:
        data = await stream.receive_some(READ_BYTES)
        if not data:
            return 0
        left -= len(data)
    return status


async def until_end(stream: trio.SocketStream) -> None:
    """Read until the other end has ended."""
    while await stream.receive_some(READ_BYTES):
        pass
