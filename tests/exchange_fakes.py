"""For the tests of what is made of kept exchanges: one that a real store has sorted."""

from __future__ import annotations

from typing import Literal

from protocol.http.fields import BodyForm, Fields
from tests.inspector_fakes import EPOCH, MIB
from tests.memory_streams import MemoryStream, an_open
from tunnel_client.inspector.capture.exchange import KeptExchange
from tunnel_client.inspector.capture.snapshot import ExchangeSnapshot, snapshot_of
from tunnel_client.inspector.capture.store import CaptureStore

KEY = b"k" * 16
TICK_S = 0.001


class TickingClock:
    """A clock that goes on by a millisecond each time it is looked at."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def __call__(self) -> float:
        self.at_s += TICK_S
        return self.at_s

    def now(self) -> float:
        """The same in seconds since the epoch, without going on."""
        return EPOCH + self.at_s + TICK_S


def a_store(memory_bytes: int = 16 * MIB) -> CaptureStore:
    clock = TickingClock()
    return CaptureStore(memory_bytes=memory_bytes, clock=clock, now=clock.now)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


def a_head(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([line, *fields, b"", b""])


async def kept_exchange(
    asked: bytes | None,
    posted: bytes = b"",
    head: bytes | None = OK,
    answered: bytes = b"ok",
    *,
    kind: Literal["http", "websocket", "upgrade"] = "http",
    trailers: Fields = (),
    error: str | None = None,
    store: CaptureStore | None = None,
) -> KeptExchange:
    """An exchange that is over: these heads, and what came behind them."""
    store = store or a_store()
    form: BodyForm = len(posted) if posted else None
    method, target = (asked or b"GET / HTTP/1.1").split(b" ")[:2]
    opened = an_open(kind, method, form)._replace(target=target)
    tap = store.tap_for(MemoryStream(opened))
    assert tap is not None
    if asked is not None:
        tap.asked(asked)
        for at in range(0, len(posted), 64 * 1024):
            tap.body_in(posted[at : at + 64 * 1024])
        if trailers:
            tap.request_trailers(trailers)
        tap.request_sent()
    if head is not None:
        tap.head(head)
        for at in range(0, len(answered), 64 * 1024):
            tap.body_out(answered[at : at + 64 * 1024])
    tap.ended(error)
    await store.sort()
    exchange = store.get(tap.number)
    assert exchange is not None
    return exchange


async def a_snapshot(asked: bytes | None, posted: bytes = b"") -> ExchangeSnapshot:
    return snapshot_of(await kept_exchange(asked, posted))
