"""ARCHITECTURE.md names the five files of one request; here one is followed through them.

A profile function notes each call into our packages while a GET crosses a server and a client that
run in this process. The clock stands still, so that nothing but the request does anything: no
sweep, no ping. What it passes through is the five files, in that order, and what these call,
which ARCHITECTURE.md lists too: a file in neither list is found here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import trio
from trio.testing import MockClock

from tests.programs import Address
from tests.system.origin import Origin
from tests.system.visitor import visit
from tunnel_client.app import serve as serve_client
from tunnel_client.observing.events import ClientEvent, IdentityChosen, TunnelReady
from tunnel_client.observing.lines import JsonLines
from tunnel_client.observing.report import Report
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.config import ClientConfig
from tunnel_client.settings.target import Target
from tunnel_server.owners.authenticator import Authenticator
from tunnel_server.settings.config import ServerConfig
from tunnel_server.tunnels.assembly import build_directory
from tunnel_server.tunnels.control import ControlEndpoint
from tunnel_server.visitors.edge import Edge
from tunnel_server.visitors.serving import serve_visitor

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("protocol", "tunnel_server", "tunnel_client")


def documented() -> tuple[list[str], set[str]]:
    """The five files, in order, and the patterns of the files that they call."""
    text = (ROOT / "ARCHITECTURE.md").read_text().partition("## One error")[0]
    walk = re.findall(r"^\d\. `([\w/]+\.py)`", text, re.MULTILINE)
    called = text.partition("They call ")[2].partition("\n\n")[0]
    return walk, set(re.findall(r"`([\w/]+(?:\.py|/))`", called))


@contextmanager
def files_called(first: str) -> Iterator[list[str]]:
    """The files of ours in which functions are called or go on, in the order of the first time.

    What comes before `first` is an acknowledgement or a ping, and no part of the request.
    """
    files: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(ROOT):
            name = str(path.relative_to(ROOT))
            known = name in files or (not files and name != first)
            if name.partition("/")[0] in PACKAGES and not known:
                files.append(name)

    sys.setprofile(note)
    try:
        yield files
    finally:
        sys.setprofile(None)


async def start_server(nursery: trio.Nursery) -> Edge:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    config = ServerConfig()
    directory, _ = build_directory(config, Authenticator(None, everybody=True), None)
    edge = Edge(directory, port=port)
    serve = partial(serve_visitor, edge, ControlEndpoint(directory), None)
    nursery.start_soon(partial(trio.serve_listeners, serve, [listener], handler_nursery=nursery))
    return edge


class Heard(Report):
    """A report whose lines go nowhere.

    Attributes:
        ready: the client is.
        chosen: the app was asked as whom, for the origin that the visitor comes by.
    """

    def __init__(self, origin: str) -> None:
        super().__init__(lines=JsonLines(), write=lambda data: None)
        self.ready, self.chosen = trio.Event(), trio.Event()
        self._origin = origin

    def tell(self, event: ClientEvent) -> None:
        super().tell(event)
        if isinstance(event, TunnelReady):
            self.ready.set()
        if isinstance(event, IdentityChosen) and event.origin == self._origin:
            self.chosen.set()


async def start_client(nursery: trio.Nursery, server_port: int, origin_port: int) -> Heard:
    """A client that is ready."""
    config = ClientConfig(
        target=Target.parse(str(origin_port)),
        server_url=ServerUrl("http", "127.0.0.1", server_port),
        subdomain="walk",
        token="a-token",
    )
    report = Heard(f"http://walk.localhost:{server_port}")
    _, no_signals = trio.open_memory_channel[int](0)
    nursery.start_soon(serve_client, config, report, no_signals)
    await report.ready.wait()
    return report


async def test_a_request_walks_through_the_five_files_in_order(
    nursery: trio.Nursery, origin: Origin, mock_clock: MockClock
) -> None:
    walk, called = documented()
    assert len(walk) == 5
    assert called
    edge = await start_server(nursery)
    report = await start_client(nursery, edge.port, origin.port)
    async with visit(Address(edge.port, "walk.localhost")) as visitor:
        await visitor.fetch("/")
        await report.chosen.wait()
        visitor.connection.start_next_cycle()
        await visitor.fetch("/")  # the connections are there, and what is looked up once
        visitor.connection.start_next_cycle()
        with files_called(walk[0]) as files:
            answer = await visitor.fetch("/")
    assert answer.status == 200
    prefixes = tuple(called)
    assert [file for file in files if file in walk or not file.startswith(prefixes)] == walk
    assert [name for name in called if not any(file.startswith(name) for file in files)] == []
    nursery.cancel_scope.cancel()
