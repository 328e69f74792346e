"""What is measured on a line: a plain connection, and a session with bulk and an echo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocol.mux.inflight import InFlight
from tests.protocol.mux.lines.session import VirtualSession
from tests.protocol.mux.lines.tcp import SEGMENT_BYTES, Tcp
from tests.protocol.mux.lines.timeline import Timeline
from tests.protocol.mux.lines.way import Way

BYTES_PER_MBIT = 125_000.0


@dataclass(frozen=True)
class Line:
    """As tests/tools/wan.py takes it, both ways alike; `Way` tells what each number means.

    A packet has `segment_bytes`: on loopback as many as the kernel hands over at a time.
    """

    rtt_ms: float
    mbit: float
    queue_ms: float = 100
    loss: float = 0.0
    jitter_ms: float = 0.0
    redraw_ms: float = 20
    stall_ms: float = 0.0
    segment_bytes: int = SEGMENT_BYTES

    def ways(self, timeline: Timeline, seed: int) -> tuple[Way, Way]:
        """Up and down, each with a weather of its own."""
        up, down = (
            Way(
                timeline,
                self.mbit * BYTES_PER_MBIT,
                self.rtt_ms / 2000,
                self.queue_ms / 1000,
                self.loss,
                self.jitter_ms / 1000,
                self.redraw_ms / 1000,
                self.stall_ms / 1000,
                seed=f"{seed} {way}",
            )
            for way in ("up", "down")
        )
        return up, down


def plain(line: Line, since_s: float, until_s: float, seed: int = 1) -> float:
    """The bytes a second of one TCP connection from home to edge."""
    timeline = Timeline()
    up, down = line.ways(timeline, seed)
    came = [0]

    def write() -> None:
        tcp.write(64 * 1024)

    def read(total: int) -> None:
        came[0] = total

    tcp = Tcp(timeline, up, down, write, read, line.segment_bytes)
    timeline.at(0.0, write)
    timeline.run(since_s)
    before = came[0]
    timeline.run(until_s)
    return (came[0] - before) / (until_s - since_s)


class Trial:
    """A session on a line.

    Attributes:
        session: runs on it.
        up: the ways of the line, which may be changed under way.
        down: see up.
    """

    def __init__(
        self,
        line: Line,
        *,
        downloads: int = 0,
        uploads: int = 0,
        rule: Callable[[], InFlight] = InFlight,
        seed: int = 1,
    ) -> None:
        self.timeline = Timeline()
        self.up, self.down = line.ways(self.timeline, seed)
        self.session = VirtualSession(
            self.timeline,
            self.up,
            self.down,
            downloads=downloads,
            uploads=uploads,
            rule=rule,
            segment_bytes=line.segment_bytes,
        )

    def __repr__(self) -> str:
        return f"<Trial {self.session!r}>"

    @property
    def rule(self) -> InFlight:
        """What decides for downloads."""
        return self.session.client.core.sent.in_flight

    @property
    def carried(self) -> int:
        """Bytes of bulk that were read so far, both ways."""
        ends = (self.session.server, self.session.client)
        return sum(sum(end.bulk.values()) for end in ends)

    def change(self, *, rtt_ms: float | None = None, mbit: float | None = None) -> None:
        """The line is another one from now on."""
        for way in (self.up, self.down):
            way.delay_s = way.delay_s if rtt_ms is None else rtt_ms / 2000
            way.bytes_per_s = way.bytes_per_s if mbit is None else mbit * BYTES_PER_MBIT

    def rate(self, until_s: float) -> float:
        """The bytes a second of bulk from now to then."""
        since_s, before = self.timeline.now, self.carried
        self.timeline.run(until_s)
        return (self.carried - before) / (until_s - since_s)

    def echo_s(self, since_s: float, share: float) -> float:
        """The time that this share of the echoes keeps to, of those asked for since then."""
        times = sorted(took for at, took in self.session.echoes_s if at >= since_s)
        return times[min(int(len(times) * share), len(times) - 1)]
