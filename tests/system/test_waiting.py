"""An app that is not there yet, and one that does not answer in HTTP."""

from __future__ import annotations

import socket
from functools import partial

import pytest
import trio

from tests.programs import Programs
from tests.system.origin import Origin
from tests.system.visitor import SMALL_S, visit

UPGRADE = [
    *(("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


async def test_a_post_is_held_until_the_app_is_there(
    programs: Programs, nursery: trio.Nursery
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        port: int = taken.getsockname()[1]
        tunnel = await programs.tunnel(port, "--origin-wait", "60")
        async with visit(tunnel.address) as visitor:
            await visitor.request("/echo", "POST", [("Content-Length", "5")])
            await visitor.send(b"hello")
            await visitor.end()
            taken.close()
            await nursery.start(partial(trio.serve_tcp, Origin().handle, port, host="127.0.0.1"))
            with trio.fail_after(SMALL_S):
                assert (await visitor.answer()).status == 200
                assert b"".join([data async for data in visitor.body()]) == b"hello"


@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*"])
async def test_an_upgrade_that_is_refused_in_bare_bytes_is_a_502_and_the_terminal_shows_them(
    programs: Programs, nursery: trio.Nursery, accept: str
) -> None:
    async def refuse(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            for piece in (b"<b>Un", b"authorized"):
                await stream.send_all(piece)

    listeners = await nursery.start(partial(trio.serve_tcp, refuse, 0, host="127.0.0.1"))
    tunnel = await programs.tunnel(listeners[0].socket.getsockname()[1])
    async with visit(tunnel.address) as visitor:
        await visitor.request("/", fields=[*UPGRADE, ("Accept", accept)])
        with trio.fail_after(SMALL_S):
            answer = await visitor.answer()
            body = b"".join([data async for data in visitor.body()])
    assert (answer.status, answer.error) == (502, "origin-protocol-error")
    assert b"Unauthorized" not in body  # a service inside may say more of itself than this
    assert '"<b>Unauthorized"' in (await tunnel.client.event("request"))["error"]
