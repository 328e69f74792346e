from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from protocol.limits import (
    CANCELLED_COST_BYTES,
    FIRST_CREDIT_BYTES,
    KIB,
    STREAM_UNSENT_MAX_BYTES,
    STREAM_UNSENT_MIN_BYTES,
)
from protocol.mux.codec import pack_code
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.memory import OWN_BYTES, Memory
from protocol.mux.wire import FrameType, frame
from tests.protocol.mux.pair import GET, post


class Budget:
    """A lender with so many bytes, and nobody else."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.plenty = size // 2
        self.taken = 0

    @property
    def pool(self) -> Budget:
        return self

    @property
    def is_tight(self) -> bool:
        return 2 * self.taken >= self.size

    @property
    def free(self) -> int:
        return max(self.size - self.taken, 0)

    def take(self, memory: Memory, size: int) -> None:
        self.taken += size


def test_what_is_its_own_is_asked_of_nobody_and_what_is_more_is_taken_until_it_is_trimmed() -> None:
    pool = Budget(1000 * KIB)
    memory = Memory(pool)
    memory.add(OWN_BYTES)
    assert pool.taken == 0
    memory.add(1)
    assert pool.taken == 128 * KIB
    assert memory.free == 500 * KIB + 128 * KIB - 1
    memory.add(-1)
    assert pool.taken == 128 * KIB  # one that comes and goes is not told each time
    memory.settle()
    assert (pool.taken, memory.is_lent) == (0, False)


def test_without_a_connection_nothing_is_its_own() -> None:
    pool = Budget(1000 * KIB)
    memory = Memory(pool)
    memory.add(OWN_BYTES)
    memory.own(0)
    assert pool.taken == OWN_BYTES
    memory.add(-1000)
    memory.settle()
    assert pool.taken == OWN_BYTES - 1000
    memory.own(OWN_BYTES)
    assert pool.taken == 0
    memory.add(1000)
    assert pool.taken == 0


def test_what_is_held_is_counted_though_there_was_no_room() -> None:
    pool = Budget(0)
    memory = Memory(pool)
    memory.add(OWN_BYTES + 300 * KIB)
    assert (memory.free, pool.taken) == (0, 300 * KIB)
    assert memory.is_short
    memory.close()
    assert pool.taken == 0
    memory.add(10**9)  # a stream that ends later tells nobody
    memory.settle()
    assert pool.taken == 0


def test_a_client_has_enough() -> None:
    memory = Memory()
    memory.add(10**9)
    assert memory.free > 10**9
    assert repr(memory) == "<Memory 1000000000 bytes, 0 of them lent>"


@given(st.lists(st.integers(-300, 300), max_size=60))
def test_what_is_taken_follows_what_is_held(changes: list[int]) -> None:
    pool = Budget(10**9)
    memory = Memory(pool)
    for number, change in enumerate(changes):
        memory.add(max(change * KIB, -memory.held))
        beyond = max(memory.held - OWN_BYTES, 0)
        assert pool.taken >= beyond
        if number % 3 == 0:
            memory.settle()
            assert pool.taken < beyond + 128 * KIB
    memory.add(-memory.held)
    memory.settle()
    assert pool.taken == 0


@pytest.mark.parametrize("size", [0, 10**9])
def test_where_memory_is_short_windows_are_their_first_and_writers_wait_after_little(
    size: int,
) -> None:
    core = Core(is_server=True, heartbeat=Heartbeat(15, 30), lender=Budget(size))
    core.memory.add(OWN_BYTES)
    stream = core.open(GET, 0.0)
    upload = core.open(post("chunked"), 0.0)
    if size:
        assert stream.opened.credit > FIRST_CREDIT_BYTES
        room = STREAM_UNSENT_MAX_BYTES
    else:
        assert stream.opened.credit == FIRST_CREDIT_BYTES
        room = STREAM_UNSENT_MIN_BYTES
    head = upload.sending.queue.unsent_bytes
    assert core.room(upload) == room - head
    core.send_data(upload, bytes(room - head))
    assert core.room(upload) == 0


def test_where_memory_is_short_what_is_not_acknowledged_stays_the_sessions_own() -> None:
    core = Core(
        is_server=True, heartbeat=Heartbeat(15, 30), body_credit=2**40, lender=Budget(100 * KIB)
    )
    streams = [core.open(post("chunked"), 0.0) for _ in range(20)]
    for _ in range(200):
        for stream in streams:
            if (room := core.room(stream)) > 0:
                core.send_data(stream, bytes(min(room, 1000)))
        while core.next_message(0.0):
            pass
    assert core.memory.is_short
    assert core.sent.kept_bytes <= OWN_BYTES + 128 * KIB
    assert core.memory.held <= OWN_BYTES + 300 * KIB


def test_where_memory_is_short_a_head_that_is_larger_than_what_is_its_own_goes_alone() -> None:
    core = Core(is_server=True, heartbeat=Heartbeat(15, 30), lender=Budget(0))
    large = GET._replace(fields=((b"X", bytes(OWN_BYTES + 8 * KIB)),))
    for _ in range(2):
        core.open(large, 0.0)
    sizes = []
    while message := core.next_message(0.0):
        sizes.append(len(message))
    assert len(sizes) == 1
    core.sent.acknowledge(core.sent.count, 0.0)
    assert len(core.next_message(0.0)) == sizes[0] > OWN_BYTES


def test_streams_that_the_peer_keeps_cost_memory_and_where_it_is_short_no_more_open() -> None:
    lender = Budget(200 * KIB)
    core = Core(is_server=True, heartbeat=Heartbeat(15, 30), lender=lender)

    def ended() -> int:
        """The id of a stream that was opened, sent and cancelled."""
        stream = core.open(GET, 0.0)
        while core.next_message(0.0):
            core.sent.acknowledge(core.sent.count, 0.0)
        core.cancel(stream, "cancelled")
        core.cancel(stream, "cancelled")
        while core.next_message(0.0):
            core.sent.acknowledge(core.sent.count, 0.0)
        return stream.id

    cost = CANCELLED_COST_BYTES + len(GET.target)
    ids = [ended()]
    assert core.memory.held == cost
    while core.has_room:
        ids.append(ended())
    assert core.memory.is_short
    assert len(ids) - 1 <= (OWN_BYTES + lender.size) / cost < len(ids) + 10
    for number, stream_id in enumerate(ids, start=1):
        core.receive(frame(FrameType.RESET, stream_id, pack_code("cancelled")), 1.0)
        assert core.memory.held == (len(ids) - number) * cost
    core.memory.settle()
    assert lender.taken == 0
    assert ended() == len(ids) + 1


def test_streams_that_are_not_let_go_may_have_what_is_the_sessions_own() -> None:
    core = Core(is_server=True, heartbeat=Heartbeat(15, 30), lender=Budget(0))
    cost = CANCELLED_COST_BYTES + len(GET.target)
    has_room = []
    for _ in range(OWN_BYTES // cost + 1):
        stream = core.open(GET, 0.0)
        core.next_message(0.0)
        core.cancel(stream, "cancelled")
        has_room.append(core.has_room)
    assert has_room == [True] * (OWN_BYTES // cost) + [False]
