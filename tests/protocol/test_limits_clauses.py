"""Tests at a limit name it; that the limits are the decided numbers is said here alone."""

from __future__ import annotations

from protocol import limits

KIB, MIB = 1024, 1024 * 1024


def test_wire_limits_are_those_that_were_decided() -> None:
    assert limits.MESSAGE_MAX_BYTES == 65_522
    assert limits.BYTES_BETWEEN_MESSAGES_MAX == 128 * KIB
    assert limits.WEBSOCKET_FRAMES_A_MESSAGE_MAX == 256
    assert limits.MESSAGE_TIMEOUT_S == 120
    assert limits.FRAME_BODY_MAX_BYTES == 65_000
    assert limits.HEAD_BODY_MAX_BYTES == 48 * KIB
    assert limits.INFORMATIONAL_HEADS_MAX == 32
    assert limits.HEADS_OVERDRAFT_MAX_BYTES == 28 * KIB
    assert limits.TRAILERS_KEPT_MAX_BYTES == 12 * KIB
    assert limits.STREAMS_MAX == 1_024


def test_credit_is_what_was_decided() -> None:
    assert limits.BUDGET_BYTES == 32 * MIB
    assert limits.FIRST_CREDIT_BYTES == 16 * KIB
    assert limits.STREAMS_MAX * limits.FIRST_CREDIT_BYTES == limits.BUDGET_BYTES // 2
    assert limits.START_WINDOW_BYTES == 256 * KIB
    assert limits.STREAM_WINDOW_MAX_BYTES == 8 * MIB == limits.BUDGET_BYTES // 4


def test_sending_is_bounded_as_was_decided() -> None:
    assert limits.STREAM_UNSENT_MAX_BYTES == 64 * KIB
    assert limits.TURN_BYTES == 16 * KIB
    assert limits.WAKING_TURNS_MAX == 8
    assert limits.UNACKED_MAX_BYTES == 16 * MIB
    assert limits.UNACKED_BULK_MAX_BYTES < limits.UNACKED_MAX_BYTES
    assert (limits.ACK_AFTER_MESSAGES, limits.ACK_DELAY_S) == (2, 0.005)
    assert limits.PINGS_PER_SECOND_MAX == 10


def test_times_of_a_session_are_those_that_were_decided() -> None:
    assert (limits.PING_INTERVAL_S, limits.TIMEOUT_S) == (15, 30)
    assert limits.ACCEPT_TIMEOUT_S == 5
