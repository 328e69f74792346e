"""A tunnel's client that speaks frames, for the tests of the control endpoint."""

from __future__ import annotations

import msgpack

from protocol.mux.handshake import (
    hello_message,
    read_answer_to_hello,
    read_answer_to_resume,
    resume_message,
)
from protocol.mux.map_bodies import pack_map
from protocol.mux.messages import Claim, Hello, Resume, Resumed, Welcome
from protocol.mux.wire import FrameType, frame, split_message
from tests.edge_fakes import Visitor, World, get
from tunnel_server.owners.tokens import make_token

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
TOKEN = make_token(bytes(32))


def handshake(*more: bytes, version: bytes = b"13", key: bytes = KEY, **replaced: bytes) -> bytes:
    fields = {
        "connection": b"Connection: Upgrade",
        "upgrade": b"Upgrade: websocket",
        "version": b"Sec-WebSocket-Version: " + version,
        "key": b"Sec-WebSocket-Key: " + key,
        "protocol": b"Sec-WebSocket-Protocol: trio-tunnel.2",
    } | replaced
    lines = [field for field in fields.values() if field]
    return get(b"/_tunnel/control", *lines, *more, host=b"localhost:8080")


def bearer(token: str = TOKEN) -> bytes:
    return f"Authorization: Bearer {token}".encode()


def message(payload: bytes, first: int = 0x82) -> bytes:
    """A masked frame of a client, with a key of zeros."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([first]) + length + bytes(4) + payload


async def received(visitor: Visitor) -> tuple[int, bytes]:
    """Opcode and payload of the next frame of the server; (-1, b"") at the end."""
    header = await visitor.receive(2)
    if len(header) < 2:
        return -1, b""
    size = header[1]
    if size == 126:
        size = int.from_bytes(await visitor.receive(2), "big")
    return header[0] & 0x0F, await visitor.receive(size)


NEWER = b"Sec-WebSocket-Protocol: trio-tunnel.3, trio-tunnel.10"
HELLO_MESSAGE = hello_message(Hello((), "test/1", 100, 16384))


async def opened(world: World, *fields: bytes) -> Visitor:
    """A client whose WebSocket is open."""
    client = world.visit()
    await client.send(handshake(*fields))
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")
    return client


async def welcomed(world: World, *fields: bytes) -> tuple[Visitor, Welcome]:
    """A client with a session."""
    client = await opened(world, *fields)
    await client.send(message(HELLO_MESSAGE))
    opcode, payload = await received(client)
    assert opcode == 2
    return client, read_answer_to_hello(payload)


async def connected(world: World, *fields: bytes) -> Visitor:
    """The same, for those who do not resume it."""
    return (await welcomed(world, *fields))[0]


async def resumed(world: World, asked: Resume, *fields: bytes) -> tuple[Visitor, Resumed | None]:
    """A client that asks for a session, and what it is told."""
    client = await opened(world, *fields)
    await client.send(message(resume_message(asked)))
    opcode, payload = await received(client)
    assert opcode == 2
    return client, read_answer_to_resume(payload)


async def said(client: Visitor, *kinds: FrameType) -> dict[str, object]:
    """The map in the next frame of these types; others are passed over."""
    while True:
        opcode, payload = await received(client)
        assert opcode == 2, (opcode, payload)
        for found, _, body in split_message(payload):
            if found in kinds:
                value = msgpack.unpackb(body)
                assert isinstance(value, dict)
                return value


async def claim(client: Visitor, claimed: Claim) -> dict[str, object]:
    await client.send(message(frame(FrameType.CLAIM, 0, pack_map(claimed))))
    return await said(client, FrameType.CLAIMED, FrameType.REFUSED)


APP = Claim(1, "app", b"i" * 16, True, {})
