"""For the tests of `--identity auto`: an app that answers by a function, and its chooser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from protocol.http.forwarding import with_forwarding
from protocol.mux.messages import Open
from tunnel_client.identity.rewriting import Identity
from tunnel_client.observing.events import ClientEvent, IdentityChosen, TunnelReady, Warned
from tunnel_client.origin.choosing import IdentityChooser
from tunnel_client.origin.dial import Dialer
from tunnel_client.origin.first_look import FirstLook
from tunnel_client.settings.header_edits import NO_EDITS, HeaderEdits
from tunnel_client.settings.target import Target
from tunnel_client.settings.values import Mode

HOST, PUBLIC = "demo.example", "https://demo.example"


def page(body: bytes, status: int = 200, more: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    head = b"HTTP/1.1 %d x\r\nContent-Type: text/html; charset=utf-8\r\n" % status
    return head + length + more + b"\r\n" + body


def host_of(head: bytes) -> bytes:
    found = re.search(rb"\r\nHost: ([^\r]+)", head)
    assert found
    return found[1]


def link_by_name(head: bytes) -> bytes:
    """A page whose link is made of Host and X-Forwarded-Proto."""
    scheme = b"https" if b"X-Forwarded-Proto: https" in head else b"http"
    return page(b"<a href='%b://%b/x'>x</a>" % (scheme, host_of(head)))


class TalkingApp:
    """Answers each connection once.

    Attributes:
        answer: makes an answer of a request's head.
        heads: of the requests, in order.
        gate: answers wait for it.
    """

    def __init__(self, listener: trio.SocketListener, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.gate = trio.Event()
        self.gate.set()
        self._held = b""
        self._open = 0
        self.target = Target.parse(str(listener.socket.getsockname()[1]))

    async def all_closed(self) -> None:
        """Return when the client has closed every connection."""
        while self._open:
            await trio.lowlevel.checkpoint()

    async def serve(self, stream: trio.SocketStream) -> None:
        self._open += 1
        try:
            await self._serve(stream)
        finally:
            self._open -= 1

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head:
                data = bytes(await stream.receive_some())
                if not data:
                    return
                head += data
            self.heads.append(head)
            if head.startswith(self._held):
                await self.gate.wait()
            await stream.send_all(self.answer(head))
            await stream.send_eof()
            while await stream.receive_some():
                pass

    def hold(self, start: bytes = b"") -> None:
        """Answers to heads that start so wait for a new gate."""
        self.gate = trio.Event()
        self._held = start


class Choosing:
    """A chooser, and what it tells."""

    def __init__(self, app: TalkingApp, edits: HeaderEdits = NO_EDITS) -> None:
        self.app = app
        self.identities: dict[Mode, Identity] = {
            "local": Identity(app.target, "local", request_edits=edits),
            "public": Identity(app.target, "public", request_edits=edits),
        }
        self.events: list[ClientEvent] = []
        self.first_look = FirstLook(app.target, self)
        self.chooser = IdentityChooser(
            app.target, self.identities, self, "an-agent/1", self.first_look
        )
        self._told = trio.Event()

    def tell(self, event: ClientEvent) -> None:
        self.events.append(event)
        self._told.set()
        self._told = trio.Event()

    def ready(self) -> None:
        self.chooser.tell(TunnelReady(PUBLIC, "demo", "https://example", "auto"))

    async def verdict(self, number: int = 1) -> IdentityChosen:
        """The verdict of this number, once it is told."""
        while len(self.verdicts) < number:
            await self._told.wait()
        return self.verdicts[number - 1]

    @property
    def verdicts(self) -> list[IdentityChosen]:
        return [event for event in self.events if isinstance(event, IdentityChosen)]

    @property
    def warnings(self) -> list[Warned]:
        return [event for event in self.events if isinstance(event, Warned)]

    def mode(self, opened: Open | None = None) -> Mode:
        """As whom a request is sent on that begins now."""
        chosen = self.chooser.identity_of(opened or opened_by())
        return next(mode for mode, identity in self.identities.items() if identity is chosen)


def opened_by(
    *fields: tuple[bytes, bytes],
    method: bytes = b"GET",
    target: bytes = b"/",
    scheme: str = "https",
    host: str = HOST,
    kind: str = "http",
) -> Open:
    """A visitor's request, as the server sends it."""
    all_fields = with_forwarding(
        ((b"Host", host.encode()), *fields),
        visitor="192.0.2.9",
        scheme=scheme,
        host=host,
        port=443,
        trusted=False,
    )
    return Open(
        *(kind, 1, method, target, b"1.1", all_fields, None, scheme, host, "192.0.2.9", 0),
    )


NAVIGATION = (b"Accept", b"text/html,*/*;q=0.8")


@asynccontextmanager
async def a_talking_app(answer: Callable[[bytes], bytes]) -> AsyncIterator[TalkingApp]:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    app = TalkingApp(listener, answer)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, app.serve, [listener])
        yield app
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def choosing(
    answer: Callable[[bytes], bytes], edits: HeaderEdits = NO_EDITS
) -> AsyncIterator[Choosing]:
    """An app, and a chooser that asks it; `ready` begins."""
    async with a_talking_app(answer) as app, trio.open_nursery() as nursery:
        made = Choosing(app, edits)
        nursery.start_soon(made.first_look.watch)
        nursery.start_soon(made.chooser.run, Dialer(app.target).open)
        yield made
        nursery.cancel_scope.cancel()
