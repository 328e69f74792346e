"""A visitor of a shared app: HTTP/1.1 by h11, over a connection that the test holds in its hand."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import h11
import trio
from wsproto.connection import Connection, ConnectionType

from tests.patience import PATIENCE
from tests.programs import Address
from tests.system.peer import UPGRADE, Pieces, abort, h11_event, trailing

# For a connection and a small request, on a machine with other things to do.
SMALL_S = 20 * PATIENCE
# How much slower a large body goes there than on a quiet machine: a hundredth.
BODY_BYTES_PER_S = 1_000_000

Fields = list[tuple[str, str]]


@dataclass
class Answer:
    status: int
    fields: dict[str, str]  # names in lower case
    body: bytes = b""

    @property
    def error(self) -> str | None:
        """The code of an answer that the tunnel made itself."""
        return self.fields.get("tunnel-error")


class Visitor:
    """One connection; `request`, then `answer`, then `body`, or all of it by `fetch`."""

    def __init__(self, stream: trio.abc.Stream, address: Address) -> None:
        self.stream = stream
        self.address = address
        self.connection = h11.Connection(h11.CLIENT)

    async def request(self, target: str, method: str = "GET", fields: Fields | None = None) -> None:
        """Send a head; where `fields` announce a body, `send` and `end` come next."""
        heads = [("Host", self.address.authority), *(fields or [])]
        await self._send(h11.Request(method=method, target=target, headers=heads))
        names = {name.lower() for name, _ in heads}
        if not names & {"content-length", "transfer-encoding"}:
            await self.end()

    async def send(self, data: bytes) -> None:
        await self._send(h11.Data(data=data))

    async def end(self) -> None:
        await self._send(h11.EndOfMessage())

    async def answer(self) -> Answer:
        """The head of the answer; informational ones are passed over."""
        while isinstance(event := await self._event(), h11.InformationalResponse):
            pass
        assert isinstance(event, h11.Response), event
        fields = {name.decode(): value.decode() for name, value in event.headers}
        return Answer(event.status_code, fields)

    def body(self) -> Pieces:
        return Pieces(self.stream, self.connection)

    async def fetch(
        self, target: str, method: str = "GET", body: bytes = b"", small_s: float = SMALL_S
    ) -> Answer:
        """`small_s`: how long it may take beside the time of its body."""
        length = [("Content-Length", str(len(body)))] if body else []
        with trio.fail_after(small_s + PATIENCE * len(body) / BODY_BYTES_PER_S):
            await self.request(target, method, length)
            async with trio.open_nursery() as nursery:
                if body:
                    nursery.start_soon(self._upload, body)
                answer = await self.answer()
                answer.body = b"".join([data async for data in self.body()])
        return answer

    async def _upload(self, body: bytes) -> None:
        # An answer may come, and the connection end, before all was taken.
        with suppress(trio.BrokenResourceError):
            await self.send(body)
            await self.end()

    async def upgrade(self, target: str) -> Connection:
        """Open a WebSocket; its frames then go over `stream`."""
        key = ("Sec-WebSocket-Key", b64encode(bytes(16)).decode())
        await self.request(target, fields=[*UPGRADE, ("Sec-WebSocket-Version", "13"), key])
        event = await self._event()
        assert isinstance(event, h11.InformationalResponse), event
        assert event.status_code == 101
        return Connection(ConnectionType.CLIENT, trailing_data=trailing(self.connection))

    def abort(self) -> None:
        """Make the close that follows a reset."""
        abort(self.stream)

    async def _send(self, event: h11.Event) -> None:
        if data := self.connection.send(event):
            await self.stream.send_all(data)

    async def _event(self) -> h11.Event:
        return await h11_event(self.stream, self.connection)


@asynccontextmanager
async def visit(address: Address) -> AsyncIterator[Visitor]:
    with trio.fail_after(SMALL_S):
        stream: trio.abc.Stream = await trio.open_tcp_stream(
            "127.0.0.1", address.port, local_address=address.visitor
        )
        if address.tls:
            # Closing without close_notify is what browsers do.
            stream = trio.SSLStream(
                stream, address.tls, server_hostname=address.host, https_compatible=True
            )
    try:
        yield Visitor(stream, address)
    finally:
        await trio.aclose_forcefully(stream)


async def fetch(
    address: Address,
    target: str = "/",
    method: str = "GET",
    body: bytes = b"",
    small_s: float = SMALL_S,
) -> Answer:
    """One request on a connection of its own."""
    async with visit(address) as visitor:
        return await visitor.fetch(target, method, body, small_s)


async def health(port: int, path: str = "/_tunnel/health") -> dict[str, Any]:
    """What an open server says of itself."""
    answer = await fetch(Address(port, "localhost"), path)
    assert answer.status == 200, answer
    facts: dict[str, Any] = json.loads(answer.body)
    return facts
