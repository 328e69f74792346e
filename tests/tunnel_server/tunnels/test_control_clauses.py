"""What a client's hello may say, and what the server's welcome says."""

from __future__ import annotations

from collections.abc import Iterator

import msgpack
from trio.testing import wait_all_tasks_blocked

from protocol.mux.handshake import hello_message, read_answer_to_hello
from protocol.mux.map_bodies import pack_map
from protocol.mux.messages import Claim, Hello, Welcome
from protocol.mux.streams import ENDS_STUCK
from protocol.mux.wire import FrameType, frame, split_message
from tests.edge_fakes import Visitor, World, get

HANDSHAKE = get(
    b"/_tunnel/control",
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Protocol: trio-tunnel.2",
    host=b"localhost",
)


async def send(client: Visitor, payload: bytes) -> None:
    """A binary message, with a key of zeros."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    await client.send(b"\x82" + length + bytes(4) + payload)


async def receive(client: Visitor) -> bytes:
    first, size = await client.receive(2)
    assert first == 0x82
    if size == 126:
        size = int.from_bytes(await client.receive(2), "big")
    return await client.receive(size)


async def welcomed(world: World, features: tuple[str, ...] = ()) -> tuple[Visitor, Welcome]:
    client = world.visit()
    await client.send(HANDSHAKE)
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")
    await send(client, hello_message(Hello(features, "tests/1", 100, 16_384)))
    return client, read_answer_to_hello(await receive(client))


def answers(message: bytes) -> Iterator[tuple[int, dict[str, object]]]:
    """What it says to a claim."""
    for kind, _, body in split_message(message):
        if kind in (FrameType.CLAIMED, FrameType.REFUSED):
            yield kind, msgpack.unpackb(body)


async def test_welcome_announces_the_heartbeat(world: World) -> None:
    _, welcome = await welcomed(world)
    assert (welcome.ping_interval_s, welcome.timeout_s) == (15, 30)
    assert (len(welcome.session), len(welcome.secret)) == (16, 32)


async def test_unknown_features_of_a_hello_are_ignored(world: World) -> None:
    _, welcome = await welcomed(world, ("compression", "later"))
    assert welcome.features == (ENDS_STUCK,)
    await wait_all_tasks_blocked()
    assert len(world.directory.sessions) == 1


async def answer_to_claim(
    world: World, options: dict[str, object]
) -> tuple[int, dict[str, object]]:
    client, _ = await welcomed(world)
    claim = Claim(1, "app", b"i" * 16, True, options)
    await send(client, frame(FrameType.CLAIM, 0, pack_map(claim)))
    found: list[tuple[int, dict[str, object]]] = []
    while not found:
        found += answers(await receive(client))
    return found[0]


async def test_a_claim_with_an_unknown_option_is_refused_by_name(world: World) -> None:
    kind, said = await answer_to_claim(world, {"ws-keepalive": 20, "basic-auth": "user:secret"})
    assert kind == FrameType.REFUSED
    assert (said["code"], said["claim"]) == ("unknown-option", 1)
    assert "'basic-auth'" in str(said["message"])
    assert "secret" not in str(said["message"])
    assert world.directory.registry.find("app") is None


async def test_a_claim_for_keepalive_is_granted_and_its_seconds_are_checked(world: World) -> None:
    kind, said = await answer_to_claim(world, {"ws-keepalive": 86_401})
    assert kind == FrameType.REFUSED
    assert (said["code"], said["claim"]) == ("option-invalid", 1)
    assert "'ws-keepalive'" in str(said["message"])
    assert world.directory.registry.find("app") is None
    kind, _ = await answer_to_claim(world, {"ws-keepalive": 86_400})
    assert kind == FrameType.CLAIMED
