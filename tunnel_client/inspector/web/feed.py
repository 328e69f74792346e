"""DRIVER. The live feed of one page: what has changed, a few times a second, by a WebSocket.

Nothing is queued for a page. What it gets next is read from the store when it has taken what came
before, so a slow one gets fewer and larger messages, and one that takes nothing is cut by
`Connections`, having cost its kernel's buffer and one message.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import trio
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from tunnel_client.inspector.capture.pacing import WorkPace
from tunnel_client.inspector.web.rows import row_of
from tunnel_client.inspector.web.token import InspectorToken
from tunnel_client.inspector.web.view import InspectorView

FIRST_MESSAGE_S: Final = 5.0
EVERY_S: Final = 0.05  # a person sees no more, and a message a row costs thirteen times as much
ROWS_MAX: Final = 1000
# While requests pass there are a few rows at a time, each of 40 us: pauses between them let
# requests go on. That takes some of what a page costs them, not all.
FEW_ROWS: Final = 100
ROWS_A_TURN: Final = 4
BETWEEN_TURNS_S: Final = 0.001
# With its kernel's half a MiB it is under the MiB that a page may cost; it is deflated in 2.3 ms.
MESSAGE_MAX_CHARS: Final = 256 * 1024
COUNTS_EVERY_S: Final = 1.0  # without news a page hears that the client lives

_encoded: Final = json.JSONEncoder(separators=(",", ":")).encode  # made once, not for each row

NO_TOKEN: Final = 1008  # RFC 6455 7.4.1: policy violation
GOING_AWAY: Final = 1001


class LiveFeeds:
    """Serves the feeds of all pages.

    Attributes:
        count: of those that are open.
    """

    def __init__(self, view: InspectorView, token: InspectorToken) -> None:
        self.count = 0
        self._view = view
        self._token = token
        self._none_left = trio.Event()

    def __repr__(self) -> str:
        return f"<LiveFeeds {self.count} open>"

    async def serve(self, socket: WebSocket) -> None:
        """Serve one page until it is gone, or the inspector ends."""
        with self._counted():
            await socket.accept()
            try:
                said = await self._first_message(socket)
                if said is None:
                    await socket.close(NO_TOKEN, "the first message has to be the token")
                    return
                await _FeedOfPage(socket, self._view, said).run()
            except WebSocketDisconnect:
                return

    async def wait_none_left(self) -> None:
        """Wait until no page is served."""
        while self.count:
            await self._none_left.wait()

    async def _first_message(self, socket: WebSocket) -> dict[str, Any] | None:
        with trio.move_on_after(FIRST_MESSAGE_S):
            said = _object(await _text(socket))
            if isinstance(token := said.get("token"), str) and self._token.is_same(token):
                return said
        return None

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1
            self._none_left.set()
            self._none_left = trio.Event()


class _FeedOfPage:
    """The two tasks of one page: the first that ends ends both."""

    def __init__(self, socket: WebSocket, view: InspectorView, said: dict[str, Any]) -> None:
        self._socket = socket
        self._view = view
        since, run = said.get("since"), said.get("run", view.facts.run)
        is_ours = type(since) is int and 0 <= since <= view.store.seq and run == view.facts.run
        self._seq: int = since if is_ours and since is not None else 0
        self._clears = view.clears
        self._is_first = True

    def __repr__(self) -> str:
        return f"<_FeedOfPage seq={self._seq}>"

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._receive, nursery.cancel_scope)
            nursery.start_soon(self._send, nursery.cancel_scope)
        if self._view.closing.is_set() and self._socket.client_state != WebSocketState.DISCONNECTED:
            await self._socket.close(GOING_AWAY, "the client ends")

    async def _receive(self, scope: trio.CancelScope) -> None:
        """Learn that the page is gone; and which exchange it shows, whose bodies are kept then."""
        with ExitStack() as shown:
            while True:
                try:
                    said = _object(await _text(self._socket))
                except WebSocketDisconnect:
                    scope.cancel()
                    return
                if "show" in said:
                    shown.close()
                    if type(said["show"]) is int:
                        shown.enter_context(self._view.store.keep_open(said["show"]))

    async def _send(self, scope: trio.CancelScope) -> None:
        while not self._view.closing.is_set():
            text, is_all = await self._message()
            await self._socket.send_text(text)
            await trio.sleep(EVERY_S)
            if is_all:
                await self._news()
        scope.cancel()

    async def _news(self) -> None:
        """Wait for something to tell, or a while. No `await` stands between look and wait."""
        with trio.move_on_after(COUNTS_EVERY_S):
            if self._view.store.seq > self._seq or self._view.clears != self._clears:
                return
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_when_closing, nursery.cancel_scope)
                await self._view.store.changed()
                nursery.cancel_scope.cancel()

    async def _end_when_closing(self, scope: trio.CancelScope) -> None:
        await self._view.closing.wait()
        scope.cancel()

    async def _message(self) -> tuple[str, bool]:
        """Return the next message, and whether it has all that there is."""
        view, store = self._view, self._view.store
        cleared = view.clears != self._clears
        if cleared:
            self._clears, self._seq = view.clears, 0
        snapshot, self._is_first = self._seq == 0 and (cleared or self._is_first), False
        newest = store.seq
        # A seq may grow while this task rests: what changed before that would be passed over.
        found = [(each.seq, each) for each in store.changed_since(self._seq, ROWS_MAX)]
        pace, masks = WorkPace(), view.masks()
        rows: list[str] = []
        size = 0
        for seq, exchange in found:
            row = _encoded(row_of(exchange, masks))
            size += len(row)
            if rows and size > MESSAGE_MAX_CHARS:
                break
            rows.append(row)
            self._seq = seq
            if len(found) > FEW_ROWS and pace.is_due:
                await pace.rest()
            elif len(found) <= FEW_ROWS and len(rows) % ROWS_A_TURN == 0:
                await trio.sleep(BETWEEN_TURNS_S)
        is_all = len(rows) == len(found) < ROWS_MAX
        if is_all:
            self._seq = max(self._seq, newest)
        head = {
            "run": view.facts.run,
            "seq": self._seq,
            "first_id": store.first,
            "snapshot": snapshot,
            "counts": store.counts._asdict(),
            "connection": view.facts.connection,
            "url": view.facts.url,
        }
        return f'{json.dumps(head)[:-1]}, "rows": [{",".join(rows)}]}}', is_all


async def _text(socket: WebSocket) -> str:
    """Return the next message; "" for one of bytes. Raises WebSocketDisconnect."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    text: str | None = message.get("text")
    return text or ""


def _object(text: str) -> dict[str, Any]:
    """Return the object that a message is; an empty one for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
