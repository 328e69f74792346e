"""Two cores joined in memory, and the messages that most tests say with them."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from protocol.http.fields import BodyForm
from protocol.limits import FIRST_CREDIT_BYTES, MESSAGE_MAX_BYTES, STREAMS_MAX
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.events import Event, Opened
from protocol.mux.inflight import InFlight
from protocol.mux.messages import Claim, Head, Open
from protocol.mux.streams import Stream
from protocol.mux.wire import FrameType, split_message

FIELDS: Final = ((b"Host", b"app.example"), (b"X-Twice", b"1"), (b"x-twice", b"2"))
GET: Final = Open(
    "http", 1, b"GET", b"/", b"1.1", FIELDS, None, "http", "app.example", "192.0.2.1", 0
)
UPGRADE: Final = GET._replace(kind="websocket")
TO_TCP: Final = GET._replace(kind="upgrade", method=b"POST", body="chunked", upgrade=b"tcp")
OK: Final = Head(200, b"OK", ((b"Content-Type", b"text/plain"),), "chunked")
CONTINUE: Final = Head(100, b"Continue", (), None)
SWITCHING: Final = Head(101, b"Switching Protocols", ((b"Upgrade", b"websocket"),), None)
CLAIM: Final = Claim(1, "app", b"i" * 16, True, {}, "")


def post(body: BodyForm) -> Open:
    return GET._replace(method=b"POST", body=body)


class Said(NamedTuple):
    """A frame with names."""

    kind: int
    stream_id: int
    body: bytes


def frames_of(message: bytes) -> list[Said]:
    """Of no message, none."""
    return [Said(*frame) for frame in split_message(message)] if message else []


def kinds_of(message: bytes) -> list[FrameType]:
    return [FrameType(frame.kind) for frame in frames_of(message)]


class EndlessLine(InFlight):
    """Carries whatever there is, in messages as long as they may be."""

    cap_bytes = math.inf
    message_bytes = MESSAGE_MAX_BYTES


class CorePair:
    """A server's core and a client's. Time stands still unless a test moves `now`."""

    def __init__(
        self, *, max_streams: int = STREAMS_MAX, body_credit: int = FIRST_CREDIT_BYTES
    ) -> None:
        self.now = 0.0
        self.server, self.client = (
            Core(
                is_server=is_server,
                heartbeat=Heartbeat(15, 30),
                max_streams=max_streams,
                body_credit=body_credit,
            )
            for is_server in (True, False)
        )

    def to_client(self) -> list[Event]:
        return self._carry(self.server, self.client)

    def to_server(self) -> list[Event]:
        return self._carry(self.client, self.server)

    def _carry(self, sender: Core, receiver: Core) -> list[Event]:
        events: list[Event] = []
        while message := sender.next_message(self.now):
            events += receiver.receive(message, self.now)
        return events

    def settle(self) -> None:
        """Until neither has anything to say, acknowledgements included."""
        while True:
            self.now += 1
            sent = (self.server.received.count, self.client.received.count)
            self.to_client()
            self.to_server()
            self.now += 1
            self.to_client()
            self.to_server()
            if sent == (self.server.received.count, self.client.received.count):
                return

    def open(self, opened: Open = GET) -> tuple[Stream, Stream]:
        """A stream, as the server has it and as the client has it."""
        stream = self.server.open(opened, self.now)
        for event in self.to_client():
            if isinstance(event, Opened):
                return stream, event.stream
        raise AssertionError("the stream did not open")

    def read_all(self, core: Core, stream: Stream) -> bytes:
        parts = []
        while data := core.take_data(stream, self.now):
            parts.append(data)
        return b"".join(parts)
