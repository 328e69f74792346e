from __future__ import annotations

import pytest

from protocol.limits import FRAME_BODY_MAX_BYTES, JOINED_MAX_BYTES, TURN_BYTES
from protocol.mux.sending import Parts, SendQueue
from protocol.mux.wire import HEADER_BYTES, FrameType
from tests.protocol.mux.pair import Said, frames_of

ROOM = 65_000


def take(queue: SendQueue, room: int = ROOM) -> list[Said]:
    parts: Parts = []
    frames, size = queue.take(parts, 7, room)
    message = b"".join(parts)
    assert size == len(message) <= room
    taken = frames_of(message)
    assert frames == len(taken)
    assert all(frame.stream_id == 7 for frame in taken)
    return taken


def queue_of(*items: tuple[FrameType, bytes], credit: int = 10**9) -> SendQueue:
    queue = SendQueue(credit)
    for kind, body in items:
        queue.put(kind, body)
    return queue


HEAD, DATA, END, RESET = FrameType.HEAD, FrameType.DATA, FrameType.END, FrameType.RESET


def test_frames_leave_in_order() -> None:
    queue = queue_of((HEAD, b"h"), (DATA, b"d"), (END, b""))
    assert [(f.kind, f.body) for f in take(queue)] == [(HEAD, b"h"), (DATA, b"d"), (END, b"")]
    assert not queue
    assert queue.unsent_bytes == 0


def test_turn_ends_after_16_kib_and_goes_on_where_it_stopped() -> None:
    data = bytes(range(256)) * 200
    queue = queue_of((DATA, data))
    pieces = [take(queue) for _ in range(4)]
    assert [len(piece[0].body) for piece in pieces] == [TURN_BYTES] * 3 + [51_200 - 3 * TURN_BYTES]
    assert b"".join(piece[0].body for piece in pieces) == data


def test_end_rides_along_with_a_turn_that_is_full() -> None:
    queue = queue_of((DATA, bytes(TURN_BYTES)), (END, b""))
    assert [frame.kind for frame in take(queue)] == [DATA, END]


def test_data_is_cut_at_the_room_and_at_the_credit() -> None:
    queue = queue_of((DATA, bytes(1000)), credit=700)
    assert len(take(queue, 500 + HEADER_BYTES)[0].body) == 500
    assert len(take(queue)[0].body) == 200
    assert not queue.ready
    assert take(queue) == []
    queue.credit.raise_to(10_000)
    assert len(take(queue)[0].body) == 300


def test_head_that_lacks_room_waits_whole() -> None:
    queue = queue_of((HEAD, bytes(100)))
    assert take(queue, 100 + HEADER_BYTES - 1) == []
    assert queue.ready
    assert len(take(queue, 100 + HEADER_BYTES)) == 1


def test_head_and_trailers_overdraw_on_the_last_byte_of_credit() -> None:
    queue = queue_of((HEAD, bytes(100)), (DATA, b"x"), credit=1)
    assert [frame.kind for frame in take(queue)] == [HEAD]
    assert not queue.ready
    queue = queue_of((END, b"trailers"), credit=0)
    assert not queue.ready
    queue.credit.raise_to(1)
    assert [frame.body for frame in take(queue)] == [b"trailers"]


def test_end_without_trailers_and_reset_need_no_credit() -> None:
    assert len(take(queue_of((END, b""), credit=0))) == 1
    assert len(take(queue_of((RESET, b"code"), credit=0))) == 1


def test_reset_keeps_its_place_behind_data_that_waits_for_credit() -> None:
    queue = queue_of((DATA, b"abc"), (RESET, b"code"), credit=2)
    assert [frame.body for frame in take(queue)] == [b"ab"]
    assert take(queue) == []
    queue.credit.raise_to(3)
    assert [frame.body for frame in take(queue)] == [b"c", b"code"]


def test_drop_keeps_an_open_and_a_reset_and_nothing_else() -> None:
    queue = queue_of(
        (FrameType.OPEN, b"o"), (HEAD, b"h"), (DATA, bytes(2000)), (RESET, b"r"), credit=0
    )
    queue.drop()
    assert queue.unopened
    assert queue.unsent_bytes == 2
    assert [frame.body for frame in take(queue)] == [b"o", b"r"]
    assert not queue.unopened


def test_drop_in_the_middle_of_data_starts_anew() -> None:
    queue = queue_of((DATA, bytes(50_000)))
    take(queue)
    queue.drop()
    queue.put(DATA, b"next")
    assert [frame.body for frame in take(queue)] == [b"next"]


def test_small_pieces_are_joined_up_to_the_limit() -> None:
    queue = queue_of((DATA, b"a" * (JOINED_MAX_BYTES - 1)), (DATA, b"b"))
    assert len(queue) == 1
    queue.put(DATA, b"c")
    assert len(queue) == 2
    assert b"".join(f.body for f in take(queue)) == b"a" * (JOINED_MAX_BYTES - 1) + b"bc"


def test_piece_is_joined_to_one_of_which_a_part_has_left() -> None:
    queue = queue_of((DATA, b"abc"), credit=2)
    assert [frame.body for frame in take(queue)] == [b"ab"]
    queue.put(DATA, b"def")
    queue.credit.raise_to(100)
    assert b"".join(frame.body for frame in take(queue)) == b"cdef"
    assert queue.unsent_bytes == 0


def test_heads_are_not_joined() -> None:
    assert len(queue_of((HEAD, b"a"), (HEAD, b"b"), (DATA, b"c"))) == 3


def test_byte_by_byte_takes_little_memory() -> None:
    queue = SendQueue(0)
    for _ in range(64 * 1024):
        queue.put(DATA, b"x")
    assert len(queue) <= 64


@pytest.mark.parametrize("size", [FRAME_BODY_MAX_BYTES, FRAME_BODY_MAX_BYTES + 1, 10**6])
def test_data_of_any_length_may_be_queued(size: int) -> None:
    queue = queue_of((DATA, bytes(size)))
    sent = 0
    while taken := take(queue):
        sent += sum(len(frame.body) for frame in taken)
    assert sent == size
