from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import FRAME_BODY_MAX_BYTES, MESSAGE_MAX_BYTES
from protocol.mux.wire import COUNTED, HEADER_BYTES, FrameType, frame, header, split_message


def test_layout_of_a_frame() -> None:
    assert frame(FrameType.DATA, 0x0102030405060708, b"abc") == (
        b"\x03\x00\x00\x03\x01\x02\x03\x04\x05\x06\x07\x08abc"
    )


def test_header_stands_alone() -> None:
    assert header(FrameType.DATA, 7, 3) + b"abc" == frame(FrameType.DATA, 7, b"abc")


def test_counted_types_are_those_of_the_streams_but_credit() -> None:
    names = {kind.name for kind in FrameType if kind in COUNTED}
    assert names == {"OPEN", "HEAD", "DATA", "END", "RESET", "STOP_SENDING"}


def test_message_is_split_into_its_frames() -> None:
    message = frame(FrameType.PING, 0, b"\x01") + frame(FrameType.END, 5) + frame(3, 5, b"xyz")
    assert split_message(message) == [
        (FrameType.PING, 0, b"\x01"),
        (FrameType.END, 5, b""),
        (FrameType.DATA, 5, b"xyz"),
    ]


def test_longest_body_passes_and_one_more_does_not() -> None:
    longest = frame(FrameType.DATA, 1, bytes(FRAME_BODY_MAX_BYTES))
    assert len(split_message(longest)[0][2]) == FRAME_BODY_MAX_BYTES
    with pytest.raises(LocalProtocolError):
        header(FrameType.DATA, 1, FRAME_BODY_MAX_BYTES + 1)
    too_long = b"\x03\x00" + (FRAME_BODY_MAX_BYTES + 1).to_bytes(2, "big") + bytes(8)
    with pytest.raises(RemoteProtocolError, match="announces"):
        split_message(too_long + bytes(FRAME_BODY_MAX_BYTES + 1))


def test_longest_message_passes_and_one_more_does_not() -> None:
    rest = MESSAGE_MAX_BYTES - FRAME_BODY_MAX_BYTES - 2 * HEADER_BYTES
    message = frame(3, 1, bytes(FRAME_BODY_MAX_BYTES)) + frame(3, 1, bytes(rest))
    assert len(message) == MESSAGE_MAX_BYTES
    assert len(split_message(message)) == 2
    with pytest.raises(RemoteProtocolError, match="a message of"):
        split_message(message + b"\x00")


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b"", "0 bytes"),
        (frame(FrameType.END, 1)[:-1], "inside a frame's header"),
        (frame(FrameType.DATA, 1, b"ab")[:-1], "announces 2 bytes, 1 are there"),
        (b"\x00" + bytes(11), "type 0"),
        (b"\x07" + bytes(11), "type 7"),
        (b"\xff" + bytes(11), "type 255"),
        (b"\x04\x01" + bytes(10), "flags 0x1"),
    ],
)
def test_fault_is_named(message: bytes, said: str) -> None:
    with pytest.raises(RemoteProtocolError, match=said):
        split_message(message)


@given(st.binary(max_size=200))
def test_any_bytes_split_or_are_refused(message: bytes) -> None:
    try:
        frames = split_message(message)
    except RemoteProtocolError:
        return
    assert b"".join(frame(*one) for one in frames) == message
