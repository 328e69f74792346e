"""Two cores joined in memory, under any program and any split of the work between them.

A model keeps what each half of each stream carried. What the other end's program took must be
that, whole and in order; or a beginning of it, and then the half is visibly reset or cut.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from hypothesis import given, strategies as st

from protocol.limits import (
    BUDGET_BYTES,
    CANCELLED_COST_BYTES,
    MESSAGE_MAX_BYTES,
    STREAM_WINDOW_MAX_BYTES,
    UNACKED_MAX_BYTES,
)
from protocol.mux.core import Core
from protocol.mux.events import Opened
from protocol.mux.messages import Open
from protocol.mux.streams import TRANSITIONS, HalfState, Item, Stream, may_switch
from tests.protocol.mux.pair import CONTINUE, GET, OK, SWITCHING, TO_TCP, UPGRADE, CorePair, post

CYCLE: Final = 251
PATTERN: Final = bytes(range(CYCLE)) * 300
STREAMS_MAX: Final = 6


def to_tcp(size: int) -> Open:
    return TO_TCP._replace(body=size)


class Half:
    """One half of a stream: who writes it, who reads it, and what passed."""

    def __init__(self, writer: Core, sent: Stream, reader: Core) -> None:
        self.writer, self.reader = writer, reader
        self.sent = sent
        self.came: Stream | None = None
        self.carried = self.taken = 0

    def write(self, size: int) -> None:
        sending = self.sent.sending
        size = min(size, max(self.writer.room(self.sent), 0))
        if sending.length.limit is not None:
            size = min(size, sending.length.limit - sending.length.carried)
        if (sending.state, Item.DATA) in TRANSITIONS:
            at = self.carried % CYCLE
            self.writer.send_data(self.sent, PATTERN[at : at + size])
            self.carried += size

    def end(self, now: float) -> None:
        sending = self.sent.sending
        if (sending.state, Item.END) in TRANSITIONS and sending.length.complete:
            self.writer.send_end(self.sent, ((b"T", b"x" * 100),) if int(now) % 2 else ())

    def read(self, now: float) -> bool:
        if self.came is None:
            return False
        self.reader.take_head(self.came, now)
        data = self.reader.take_data(self.came, now)
        at = self.taken % CYCLE
        assert data == PATTERN[at : at + len(data)]
        self.taken += len(data)
        return bool(data)

    def check_end(self) -> None:
        assert self.taken <= self.carried
        if self.came is None:
            return
        receiving = self.came.receiving
        assert receiving.state >= HalfState.ENDED
        if receiving.reset is None and not receiving.cut:
            assert receiving.state is HalfState.ENDED
            assert self.taken == self.carried
            if not self.sent.sending.length.complete:
                raise AssertionError("short, and nobody was told")


class World:
    """A pair of cores, the messages between them, and the model."""

    def __init__(self, pair: CorePair, lendable: int) -> None:
        self.pair = pair
        self.lendable = lendable
        for core in (pair.server, pair.client):
            core.budget._own = lendable
        self.ways = {
            True: (pair.server, pair.client, deque[bytes]()),
            False: (pair.client, pair.server, deque[bytes]()),
        }
        self.requests: dict[int, Half] = {}
        self.answers: dict[int, Half] = {}

    def do(self, action: str, server: bool, place: int, size: int) -> None:
        self.pair.now += 0.001
        if action == "open":
            self.open(place, size)
        elif action == "cut":
            self.cut()
        elif action in ("pack", "deliver"):
            getattr(self, action)(server)
        else:
            halves = self.requests if server else self.answers
            if half := halves.get(1 + place % max(len(halves), 1)):
                self.act(action, half, size)
        self.check()

    def cut(self) -> None:
        """The connection is lost with all that is on its way, and the session resumed."""
        server, client = self.pair.server, self.pair.client
        for _, _, wire in self.ways.values():
            wire.clear()
        had = client.received.count
        server.resume(had, self.pair.now)
        client.resume(server.received.count, self.pair.now)

    def open(self, place: int, size: int) -> None:
        if len(self.requests) == STREAMS_MAX:
            return
        kinds = (GET, UPGRADE, post("chunked"), post(size), post(0), TO_TCP, to_tcp(size))
        opened = kinds[place % len(kinds)]
        server, client = self.pair.server, self.pair.client
        stream = server.open(opened, self.pair.now)
        self.requests[stream.id] = Half(server, stream, client)

    def act(self, action: str, half: Half, size: int) -> None:
        if action == "write":
            half.write(size)
        elif action == "end":
            half.end(self.pair.now)
        elif action == "read":
            half.read(self.pair.now)
        elif action == "head":
            self.answer(half, size)
        elif action == "stop":
            half.writer.stop_sending(half.sent, "no-error")
        else:
            getattr(half.writer, action)(half.sent, "cancelled")

    def answer(self, half: Half, size: int) -> None:
        if half.sent.sending.state is not HalfState.HEADS:
            return
        switches = size % 2 and may_switch(half.sent.opened, half.sent.receiving)
        final = SWITCHING if switches else OK._replace(body=size if size % 3 else "chunked")
        if half.sent.sending.informational < 32:
            half.writer.send_head(half.sent, CONTINUE)
        half.writer.send_head(half.sent, final)

    def pack(self, server: bool) -> bool:
        sender, _, wire = self.ways[server]
        message = sender.next_message(self.pair.now)
        assert len(message) <= MESSAGE_MAX_BYTES
        if message:
            wire.append(message)
        return bool(message)

    def deliver(self, server: bool) -> bool:
        _, receiver, wire = self.ways[server]
        if not wire:
            return False
        for event in receiver.receive(wire.popleft(), self.pair.now):
            if isinstance(event, Opened):
                stream = event.stream
                request = self.requests[stream.id]
                request.came = stream
                answer = Half(self.pair.client, stream, self.pair.server)
                answer.came = request.sent
                self.answers[stream.id] = answer
        return True

    def check(self) -> None:
        for core in (self.pair.server, self.pair.client):
            ours = self.requests if core is self.pair.server else self.answers
            lent = [half.sent.receiving.window.lent for half in ours.values()]
            assert core.budget.free >= 0
            assert core.budget.free + sum(lent) == self.lendable
            assert all(amount <= STREAM_WINDOW_MAX_BYTES for amount in lent)
            assert core.sent.unacked_bytes <= UNACKED_MAX_BYTES
            unsent = [half.sent.sending.queue.unsent_bytes for half in ours.values()]
            cancelled = [
                CANCELLED_COST_BYTES + len(stream.opened.target)
                for stream in core.streams.values()
                if stream.cancelled
            ]
            held = sum(lent) + sum(unsent) + sum(cancelled) + core.sent.kept_bytes
            assert core.memory.held == held
        for half in (*self.requests.values(), *self.answers.values()):
            credit = half.sent.sending.queue.credit
            assert credit.sent <= credit.limit + 48 * 1024
            if half.came is not None:
                assert credit.limit <= half.came.receiving.window.granted

    def finish(self) -> None:
        """Everybody writes what is owed, reads all there is, and ends."""
        quiet = 0
        for _ in range(1000):
            self.pair.now += 1
            busy = False
            for server in (True, False):
                busy |= self.pack(server) | self.deliver(server)
            for half in (*self.requests.values(), *self.answers.values()):
                self.close(half)
                busy |= half.read(self.pair.now)
            quiet = 0 if busy else quiet + 1
            if quiet == 3:  # what one round queues, the next one packs
                return
        raise AssertionError("never done")

    def close(self, half: Half) -> None:
        length = half.sent.sending.length
        if half.sent.sending.state is HalfState.HEADS:
            half.writer.send_head(half.sent, OK)
        half.write(64 * 1024 if length.limit is not None else 0)
        half.end(self.pair.now)
        if half.sent.receiving.state is HalfState.RESET:
            half.writer.reset(half.sent, "cancelled")  # an upgrade that nobody will answer


ACTIONS: Final = "open head head write write write end read read reset stop cancel".split()
MOVES: Final = [*ACTIONS, *["pack"] * 4, *["deliver"] * 4]
SIZES: Final = st.sampled_from([0, 1, 100, 1000, 16_384, 65_000, 300_000, 10**6])
Step = tuple[str, bool, int, int]


def steps_of(moves: list[str]) -> st.SearchStrategy[list[Step]]:
    step = st.tuples(st.sampled_from(moves), st.booleans(), st.integers(0, 30), SIZES)
    return st.lists(step, min_size=20, max_size=150)


CREDITS: Final = st.sampled_from([0, 1, 1000, 16_384])
LENDABLE: Final = st.sampled_from([0, 100_000, BUDGET_BYTES // 2])


def run(steps: list[Step], body_credit: int, lendable: int) -> None:
    world = World(CorePair(body_credit=body_credit, max_streams=STREAMS_MAX), lendable)
    world.do("open", True, 2, 0)
    for step in steps:
        world.do(*step)
    world.finish()
    for core in (world.pair.server, world.pair.client):
        assert core.streams == {}
        assert core.sent.unacked_bytes == 0
    for half in (*world.requests.values(), *world.answers.values()):
        half.check_end()
    for half in (*world.requests.values(), *world.answers.values()):
        half.writer.cancel(half.sent, "cancelled")
    assert world.pair.server.budget.free == world.pair.client.budget.free == lendable


@given(steps_of(MOVES), CREDITS, LENDABLE)
def test_every_byte_arrives_in_order_or_the_half_is_visibly_reset(
    steps: list[Step], body_credit: int, lendable: int
) -> None:
    run(steps, body_credit, lendable)


@given(steps_of([*MOVES, "cut", "cut"]), CREDITS, LENDABLE)
def test_resumes_lose_nothing_and_double_nothing(
    steps: list[Step], body_credit: int, lendable: int
) -> None:
    run(steps, body_credit, lendable)
