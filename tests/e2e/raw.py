"""Requests of which every field is ours: what does an app answer with a tunnel, and without?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import trio

from tests.patience import PATIENCE
from tests.programs import Tunnel

EVIL = "https://evil.example"
ANSWER_S = 20 * PATIENCE
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@dataclass(frozen=True)
class Way:
    """How a visitor reaches the app: directly or by its public name."""

    port: int
    authority: str

    @property
    def origin(self) -> str:
        return f"http://{self.authority}"


def directly(app: int) -> Way:
    return Way(app, f"localhost:{app}")


def through(tunnel: Tunnel) -> Way:
    return Way(tunnel.address.port, tunnel.address.authority)


async def ask(
    way: Way,
    target: str,
    fields: Mapping[str, str],
    *,
    method: str = "GET",
    body: str = "",
    until: bytes = b"\r\n\r\n",
) -> bytes:
    """The answer to its end, or until it has this in it; by default its head."""
    framing = {"Content-Length": str(len(body.encode()))} if body else {}
    lines = {"Host": way.authority, **fields, **framing}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    answer = b""
    with trio.fail_after(ANSWER_S):
        async with await trio.open_tcp_stream("localhost", way.port) as stream:
            await stream.send_all(f"{method} {target} HTTP/1.1\r\n{head}\r\n{body}".encode())
            while until not in answer:
                data = await stream.receive_some()
                if not data:
                    break
                answer += data
    return answer


async def status(
    way: Way, target: str, fields: Mapping[str, str], *, method: str = "GET", body: str = ""
) -> str:
    """The status of the answer, or all of it where it has none."""
    answer = await ask(way, target, fields, method=method, body=body)
    if answer.startswith(b"HTTP/1."):
        return answer.split()[1].decode()
    return repr(answer)
