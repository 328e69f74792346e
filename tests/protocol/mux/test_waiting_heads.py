"""Heads and trailers that wait: what they cost, and how much of them may."""

from __future__ import annotations

import tracemalloc
from typing import Final

import pytest

from protocol.errors import RemoteProtocolError
from protocol.limits import (
    FIRST_CREDIT_BYTES,
    HEAD_BODY_MAX_BYTES,
    HEADS_OVERDRAFT_MAX_BYTES,
    INFORMATIONAL_HEADS_MAX,
    TRAILERS_KEPT_MAX_BYTES,
)
from protocol.mux.codec import pack, pack_trailers
from protocol.mux.core import Core
from protocol.mux.head_bodies import pack_head
from protocol.mux.messages import Head
from protocol.mux.streams import HalfState, Stream
from protocol.mux.wire import FrameType, frame, split_message
from tests.protocol.mux.pair import CONTINUE, OK, CorePair, post

# A head in few bytes that is fifteen times as much once it is read.
HINTS: Final = Head(103, b"", ((b"ab", b"cd"),) * 256, None)


def answer() -> tuple[Core, Stream]:
    """A server whose client has not begun its answer."""
    pair = CorePair()
    stream, _ = pair.open()
    return pair.server, stream


def request() -> tuple[Core, Stream]:
    """A client in the middle of a request's body."""
    pair = CorePair()
    _, stream = pair.open(post("chunked"))
    return pair.client, stream


def head_frame(stream: Stream, head: Head) -> bytes:
    return frame(FrameType.HEAD, stream.id, pack_head(head))


# --- heads ---------------------------------------------------------------------------------------


def test_heads_that_nobody_takes_cost_what_they_were_on_the_wire() -> None:
    core, stream = answer()
    said = head_frame(stream, HINTS)
    core.receive(said, 0.0)  # the first is waited for
    tracemalloc.start()
    for _ in range(INFORMATIONAL_HEADS_MAX - 1):
        core.receive(said, 0.0)
    cost_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cost_bytes < 1.5 * (INFORMATIONAL_HEADS_MAX - 1) * len(said)
    while head := core.take_head(stream, 0.0):
        assert head == HINTS


def test_a_wrong_head_behind_others_is_refused_when_it_comes() -> None:
    core, stream = answer()
    for _ in range(2):
        core.receive(head_frame(stream, CONTINUE), 0.0)
    with pytest.raises(RemoteProtocolError, match="a wrong head"):
        core.receive(frame(FrameType.HEAD, stream.id, pack((99, b"", (), None, {}))), 0.0)


def test_a_head_that_is_waited_for_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    core, stream = answer()

    def read_again(body: bytes, version: int) -> Head:
        raise AssertionError("read a second time")

    monkeypatch.setattr("protocol.mux.streams.read_head", read_again)
    core.receive(head_frame(stream, CONTINUE), 0.0)
    assert [core.take_head(stream, 0.0), core.take_head(stream, 0.0)] == [CONTINUE, None]
    core.receive(head_frame(stream, OK), 0.0)
    assert core.take_head(stream, 0.0) == OK


def test_credit_of_a_head_is_given_again_when_the_program_asks_for_what_is_behind_it() -> None:
    core, stream = answer()
    large = OK._replace(status=103, fields=((b"a", bytes(45_000)),))
    for _ in range(3):
        core.receive(head_frame(stream, large), 0.0)
    for taken in range(3):
        assert core.take_head(stream, 0.0) == large
        assert stream.receiving.window.consumed == taken * len(pack_head(large))
        assert not core.has_updates
    assert core.take_data(stream, 0.0) == b""
    assert core.has_updates


def answer_where_memory_is_short() -> tuple[Core, Stream]:
    """A server that has no more for a stream's answer than its first credit."""
    pair = CorePair()
    pair.server.budget.lend(pair.server.budget.free)
    stream, _ = pair.open()
    assert stream.receiving.window.granted == FIRST_CREDIT_BYTES
    return pair.server, stream


def head_of(size: int, status: int) -> Head:
    """A head whose body has so many bytes."""
    most = OK._replace(status=status, fields=((b"a", bytes(40_000)),))
    return most._replace(fields=((b"a", bytes(40_000 + size - len(pack_head(most)))),))


@pytest.mark.parametrize("status", [103, 200])
def test_a_large_head_behind_others_may_overdraw_so_much_and_no_byte_more(status: int) -> None:
    most = FIRST_CREDIT_BYTES + HEADS_OVERDRAFT_MAX_BYTES - len(pack_head(CONTINUE))
    for more in (0, 1):
        core, stream = answer_where_memory_is_short()
        core.receive(head_frame(stream, CONTINUE), 0.0)
        core.receive(head_frame(stream, head_of(most + more, status)), 0.0)
        assert core.take_head(stream, 0.0) == CONTINUE
        assert (core.take_head(stream, 0.0) is None) is bool(more)
        assert (stream.receiving.reset or ("", ""))[0] == ("overloaded" if more else "")
        stops = [found[:2] for found in split_message(core.next_message(1.0))]
        assert ((FrameType.STOP_SENDING, stream.id) in stops) is bool(more)


def test_the_largest_head_passes_where_all_before_it_has_left() -> None:
    core, stream = answer_where_memory_is_short()
    for status in (103, 200):
        core.receive(head_frame(stream, head_of(HEAD_BODY_MAX_BYTES, status)), 0.0)
        assert core.take_head(stream, 0.0) is not None
        assert core.take_data(stream, 0.0) == b""
    assert stream.receiving.reset is None


# --- trailers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [0, 1])
def test_trailers_are_kept_up_to_so_many_bytes_and_longer_ones_left_out(more: int) -> None:
    core, stream = request()
    padding = TRAILERS_KEPT_MAX_BYTES - len(pack_trailers(((b"a", bytes(10_000)),))) + 10_000
    trailers = ((b"a", bytes(padding + more)),)
    core.receive(frame(FrameType.END, stream.id, pack_trailers(trailers)), 0.0)
    assert stream.receiving.trailers == (() if more else trailers)
    assert stream.receiving.state is HalfState.ENDED


def test_trailers_cost_what_they_were_on_the_wire_and_nothing_once_they_are_dropped() -> None:
    core, stream = request()
    said = frame(FrameType.END, stream.id, pack_trailers(((b"ab", b"cd"),) * 256))
    tracemalloc.start()
    core.receive(said, 0.0)
    cost_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cost_bytes < 1.5 * len(said)
    core.cancel(stream, "cancelled")
    assert stream.receiving.trailers == ()


@pytest.mark.parametrize("size", [1, TRAILERS_KEPT_MAX_BYTES])
def test_wrong_trailers_are_a_fault_whether_they_are_kept_or_not(size: int) -> None:
    core, stream = request()
    with pytest.raises(RemoteProtocolError, match="a wrong end"):
        core.receive(frame(FrameType.END, stream.id, pack(bytes(size))), 0.0)
