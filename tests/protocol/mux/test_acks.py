from __future__ import annotations

import math

import pytest

from protocol.errors import RemoteProtocolError
from protocol.limits import ACK_DELAY_S, MESSAGE_MAX_BYTES
from protocol.mux.acks import ReceivedFrames, SentFrames
from protocol.mux.inflight import InFlight
from protocol.mux.wire import FrameType, frame


def test_bytes_are_unacked_until_all_of_their_message_is() -> None:
    sent = SentFrames()
    sent.packed(2, 100, b"", 0.0)
    sent.packed(1, 50, b"", 0.0)
    assert (sent.count, sent.unacked_bytes) == (3, 150)
    sent.acknowledge(1, 0.0)
    assert sent.unacked_bytes == 150
    sent.acknowledge(2, 0.0)
    assert sent.unacked_bytes == 50
    sent.acknowledge(3, 0.0)
    assert sent.unacked_bytes == 0


def test_ack_of_more_than_was_sent_or_less_than_before_is_refused() -> None:
    sent = SentFrames()
    sent.packed(5, 100, b"", 0.0)
    sent.acknowledge(3, 0.0)
    sent.acknowledge(3, 0.0)
    for count in (2, 6):
        with pytest.raises(RemoteProtocolError, match=f"an ack of {count}"):
            sent.acknowledge(count, 0.0)
    sent.acknowledge(5, 0.0)


def test_stall_counts_from_the_last_progress_and_not_while_nothing_waits() -> None:
    sent = SentFrames()
    assert sent.stalled_s(1000.0) == 0
    sent.packed(1, 10, b"", 1000.0)
    sent.packed(1, 10, b"", 1005.0)
    assert sent.stalled_s(1010.0) == 10
    sent.acknowledge(1, 1010.0)
    assert sent.stalled_s(1012.0) == 2
    sent.acknowledge(1, 1012.0)  # no progress
    assert sent.stalled_s(1013.0) == 3
    sent.acknowledge(2, 1013.0)
    assert sent.stalled_s(2000.0) == 0
    sent.packed(1, 10, b"", 2000.0)
    assert sent.stalled_s(2001.0) == 1


def test_ack_is_due_after_5_ms_or_two_messages() -> None:
    received = ReceivedFrames()
    assert (received.due_at, received.ack_pending) == (math.inf, False)
    received.received(3, 10.0)
    assert received.due_at == 10.0 + ACK_DELAY_S
    assert received.ack_pending
    received.received(1, 10.001)
    assert received.due_at == -math.inf
    assert received.take_ack() == 4
    assert (received.due_at, received.ack_pending) == (math.inf, False)
    received.received(1, 20.0)
    assert received.due_at == 20.0 + ACK_DELAY_S
    assert received.take_ack() == 5


def data(number: int) -> bytes:
    return frame(FrameType.DATA, 1, b"%d" % number)


CREDIT = frame(FrameType.CREDIT, 1, b"\x05")


def sent_three() -> SentFrames:
    """Frames 1 and 2 in one message, with a credit; 3 in the next."""
    sent = SentFrames()
    sent.packed(2, 26, CREDIT + data(1) + data(2), 0.0)
    sent.packed(1, 13, data(3), 0.0)
    return sent


def again(sent: SentFrames) -> list[bytes]:
    messages = []
    while sent.must_retransmit:
        messages.append(sent.retransmit(MESSAGE_MAX_BYTES, 1.0))
    return messages


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (0, [data(1) + data(2), data(3)]),
        (1, [data(2), data(3)]),
        (2, [data(3)]),
        (3, []),
    ],
)
def test_what_was_not_received_goes_again_and_nothing_that_is_not_counted(
    received: int, expected: list[bytes]
) -> None:
    sent = sent_three()
    sent.resume(received, 1.0)
    assert again(sent) == expected
    assert sent.count == 3
    sent.acknowledge(3, 1.0)
    assert sent.unacked_bytes == sent.in_flight.unacked_bytes == 0


def test_what_goes_again_may_be_lost_again() -> None:
    sent = sent_three()
    sent.resume(0, 1.0)
    sent.retransmit(MESSAGE_MAX_BYTES, 1.0)
    sent.resume(1, 2.0)
    assert again(sent) == [data(2), data(3)]


def test_what_has_not_gone_again_is_not_acknowledged() -> None:
    sent = sent_three()
    sent.resume(0, 1.0)
    with pytest.raises(RemoteProtocolError, match="an ack of 1, between 0 and 0"):
        sent.acknowledge(1, 1.0)
    sent.retransmit(MESSAGE_MAX_BYTES, 1.0)
    sent.acknowledge(2, 1.0)
    with pytest.raises(RemoteProtocolError, match="an ack of 3, between 2 and 2"):
        sent.acknowledge(3, 1.0)


def test_resume_with_a_count_that_cannot_be_changes_nothing() -> None:
    sent = sent_three()
    sent.acknowledge(2, 0.0)
    for received in (1, 4):
        with pytest.raises(RemoteProtocolError):
            sent.resume(received, 1.0)
    assert (sent.must_retransmit, sent.acked) == (False, 2)
    sent.acknowledge(3, 0.0)


def test_what_goes_again_waits_for_room_in_the_message_and_on_the_line() -> None:
    sent = sent_three()
    sent.resume(0, 1.0)
    whole = len(data(1) + data(2))
    assert sent.retransmit(whole - 1, 1.0) == b""
    assert sent.retransmit(whole, 1.0) == data(1) + data(2)
    full = type("Full", (InFlight,), {"may_go": lambda self, now: False})()
    sent.in_flight = full
    assert sent.retransmit(MESSAGE_MAX_BYTES, 1.0) == b""
    assert sent.must_retransmit


def test_a_resume_is_progress() -> None:
    sent = sent_three()
    sent.resume(0, 40.0)
    assert sent.stalled_s(41.0) == 1


def test_what_a_message_carried_beside_is_kept_memory_until_it_goes_again() -> None:
    """A thousand credits go with the first frame after each resume; nobody acknowledges them."""
    data = frame(FrameType.DATA, 1, b"x")
    sent = SentFrames()
    sent.packed(1, len(data), frame(FrameType.CREDIT, 1, b"\1") * 1_000 + data, 0.0)
    whole = sent.kept_bytes
    assert whole > 4_000
    for _ in range(3):
        sent.resume(0, 0.0)
        assert sent.retransmit(MESSAGE_MAX_BYTES, 0.0) == data
        assert sent.kept_bytes < 400
    sent.acknowledge(1, 0.0)
    assert sent.kept_bytes == 0
