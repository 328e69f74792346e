"""When the client begins to speak, and what a server may announce."""

from __future__ import annotations

import trio
import trio.testing

from protocol.mux.handshake import welcome_message
from tests.server_fakes import WELCOME, Server, a_config
from tunnel_client.uplink.opening import open_transport


async def begin(nursery: trio.Nursery) -> tuple[Server, trio.Event]:
    """A client that opens; the event is set when it was welcomed."""
    ours, theirs = trio.testing.memory_stream_pair()
    welcomed = trio.Event()

    async def run() -> None:
        await open_transport(nursery, ours, a_config(), "1.2")
        welcomed.set()

    nursery.start_soon(run)
    return Server(theirs), welcomed


async def test_nothing_is_sent_before_the_101(nursery: trio.Nursery) -> None:
    server, welcomed = await begin(nursery)
    sent = b""

    async def read() -> None:
        nonlocal sent
        while data := await server.stream.receive_some():
            sent += bytes(data)

    async with trio.open_nursery() as reading:
        reading.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        reading.cancel_scope.cancel()
    assert sent.startswith(b"GET /_tunnel/control HTTP/1.1\r\n")
    assert sent.endswith(b"\r\n\r\n")
    assert sent.count(b"\r\n\r\n") == 1
    assert not welcomed.is_set()
    nursery.cancel_scope.cancel()


async def test_unknown_features_of_a_welcome_are_ignored(nursery: trio.Nursery) -> None:
    server, welcomed = await begin(nursery)
    later = WELCOME._replace(features=("compression", "later"))
    await server.open(nursery, welcome=welcome_message(later))
    await welcomed.wait()
    nursery.cancel_scope.cancel()
