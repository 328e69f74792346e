from __future__ import annotations

from protocol.http.limits import READ_FIRST_BYTES, READ_MOST_BYTES, READ_PIECE_BYTES
from protocol.http.read_size import ReadSize


def learnt(size: int, pieces: int, before: int = 1) -> int:
    """The size of the next read, after so many without work and then this one."""
    read = ReadSize()
    for _ in range(before):
        read.learn(READ_MOST_BYTES, 1)
    read.learn(size, pieces)
    return read.next_bytes


def test_it_doubles_up_to_the_most_while_there_is_little_work() -> None:
    read = ReadSize()
    sizes = []
    for _ in range(7):
        sizes.append(read.next_bytes)
        read.learn(read.next_bytes, 1)
    assert sizes == [4096, 8192, 16384, 32768, 65536, 65536, 65536]
    assert (READ_FIRST_BYTES, READ_MOST_BYTES) == (4096, 65536)


def test_it_falls_to_the_first_with_one_piece_too_many() -> None:
    pieces = 100
    assert learnt(pieces * READ_PIECE_BYTES, pieces, before=9) == READ_MOST_BYTES
    assert learnt(pieces * READ_PIECE_BYTES - 1, pieces, before=9) == READ_FIRST_BYTES


def test_nothing_is_one_piece_at_most() -> None:
    assert learnt(0, 0) == 4 * READ_FIRST_BYTES
    assert learnt(0, 1) == READ_FIRST_BYTES
