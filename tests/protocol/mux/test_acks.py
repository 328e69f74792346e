from __future__ import annotations

import math

import pytest

from protocol.errors import RemoteProtocolError
from protocol.limits import ACK_DELAY_S
from protocol.mux.acks import ReceivedFrames, SentFrames


def test_bytes_are_unacked_until_all_of_their_message_is() -> None:
    sent = SentFrames()
    sent.packed(2, 100, 0.0)
    sent.packed(1, 50, 0.0)
    assert (sent.count, sent.unacked_bytes) == (3, 150)
    sent.acknowledge(1, 0.0)
    assert sent.unacked_bytes == 150
    sent.acknowledge(2, 0.0)
    assert sent.unacked_bytes == 50
    sent.acknowledge(3, 0.0)
    assert sent.unacked_bytes == 0


def test_ack_of_more_than_was_sent_or_less_than_before_is_refused() -> None:
    sent = SentFrames()
    sent.packed(5, 100, 0.0)
    sent.acknowledge(3, 0.0)
    sent.acknowledge(3, 0.0)
    for count in (2, 6):
        with pytest.raises(RemoteProtocolError, match=f"an ack of {count}"):
            sent.acknowledge(count, 0.0)
    sent.acknowledge(5, 0.0)


def test_stall_counts_from_the_last_progress_and_not_while_nothing_waits() -> None:
    sent = SentFrames()
    assert sent.stalled_s(1000.0) == 0
    sent.packed(1, 10, 1000.0)
    sent.packed(1, 10, 1005.0)
    assert sent.stalled_s(1010.0) == 10
    sent.acknowledge(1, 1010.0)
    assert sent.stalled_s(1012.0) == 2
    sent.acknowledge(1, 1012.0)  # no progress
    assert sent.stalled_s(1013.0) == 3
    sent.acknowledge(2, 1013.0)
    assert sent.stalled_s(2000.0) == 0
    sent.packed(1, 10, 2000.0)
    assert sent.stalled_s(2001.0) == 1


def test_ack_is_due_after_5_ms_or_two_messages() -> None:
    received = ReceivedFrames()
    assert (received.due_at, received.news) == (math.inf, False)
    received.received(3, 10.0)
    assert received.due_at == 10.0 + ACK_DELAY_S
    assert received.news
    received.received(1, 10.001)
    assert received.due_at == -math.inf
    assert received.report() == 4
    assert (received.due_at, received.news) == (math.inf, False)
    received.received(1, 20.0)
    assert received.due_at == 20.0 + ACK_DELAY_S
    assert received.report() == 5
