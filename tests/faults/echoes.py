"""WebSockets under a fault: numbered messages go out, the same must come back, in order, once."""

from __future__ import annotations

import struct
from random import Random

import h11
import trio
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Message

from tests.faults.exchanges import STUCK_S, Place, Rest
from tests.faults.ledger import FailedVisibly, Ledger
from tests.system.peer import UPGRADE, WsEvents, h11_event, trailing
from tests.system.visitor import Visitor

# A frame is cut into data frames of the tunnel (65,000 bytes) and messages (65,522); the largest
# here is in three of each.
FRAME_BYTES_MAX = 150_000
FRAGMENTS_MAX = 5
KEY = ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")

CLOSE_FRAME_BYTES_MAX = 127  # a control frame's (RFC 6455 5.5), and its header

Fragments = list[bytes]


def message(random: Random, number: int) -> Fragments:
    """A numbered message: small, or larger than a message of the tunnel, or in fragments."""
    kind = random.randrange(3)
    if kind == 0:
        parts = [random.randbytes(random.randrange(100))]
    elif kind == 1:
        parts = [random.randbytes(random.randrange(FRAME_BYTES_MAX))]
    else:
        sizes = [random.randrange(30_000) for _ in range(random.randrange(2, FRAGMENTS_MAX + 1))]
        parts = [random.randbytes(size) for size in sizes]
    return [struct.pack("!Q", number) + parts[0], *parts[1:]]


async def open_websocket(visitor: Visitor) -> Connection:
    """Ask for one; an error of the tunnel's own is a failure that is told."""
    version = ("Sec-WebSocket-Version", "13")
    await visitor.request("/ws", fields=[*UPGRADE, version, KEY])
    event = await h11_event(visitor.stream, visitor.connection)
    if isinstance(event, h11.Response):
        fields = {name.decode(): value.decode() for name, value in event.headers}
        assert "tunnel-error" in fields, event
        raise FailedVisibly(f"{event.status_code} {fields['tunnel-error']}")
    assert isinstance(event, h11.InformationalResponse), event
    assert event.status_code == 101, event
    return Connection(ConnectionType.CLIENT, trailing_data=trailing(visitor.connection))


class Tail(trio.abc.ReceiveStream):
    """A stream, and what came last on it."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._came = b""

    def __repr__(self) -> str:
        return f"<Tail {self._came!r}>"

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = bytes(await self._stream.receive_some(max_bytes))
        self._came = (self._came + data)[-CLOSE_FRAME_BYTES_MAX:]
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()

    def close_code(self) -> int | None:
        """Of a Close frame at the end. wsproto takes 1014, which is newer, for an error (1002)."""
        at = self._came.rfind(b"\x88")
        frame = self._came[at:] if at >= 0 else b""
        if len(frame) < 4 or len(frame) != 2 + frame[1]:
            return None
        return int.from_bytes(frame[2:4], "big")


class Talk:
    """Sends messages without waiting for those that are on their way back.

    Args:
        kind: for the ledger.
        pause_s: in the middle of each frame, so that the talk lasts and messages lie open.
        rest: waits before the last message.
    """

    def __init__(
        self,
        ledger: Ledger,
        visitor: Visitor,
        sent: list[Fragments],
        *,
        kind: str,
        pause_s: float = 0.0,
        rest: Rest = trio.lowlevel.checkpoint,
    ) -> None:
        self.ledger = ledger
        self.visitor = visitor
        self.sent = sent
        self.kind = kind
        self.pause_s = pause_s
        self.rest = rest
        self.answered = 0
        self._was_reset = False
        self._all_answered = trio.Event()

    def __repr__(self) -> str:
        return f"<Talk {self.answered} of {len(self.sent)}>"

    async def run(self) -> None:
        connection = await open_websocket(self.visitor)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, connection)
            await self._receive(connection)

    async def _send(self, connection: Connection) -> None:
        try:
            for number, fragments in enumerate(self.sent, start=1):
                if number == len(self.sent):
                    await self.rest()
                for at, data in enumerate(fragments):
                    last = at == len(fragments) - 1
                    frame = connection.send(Message(data=data, message_finished=last))
                    await self._send_frame(frame)
            await self._all_answered.wait()  # behind a Close no app has to answer
            await self.visitor.stream.send_all(connection.send(CloseConnection(code=1000)))
        except trio.BrokenResourceError:
            self._was_reset = True  # whoever receives says how it ended

    async def _send_frame(self, frame: bytes) -> None:
        """In two parts, so that a fault may find it half sent."""
        half = len(frame) // 2
        await self.visitor.stream.send_all(frame[:half])
        await trio.sleep(self.pause_s)
        await self.visitor.stream.send_all(frame[half:])

    async def _receive(self, connection: Connection) -> None:
        came = b""
        tail = Tail(self.visitor.stream)
        async for event in WsEvents(tail, connection):
            if isinstance(event, CloseConnection):
                return self._closed(tail.close_code())
            assert isinstance(event, Message), event
            came += bytes(event.data)
            if event.message_finished:
                self._take(came)
                came = b""
        # The kernel tells of a reset once: to whoever sends, if he is first.
        raise FailedVisibly("cut" if self._was_reset else "end without Close")

    def _take(self, came: bytes) -> None:
        assert self.answered < len(self.sent), "one more than was sent"
        expected = b"".join(self.sent[self.answered])
        assert came == expected, f"message {self.answered} is another: {came[:8].hex()}"
        self.answered += 1
        self.ledger.echoes += 1
        self.ledger.checked_bytes += len(came)
        self.ledger.moved(self.kind)
        if self.answered == len(self.sent):
            self._all_answered.set()

    def _closed(self, code: int | None) -> None:
        assert code is not None, f"{self!r}, and a frame that is illegal"
        if code != 1000:
            raise FailedVisibly(f"Close {code}")
        assert self.answered == len(self.sent), f"{self!r}, and a proper Close"


async def echo(
    place: Place,
    random: Random,
    *,
    count: int,
    pause_s: float,
    rest: Rest = trio.lowlevel.checkpoint,
) -> None:
    """A WebSocket with so many messages, which rests before the last of them."""
    sent = [message(random, number) for number in range(count)]
    with place.ledger.exchange("echo"), trio.fail_after(STUCK_S):
        async with place.visit() as visitor:
            talk = Talk(place.ledger, visitor, sent, kind="echo", pause_s=pause_s, rest=rest)
            await talk.run()


async def idle(place: Place, random: Random, *, rest: Rest, name: str = "app") -> None:
    """A WebSocket with one message, and another one much later; between frames meanwhile."""
    sent = [[random.randbytes(20)], [random.randbytes(20)]]
    with place.ledger.exchange("idle"), trio.fail_after(STUCK_S):
        async with place.visit(name) as visitor:
            await Talk(place.ledger, visitor, sent, kind="idle", rest=rest).run()
