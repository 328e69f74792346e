from __future__ import annotations

from hypothesis import given, strategies as st

from protocol.errors import RemoteProtocolError
from protocol.limits import MESSAGE_MAX_BYTES
from protocol.mux.pieces import FRAMES_A_PIECE_MAX, pieces_of
from protocol.mux.wire import HEADER_BYTES, FrameType, frame, split_message

EMPTY = frame(FrameType.DATA, 1)


def test_at_the_limit_it_is_one_and_one_more_makes_two() -> None:
    whole = EMPTY * FRAMES_A_PIECE_MAX
    assert pieces_of(whole) == [whole]
    assert pieces_of(whole + EMPTY) == [whole, EMPTY]


def test_few_frames_stay_together_however_long_they_are() -> None:
    message = frame(FrameType.DATA, 1, bytes(16_000)) * 4
    assert pieces_of(message) == [message]


@given(
    sizes=st.lists(st.sampled_from([0, 1, 20, 300]), max_size=1200),
    tail=st.binary(max_size=HEADER_BYTES),
)
def test_pieces_have_the_frames_of_the_whole_in_its_order(sizes: list[int], tail: bytes) -> None:
    message = b"".join(frame(FrameType.DATA, 1, bytes(size)) for size in sizes)
    message = message[: MESSAGE_MAX_BYTES - HEADER_BYTES] + tail
    pieces = pieces_of(message)
    assert b"".join(pieces) == message
    assert all(len(split_message(piece)) == FRAMES_A_PIECE_MAX for piece in pieces[:-1])
    try:
        frames = split_message(message)
    except RemoteProtocolError:
        return
    assert [one for piece in pieces for one in split_message(piece)] == frames
