"""For the tests of the inspector: one that serves on port 0, what it keeps, and who asks it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, connect_websocket_url

from protocol.mux.messages import Open
from tests.memory_streams import MemoryStream, an_open
from tunnel_client.identity.rewriting import Identity
from tunnel_client.inspector.capture.store import CaptureStore
from tunnel_client.inspector.capture.tap import CaptureTap
from tunnel_client.inspector.replaying.replay_apps import ConfiguredApps
from tunnel_client.inspector.web.inspector import Inspector
from tunnel_client.inspector.web.listening import LOOPBACK, bind_exactly
from tunnel_client.inspector.web.place import InspectorPlace
from tunnel_client.inspector.web.run_facts import ProgramFacts
from tunnel_client.inspector.web.token import InspectorToken
from tunnel_client.observing.events import ClientEvent, TunnelReady
from tunnel_client.origin.dial import Dialer
from tunnel_client.origin.visitor_stream import VisitorStream
from tunnel_client.settings.config import ClientConfig
from tunnel_client.settings.target import Target

MIB = 1024 * 1024
TOKEN = "secret-token-of-the-inspector"
TARGET = Target.parse("http://localhost:3000")
CONFIG = ClientConfig(target=TARGET, token="")
EPOCH = 1_800_000_000.0
READY = TunnelReady("http://app.example", "app", "http://example")


class Events:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[ClientEvent] = []

    def tell(self, event: ClientEvent) -> None:
        self.told.append(event)


class FakeProgram:
    """A program that is watched, and keeps what it is asked for."""

    def __init__(self) -> None:
        self.round_trip_s: float | None = None
        self.cancelled: list[VisitorStream] = []

    def cancel(self, stream: VisitorStream) -> bool:
        self.cancelled.append(stream)
        return True


class HttpAnswer(NamedTuple):
    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RunningInspector:
    """An inspector, and a visitor of it that has the token."""

    def __init__(self, inspector: Inspector, store: CaptureStore, place: InspectorPlace) -> None:
        self.inspector = inspector
        self.store = store
        self.port = place.port
        self.token = place.token.text
        self.events = Events()
        self.program = FakeProgram()
        self.apps = ConfiguredApps(CONFIG, Dialer(TARGET), Identity(TARGET), None)
        inspector.watch(self.program, self.apps)

    async def ask(
        self,
        method: str,
        path: str,
        said: object = None,
        *,
        token: str | None = TOKEN,
        fields: dict[str, str] | None = None,
    ) -> HttpAnswer:
        """Ask by a connection of one's own."""
        sent = {"Host": f"127.0.0.1:{self.port}", "Connection": "close", **(fields or {})}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        body = b"" if said is None else json.dumps(said).encode()
        if body:
            sent["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        return await self.raw(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)

    async def get(self, path: str) -> Any:
        """What the API says."""
        answer = await self.ask("GET", path)
        assert answer.status == 200, answer
        return answer.json

    async def raw(self, sent: bytes) -> HttpAnswer:
        stream = await trio.open_tcp_stream(LOOPBACK, self.port)
        async with stream:
            await stream.send_all(sent)
            data = b""
            while more := await stream.receive_some():
                data += bytes(more)
        head, _, body = data.partition(b"\r\n\r\n")
        line, *lines = head.decode().split("\r\n")
        pairs = (each.partition(":") for each in lines)
        fields = {name.lower(): value.strip() for name, _, value in pairs}
        return HttpAnswer(int(line.split()[1]), fields, body)

    async def page(self, nursery: trio.Nursery, **first: object) -> LivePage:
        """A page that is connected; it has said this first."""
        page = await self.silent_page(nursery)
        await page.say(**({"token": TOKEN} | first))
        return page

    async def silent_page(self, nursery: trio.Nursery) -> LivePage:
        """A page that is connected and has said nothing."""
        url = f"ws://127.0.0.1:{self.port}/api/live"
        return LivePage(await connect_websocket_url(nursery, url))

    async def until_sorted(self) -> None:
        """Wait until the store's task has seen all."""
        await self.store.sort()


class LivePage:
    def __init__(self, socket: WebSocketConnection) -> None:
        self.socket = socket

    async def say(self, **said: object) -> None:
        await self.socket.send_message(json.dumps(said))

    async def text(self) -> str:
        text = await self.socket.get_message()
        assert isinstance(text, str)
        return text

    async def news(self) -> Any:
        return json.loads(await self.text())

    async def close_code(self) -> int | None:
        """The code that the server closes with, which is awaited."""
        try:
            while True:
                await self.news()
        except ConnectionClosed as closed:
            await trio.aclose_forcefully(self.socket._stream)  # it leaves that to its nursery
            return closed.reason.code if closed.reason is not None else None

    async def rows(self, count: int) -> list[Any]:
        """The rows of the next messages, until there are so many."""
        rows: list[Any] = []
        while len(rows) < count:
            rows += (await self.news())["rows"]
        return rows


def opened_tap(store: CaptureStore, opened: Open | None = None) -> CaptureTap:
    tap = store.tap_for(MemoryStream(opened or an_open("http", b"GET", None)))
    assert tap is not None
    return tap


def got(
    store: CaptureStore,
    body: bytes = b"ok",
    *fields: bytes,
    target: bytes = b"/a?b",
    method: bytes = b"GET",
    status: int = 200,
    posted: bytes = b"",
) -> CaptureTap:
    """A request that is over."""
    tap = opened_tap(store, an_open("http", method, None)._replace(target=target))
    asked = [method + b" " + target + b" HTTP/1.1", b"Host: app", *(fields if posted else ())]
    tap.asked(b"\r\n".join([*asked, b"", b""]))
    if posted:
        tap.body_in(posted)
    said = [b"HTTP/1.1 %d OK" % status, *(() if posted else fields)]
    tap.head(b"\r\n".join([*said, b"", b""]))
    if body:
        tap.body_out(body)
    tap.ended(None)
    return tap


@asynccontextmanager
async def an_inspector(
    *,
    memory_bytes: int = 32 * MIB,
    bodies: bool = True,
    ready: bool = True,
    name: str | None = None,
    port: int = 0,
) -> AsyncIterator[RunningInspector]:
    store = CaptureStore(memory_bytes=memory_bytes, bodies=bodies, now=lambda: EPOCH)
    place = InspectorPlace(bind_exactly((LOOPBACK, port)), InspectorToken(TOKEN), name)
    events = Events()
    inspector = Inspector(place, store, ProgramFacts("1", "http://localhost:3000", EPOCH), events)
    running = RunningInspector(inspector, store, place)
    running.events = events
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inspector.run)
        if ready:
            inspector.tell(READY)
        yield running
        nursery.cancel_scope.cancel()


def count_tasks() -> int:
    """All tasks of this run."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    return _tasks_below(root)


def _tasks_below(task: trio.lowlevel.Task) -> int:
    nurseries = [nursery.child_tasks for nursery in task.child_nurseries]
    return 1 + sum(_tasks_below(each) for tasks in nurseries for each in tasks)
