"""A session whose peer acknowledges as it likes, and grants whatever it likes.

However it does, no more than the bound is unacknowledged, and a request is not held up by the bulk
that waits. The peer is written by hand: nothing limits what it says.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from protocol.limits import (
    FIRST_CREDIT_BYTES,
    MESSAGE_COST_BYTES,
    MESSAGE_MAX_BYTES,
    MIB,
    STREAM_UNSENT_MAX_BYTES,
    UNACKED_BULK_MAX_BYTES,
)
from protocol.mux import acks
from protocol.mux.codec import pack
from protocol.mux.streams import Stream
from protocol.mux.wire import COUNTED, FrameType, frame, split_message
from tests.protocol.mux.pair import GET, OK, CorePair, EndlessLine, post

ENDLESS = 2**53
STEP_S = 0.01
STREAMS = 300  # whose queues hold more than may be unacknowledged
DATA = bytes(STREAM_UNSENT_MAX_BYTES)
BULK_MAX_BYTES = UNACKED_BULK_MAX_BYTES + MESSAGE_MAX_BYTES + MESSAGE_COST_BYTES


class GreedyPeer:
    """Takes whatever the server sends, on streams that it granted without limit.

    Attributes:
        now: the time of both.
        received: counted frames that came.
        most_bytes: the most that was kept because it was not acknowledged.
    """

    def __init__(self) -> None:
        self.core = CorePair().server
        self.now = 0.0
        self.received = 0
        self.most_bytes = 0
        self.streams = [self._upload() for _ in range(STREAMS)]
        self.take()
        self.acknowledge()

    def _upload(self) -> Stream:
        stream = self.core.open(post("chunked"), 0.0)
        self.take()
        self.core.receive(frame(FrameType.CREDIT, stream.id, pack(ENDLESS)), 0.0)
        return stream

    def take(self) -> set[int]:
        """Receive all that may leave now; the streams that were served."""
        served: set[int] = set()
        while streams := self.take_one():
            served |= streams
        return served

    def take_one(self) -> set[int]:
        """Receive one message; the streams of its frames."""
        message = self.core.next_message(self.now)
        self.most_bytes = max(self.most_bytes, self.core.sent.kept_bytes)
        frames = split_message(message) if message else []
        self.received += sum(said[0] in COUNTED for said in frames)
        return {stream_id for _, stream_id, _ in frames}

    def acknowledge(self) -> None:
        """All that came."""
        if self.received > self.core.sent.acked:
            self.core.receive(frame(FrameType.ACK, 0, pack(self.received)), self.now)

    def steps(self, seconds: float) -> Iterator[int]:
        """Fill the queues, let a step of time pass, take what leaves; its number."""
        for number in range(round(seconds / STEP_S)):
            for stream in self.streams:
                if room := self.core.room(stream):
                    self.core.send_data(stream, DATA[:room])
            self.take()
            self.now += STEP_S
            yield number

    def request_leaves_next(self) -> bool:
        """Whether a new request is in the next message, before all bulk that waits."""
        stream = self.core.open(GET, self.now)
        return stream.id in self.take_one()


def test_a_peer_that_acknowledges_at_once_is_held_to_the_bound() -> None:
    peer = GreedyPeer()
    for _ in peer.steps(0.1):
        peer.acknowledge()
        assert peer.request_leaves_next()
    assert 0 < peer.most_bytes <= BULK_MAX_BYTES


def test_a_peer_that_acknowledges_each_message_by_itself_gets_no_more() -> None:
    peer = GreedyPeer()
    for _ in peer.steps(0.05):
        for _ in range(20):
            peer.acknowledge()
            peer.take()
    assert 0 < peer.most_bytes <= BULK_MAX_BYTES


def test_a_peer_that_acknowledges_once_a_second_gets_its_bursts_and_no_more() -> None:
    peer = GreedyPeer()
    for number in peer.steps(10):
        if number % 100 == 99:
            peer.acknowledge()
            assert peer.request_leaves_next()
        assert peer.core.check(peer.now, peer.now) is None
    assert peer.most_bytes > UNACKED_BULK_MAX_BYTES / 2
    assert peer.most_bytes <= BULK_MAX_BYTES


def test_a_peer_that_never_acknowledges_gets_15_mib_then_requests_then_its_end() -> None:
    peer = GreedyPeer()
    for _ in peer.steps(1):
        pass
    assert UNACKED_BULK_MAX_BYTES <= peer.most_bytes <= BULK_MAX_BYTES
    assert not peer.take()
    assert peer.request_leaves_next()
    assert peer.core.check(30.0, 30.0) is None
    assert peer.core.check(30.1, 30.1) == "nothing was acknowledged for 30 s"


def test_single_bytes_to_a_peer_that_never_acknowledges_are_joined_at_16_mib(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is a message, which costs more than its byte; a million of them would be kept."""
    cost_bytes = 10 * MESSAGE_COST_BYTES  # for a test in a tenth of the time
    monkeypatch.setattr(acks, "MESSAGE_COST_BYTES", cost_bytes)
    peer = GreedyPeer()
    stream = peer.streams[0]
    sent = 0
    while peer.core.sent.kept_bytes < UNACKED_BULK_MAX_BYTES and sent < 10_000:
        peer.core.send_data(stream, b"x")
        peer.take()
        sent += 1
    messages = UNACKED_BULK_MAX_BYTES // cost_bytes
    assert 0.9 * messages < sent <= messages
    peer.take()
    messages = 0
    for _ in range(1000):
        peer.core.send_data(stream, b"x")
        messages += bool(peer.take_one())
    assert messages <= 1
    left = STREAM_UNSENT_MAX_BYTES - peer.core.room(stream)
    assert left >= 999  # all of the stream's turn; the first may have been awake
    peer.acknowledge()
    peer.take()
    assert peer.core.room(stream) == STREAM_UNSENT_MAX_BYTES


def test_a_peer_that_ends_late_at_each_credit_has_16_mib_and_no_more() -> None:
    """It gives each window the best reason to grow; then nobody reads any more."""
    pair = CorePair()
    pair.client.sent.in_flight = EndlessLine()
    lendable = pair.server.budget.free
    downloads = [pair.open() for _ in range(40)]
    for _, answering in downloads:
        pair.client.send_head(answering, OK)
    pair.settle()
    for stream, _ in downloads:
        pair.server.take_head(stream, pair.now)
    for _ in range(12):
        send_to_the_end_of_credit(pair, [answering for _, answering in downloads])
        for stream, _ in downloads:
            pair.read_all(pair.server, stream)
        pair.now += 0.1
    send_to_the_end_of_credit(pair, [answering for _, answering in downloads])
    assert lendable == 16 * MIB
    held = [
        stream.receiving.window.received - stream.receiving.window.consumed
        for stream, _ in downloads
    ]
    assert sum(held) <= 16 * MIB + len(held) * FIRST_CREDIT_BYTES
    assert 0 <= pair.server.budget.free <= MIB


def send_to_the_end_of_credit(pair: CorePair, streams: list[Stream]) -> None:
    sent = -1
    while sent != pair.client.sent.count:
        sent = pair.client.sent.count
        for stream in streams:
            pair.client.send_data(stream, DATA[: pair.client.room(stream)])
        pair.to_server()
        pair.to_client()
