"""A session on a line, in virtual time: two real cores, a model of TCP under them, and visitors.

Each end does what protocol/drivers/attachment.py does, without tasks: it packs a message when the
kernel has taken the last one, and acknowledges in time. Bulk is an app, or a visitor, that always
has more; its reader takes what comes, at once or at a rate. Beside it a WebSocket echoes 32 bytes
ten times a second.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.events import Event, Opened, Readable
from protocol.mux.inflight import InFlight
from protocol.mux.streams import WEBSOCKET, Stream
from tests.protocol.mux.lines.tcp import SEGMENT_BYTES, UNSENT_BYTES, Tcp
from tests.protocol.mux.lines.timeline import Timeline
from tests.protocol.mux.lines.way import Way
from tests.protocol.mux.pair import GET, OK, SWITCHING, UPGRADE, post

_BLOCK: Final = bytes(64 * 1024)
_FRAMING_BYTES: Final = 8  # of a WebSocket message: 4 to the client, 8 from it
_ECHO: Final = b"k" * 32
_ECHO_EVERY_S: Final = 0.1
_WATCH_EVERY_S: Final = 1.0


class End:
    """One end of the session.

    Attributes:
        bulk: what each stream of bulk has brought to its reader here, in bytes.
        reader_bytes_per_s: how fast each of them reads.
        busy: whether the writers of bulk have more.
    """

    def __init__(self, core: Core, timeline: Timeline) -> None:
        self.core = core
        self.bulk: dict[int, int] = {}
        self.reader_bytes_per_s = math.inf
        self.busy = True
        self.on_echo: Callable[[int], None] | None = None  # with the number of those that came
        self.tcp: Tcp | None = None  # to the other end
        self.other = self
        self._timeline = timeline
        self._written = 0
        self._coming: deque[tuple[int, bytes]] = deque()  # each with the number of its last byte
        self._blocked = False
        self._ack_at = self._due_at = math.inf
        self._reading: set[int] = set()

    def __repr__(self) -> str:
        return f"<End {self.core!r} over {self.tcp!r}>"

    # --- sending ---

    def room(self) -> None:
        """The kernel takes more."""
        self._blocked = False
        self.flush()

    def flush(self) -> None:
        """Send while there is something and the kernel takes it."""
        assert self.tcp is not None
        core, now = self.core, self._timeline.now
        while not self._blocked:
            message = core.next_message(now)
            for stream in core.take_made_room():
                self.fill(stream)
            if not message:
                break
            size = len(message) + _FRAMING_BYTES
            self._written += size
            self.other._coming.append((self._written, message))  # the same class
            self._blocked = self.tcp.unsent_bytes + size >= UNSENT_BYTES
            self.tcp.write(size)
        if now < core.bulk_due_at < self._due_at:
            self._due_at = core.bulk_due_at
            self._timeline.at(self._due_at, self._paced)

    def _paced(self) -> None:
        self._due_at = math.inf
        self.flush()

    def fill(self, stream: Stream) -> None:
        """The writer of a stream of bulk has more, as long as it is busy."""
        while self.busy and self.core.room(stream) > 0:
            self.core.send_data(stream, _BLOCK)
        stream.sending.wants_room = self.busy

    def go_on(self) -> None:
        """The writers are busy again."""
        self.busy = True
        for stream in self.core.streams.values():
            if stream.opened.kind != WEBSOCKET:
                self.fill(stream)
        self.flush()

    def watch(self) -> None:
        """Ping when it is time, as the driver's watch does."""
        now = self._timeline.now
        assert self.core.check(now, now) is None
        self.flush()
        self._timeline.at(now + _WATCH_EVERY_S, self.watch)

    # --- receiving ---

    def came(self, total: int) -> None:
        """So many bytes have come in all."""
        now = self._timeline.now
        while self._coming and self._coming[0][0] <= total:
            for event in self.core.receive(self._coming.popleft()[1], now):
                self._happened(event)
        if now < self.core.ack_due_at < self._ack_at:
            self._ack_at = self.core.ack_due_at
            self._timeline.at(self._ack_at, self._ack)
        self.flush()

    def _ack(self) -> None:
        self._ack_at = math.inf
        self.flush()

    def _happened(self, event: Event) -> None:
        if isinstance(event, Opened):
            self._answer(event.stream)
        elif isinstance(event, Readable):
            self._read(event.stream)

    def _answer(self, stream: Stream) -> None:
        if stream.opened.kind == WEBSOCKET:
            self.core.send_head(stream, SWITCHING)
            return
        self.core.send_head(stream, OK)
        if stream.opened.body is None:
            self.fill(stream)

    def _read(self, stream: Stream) -> None:
        now = self._timeline.now
        while self.core.take_head(stream, now) is not None:
            pass
        if stream.opened.kind == WEBSOCKET:
            if data := self.core.take_data(stream, now):
                self._echo(stream, data)
        elif stream.id not in self._reading:
            self._read_bulk(stream)

    def _echo(self, stream: Stream, data: bytes) -> None:
        if self.on_echo is None:
            self.core.send_data(stream, data)
        else:
            self.on_echo(len(data) // len(_ECHO))  # small pieces are joined

    def _read_bulk(self, stream: Stream) -> None:
        self._reading.discard(stream.id)
        while data := self.core.take_data(stream, self._timeline.now):
            self.bulk[stream.id] = self.bulk.get(stream.id, 0) + len(data)
            took_s = len(data) / self.reader_bytes_per_s
            if took_s:
                self._reading.add(stream.id)
                self._timeline.at(self._timeline.now + took_s, self._go_on, stream)
                break

    def _go_on(self, stream: Stream) -> None:
        self._read_bulk(stream)
        self.flush()


class VirtualSession:
    """Runs until a time; then `echoes_s`, and `bulk` of each end, say how it went.

    Args:
        up: the way from the client to the server.
        down: the way back.
        downloads: streams of bulk to the server.
        uploads: streams of bulk to the client.
        rule: makes what decides, for each end, how much may be on its way.
        bulk_at_s: when they begin; the echo begins at once.
    """

    def __init__(
        self,
        timeline: Timeline,
        up: Way,
        down: Way,
        *,
        downloads: int = 0,
        uploads: int = 0,
        rule: Callable[[], InFlight] = InFlight,
        bulk_at_s: float = 0.5,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.timeline = timeline
        self.echoes_s: list[tuple[float, float]] = []  # when each was sent, and what it took
        self.server, self.client = (
            End(Core(is_server=is_server, heartbeat=Heartbeat(15, 30)), timeline)
            for is_server in (True, False)
        )
        self.up, self.down = (
            Tcp(timeline, there, back, sender.room, reader.came, segment_bytes)
            for there, back, sender, reader in (
                (up, down, self.client, self.server),
                (down, up, self.server, self.client),
            )
        )
        self.client.tcp, self.server.tcp = self.up, self.down
        self.client.other, self.server.other = self.server, self.client
        for end in (self.server, self.client):
            end.core.sent.in_flight = rule()
            timeline.at(0.0, end.watch)
        self._asked: deque[float] = deque()
        timeline.at(0.0, self._open_echo)
        timeline.at(bulk_at_s, self._open_bulk, downloads, uploads)

    def __repr__(self) -> str:
        return f"<VirtualSession {self.timeline!r} {self.up!r} {self.down!r}>"

    def _open_echo(self) -> None:
        self.server.on_echo = self._echoed
        self._ask(self.server.core.open(UPGRADE, self.timeline.now))
        self.server.flush()

    def _open_bulk(self, downloads: int, uploads: int) -> None:
        core, now = self.server.core, self.timeline.now
        for _ in range(downloads):
            core.open(GET, now)
        for _ in range(uploads):
            self.server.fill(core.open(post("chunked"), now))
        self.server.flush()

    def _ask(self, stream: Stream) -> None:
        now = self.timeline.now
        if stream.sending.state.name == "BODY":
            self._asked.append(now)
            self.server.core.send_data(stream, _ECHO)
            self.server.flush()
        self.timeline.at(now + _ECHO_EVERY_S, self._ask, stream)

    def _echoed(self, number: int) -> None:
        for _ in range(number):
            asked_at = self._asked.popleft()
            self.echoes_s.append((asked_at, self.timeline.now - asked_at))
