"""What may come before the next whole message, at each limit and one past it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from protocol.limits import (
    BYTES_BEFORE_HELLO_MAX,
    BYTES_BETWEEN_MESSAGES_MAX,
    MESSAGE_TIMEOUT_S,
    WEBSOCKET_FRAMES_A_MESSAGE_MAX,
)
from protocol.mux.progress import Progress

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
MASK = bytes(4)
EMPTY = b"\x00\x80" + MASK  # a fragment of nothing
FIRST, LAST = b"\x02\x80" + MASK, b"\x80\x80" + MASK
MOST = WEBSOCKET_FRAMES_A_MESSAGE_MAX
TOO_MANY = "too many WebSocket frames for one message"


def opened() -> Progress:
    progress = Progress(masked=True)
    assert progress.feed(HEAD, 0.0) is None
    progress.message_taken()
    progress.opened = True
    return progress


def test_bytes_at_the_limit_and_one_more() -> None:
    progress = opened()
    frame = b"\x82\xff" + BYTES_BETWEEN_MESSAGES_MAX.to_bytes(8, "big") + MASK
    assert progress.feed(frame + bytes(BYTES_BETWEEN_MESSAGES_MAX - len(frame)), 0.0) is None
    assert progress.feed(b"x", 0.0) == "too many bytes without a whole message"


def test_before_its_first_message_less_is_taken_of_a_client() -> None:
    progress = Progress(masked=True)
    progress.opened = True
    assert progress.feed(HEAD, 0.0) is None
    frame = b"\x82\xfe\xff\xff" + MASK
    left = BYTES_BEFORE_HELLO_MAX - len(HEAD) - len(frame)
    assert progress.feed(frame + bytes(left), 0.0) is None
    assert progress.feed(b"x", 0.0) == "too many bytes without a whole message"


def test_bytes_begin_anew_with_each_message() -> None:
    progress = opened()
    for _ in range(3):
        assert progress.feed(b"\x82\xfe\x80\x00" + MASK + bytes(0x8000), 0.0) is None
        assert progress.feed(b"\x82\xfe\xff\xff" + MASK + bytes(0xFFFF), 0.0) is None
        progress.message_taken()
        assert progress.bytes_since_message == 0


def test_frames_of_a_message_at_the_limit_and_one_more() -> None:
    progress = opened()
    whole = FIRST + EMPTY * (MOST - 2) + LAST
    assert progress.feed(whole + whole, 0.0) is None
    assert progress.feed(FIRST + EMPTY * (MOST - 1) + LAST, 0.0) == TOO_MANY


@pytest.mark.parametrize("control", [b"\x89\x80", b"\x8a\x80"])
def test_pings_and_pongs_count(control: bytes) -> None:
    progress = opened()
    assert progress.feed((control + MASK) * MOST, 0.0) is None
    assert progress.feed(control + MASK, 0.0) == TOO_MANY


def test_short_frames_count_however_they_come() -> None:
    progress = opened()
    said = [progress.feed(bytes([byte]), 0.0) for byte in EMPTY * (MOST + 1)]
    assert said[: 6 * MOST] == [None] * 6 * MOST
    assert said[-1] == TOO_MANY


def test_what_follows_a_refusal_is_no_frame() -> None:
    progress = Progress(masked=False)
    assert progress.feed(b"HTTP/1.1 502 x\r\n\r\n" + b"\x00\x00" * 1000, 0.0) is None


def test_a_server_s_frames_have_no_mask() -> None:
    progress = Progress(masked=False)
    progress.opened = True
    assert progress.feed(b"HTTP/1.1 101 x\r\n\r\n" + b"\x00\x00" * MOST, 0.0) is None
    assert progress.feed(b"\x00\x00", 0.0) == TOO_MANY


@given(st.lists(st.integers(1, 39)))
def test_the_head_ends_where_it_ends_however_it_comes(cuts: list[int]) -> None:
    data = HEAD + LAST
    progress = Progress(masked=True)
    for start, end in pairwise(sorted({0, len(data), *(cut % len(data) for cut in cuts)})):
        assert progress.feed(data[start:end], 0.0) is None
    assert progress._frames.most == 1


def test_a_message_takes_120_s_at_most_from_its_first_byte() -> None:
    progress = opened()
    assert progress.feed(b"\x82", 1000.0) is None
    assert progress.feed(b"\xff", 1000.0 + MESSAGE_TIMEOUT_S) is None
    assert progress.feed(b"\x00", 1000.1 + MESSAGE_TIMEOUT_S) == "no whole message within 120 s"


def test_silence_between_messages_is_no_slow_message() -> None:
    progress = opened()
    for at in (0.0, 1000.0, 2000.0):
        assert progress.feed(LAST, at) is None
        progress.message_taken()


def test_repr_tells_how_much_waits() -> None:
    progress = opened()
    progress.feed(b"\x82", 0.0)
    assert repr(progress) == "<Progress 1 bytes since the last message>"
