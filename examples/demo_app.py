"""A small web app to share through a tunnel: `python examples/demo_app.py [PORT]`.

    GET  /         the page, page.html beside this file
    GET  /chat     a WebSocket that sends every message back
    GET  /events   server-sent events: a tick each second, and the news of an edited page
    POST /upload   counts and hashes the body as it streams in
    POST /hook     takes a webhook that is signed as Stripe's are, no older than 5 minutes
    GET  /payment  such a webhook, for the page to send

It listens on 127.0.0.1. A port that is taken gives the next free one.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import h11
import trio
from wsproto import ConnectionType, WSConnection, events as ws_events
from wsproto.connection import ConnectionState
from wsproto.utilities import RemoteProtocolError as WebSocketError

PAGE = Path(__file__).with_name("page.html")
DEFAULT_PORT = 3000
PORTS_TRIED = 100

LOOK_EVERY_S = 0.25  # at the page's date: a save shows at once to the eye
LOOKS_A_TICK = 4

# Whoever has it signs webhooks: a real one is a secret, and stands in no file of a repository.
HOOK_SECRET = b"whsec_of-the-demo-alone"
HOOK_MAX_BYTES = 64 * 1024
HOOK_MAX_AGE_S = 300  # as Stripe's libraries have it

# What ends one connection: a browser that goes away, one that speaks nonsense, and an editor that
# has the page away in the moment of a save.
GONE = (trio.BrokenResourceError, h11.RemoteProtocolError, WebSocketError, FileNotFoundError)


class Browser:
    """One connection: requests one after the other, until one of them keeps it for good."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.http = h11.Connection(h11.SERVER)

    async def serve(self) -> None:
        while isinstance(request := await self.next_event(), h11.Request):
            await self.route(request)
            async for _ in self.body():
                pass  # what nobody read
            if (self.http.our_state, self.http.their_state) != (h11.DONE, h11.DONE):
                return
            self.http.start_next_cycle()

    async def route(self, request: h11.Request) -> None:
        path = request.target.partition(b"?")[0]
        match (request.method, path):
            case (b"GET" | b"HEAD", b"/"):
                await self.answer(200, "text/html; charset=utf-8", PAGE.read_bytes(), request)
            case (b"GET", b"/events"):
                await self.tell_events()
            case (b"GET", b"/chat"):
                await self.chat(request)
            case (b"POST", b"/upload"):
                await self.upload(request)
            case (b"POST", b"/hook"):
                await self.hook(request)
            case (b"GET", b"/payment"):
                payment = json.dumps(a_payment(wall_time())).encode()
                await self.answer(200, "application/json", payment, request)
            case _:
                await self.answer(404, "text/plain", b"There is nothing here.\n", request)

    async def upload(self, request: h11.Request) -> None:
        count, sha256 = 0, hashlib.sha256()
        async for chunk in self.body():
            count += len(chunk)
            sha256.update(chunk)
        result = {"bytes": count, "sha256": sha256.hexdigest()}
        await self.answer(200, "application/json", json.dumps(result).encode(), request)

    async def hook(self, request: h11.Request) -> None:
        body = b""
        async for chunk in self.body():
            body += chunk[: HOOK_MAX_BYTES - len(body)]
        signature = dict(request.headers).get(b"stripe-signature", b"").decode("ascii", "replace")
        wrong = wrong_with(signature, body, wall_time())
        said = {"error": wrong} if wrong else {"received": True}
        content = json.dumps(said).encode()
        await self.answer(400 if wrong else 200, "application/json", content, request)

    async def tell_events(self) -> None:
        """Ticks, and `page` with its date: the page loads itself anew when that changes."""
        headers = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")]
        await self.send(h11.Response(status_code=200, headers=headers))
        told, look = None, 0
        while True:
            if (edited := page_edited()) != told:
                await self.tell("page", edited)
                told = edited
            if look % LOOKS_A_TICK == 0:
                await self.tell("tick", look // LOOKS_A_TICK)
            look += 1
            await trio.sleep(LOOK_EVERY_S)

    async def tell(self, event: str, data: object) -> None:
        await self.send(h11.Data(data=f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()))

    async def chat(self, request: h11.Request) -> None:
        async for _ in self.body():
            pass
        websocket = WSConnection(ConnectionType.SERVER)
        try:
            websocket.initiate_upgrade_connection(list(request.headers), request.target)
        except WebSocketError:
            await self.answer(426, "text/plain", b"This is a WebSocket.\n", request)
            return
        await self.stream.send_all(websocket.send(ws_events.AcceptConnection()))
        data: bytes | None = bytes(self.http.trailing_data[0])
        while data is not None:
            websocket.receive_data(data)
            for event in websocket.events():
                if reply := reply_to(event):
                    await self.stream.send_all(websocket.send(reply))
            if websocket.state is ConnectionState.CLOSED:
                return
            data = bytes(await self.stream.receive_some()) or None

    async def answer(
        self, status: int, content_type: str, content: bytes, request: h11.Request
    ) -> None:
        headers = [
            ("Content-Type", content_type),
            ("Content-Length", str(len(content))),
            ("Cache-Control", "no-store"),
        ]
        await self.send(h11.Response(status_code=status, headers=headers))
        if request.method != b"HEAD":
            await self.send(h11.Data(data=content))
        await self.send(h11.EndOfMessage())

    async def body(self) -> AsyncIterator[bytes]:
        while self.http.their_state is h11.SEND_BODY:
            if isinstance(event := await self.next_event(), h11.Data):
                yield bytes(event.data)

    async def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            if self.http.they_are_waiting_for_100_continue:
                await self.send(h11.InformationalResponse(status_code=100, headers=[]))
            self.http.receive_data(bytes(await self.stream.receive_some(65536)))
        return event

    async def send(self, event: h11.Event) -> None:
        if data := self.http.send(event):
            await self.stream.send_all(data)


def a_payment(now: float) -> dict[str, str]:
    """A webhook of a payment: its body and the field that signs it."""
    event = {"type": "payment.succeeded", "created": int(now), "amount": 4200, "currency": "eur"}
    body = json.dumps(event)
    return {"body": body, "signature": f"t={int(now)},v1={signed(int(now), body.encode())}"}


def wall_time() -> float:
    return time.time()  # noqa: TID251  # that of the wall: who signs is another program


def signed(at: int, body: bytes) -> str:
    return hmac.new(HOOK_SECRET, b"%d.%b" % (at, body), hashlib.sha256).hexdigest()


def wrong_with(signature: str, body: bytes, now: float) -> str:
    """What is wrong with a signature; "": nothing."""
    parts = dict(part.partition("=")[::2] for part in signature.split(","))
    at = parts.get("t", "")
    if not (at.isascii() and at.isdecimal() and len(at) < 12):
        return "Stripe-Signature has no time"
    if not hmac.compare_digest(signed(int(at), body), parts.get("v1", "")):
        return "the signature is not that of this body"
    return "" if abs(now - int(at)) <= HOOK_MAX_AGE_S else "it was signed more than 5 minutes ago"


def reply_to(event: ws_events.Event) -> ws_events.Event | None:
    if isinstance(event, ws_events.Message):
        return type(event)(event.data, event.frame_finished, event.message_finished)
    if isinstance(event, ws_events.Ping | ws_events.CloseConnection):
        return event.response()
    return None


def page_edited() -> float:
    """When the page was saved; 0 in the moment in which an editor has it away."""
    try:
        return PAGE.stat().st_mtime
    except FileNotFoundError:
        return 0


async def serve_browser(stream: trio.abc.Stream) -> None:
    try:
        await Browser(stream).serve()
    except GONE:
        pass
    finally:
        await trio.aclose_forcefully(stream)


async def listen(port: int) -> list[trio.SocketListener]:
    """Listen on the port or on one of the next. SystemExit if none can be had."""
    for candidate in range(port, min(port + PORTS_TRIED, 65536)):
        try:
            return await trio.open_tcp_listeners(candidate, host="127.0.0.1")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SystemExit(f"demo app: port {candidate}: {error.strerror}") from None
    raise SystemExit(f"demo app: port {port} and the next {PORTS_TRIED} are taken")


async def serve(port: int) -> None:
    """Say where it listens, then serve until SIGINT or SIGTERM."""
    listeners = await listen(port)
    found = listeners[0].socket.getsockname()[1]
    taken = f" ({port} is taken)" if port not in (0, found) else ""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        print(f"demo app on http://127.0.0.1:{found}{taken}", flush=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(trio.serve_listeners, serve_browser, listeners))
            async for _ in signals:
                nursery.cancel_scope.cancel()


def main(argv: Sequence[str]) -> int:
    if len(argv) > 1 or (argv and not re.fullmatch(r"[0-9]{1,5}", argv[0])):
        print("usage: python examples/demo_app.py [PORT]", file=sys.stderr)
        return 2
    trio.run(serve, int(argv[0]) if argv else DEFAULT_PORT)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
