"""A stream that asks for an upgrade to anything but WebSocket: its body, what is held, and ends."""

from __future__ import annotations

import pytest

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import BUDGET_BYTES, FIRST_CREDIT_BYTES
from protocol.mux.events import Readable
from protocol.mux.head_bodies import pack_head
from protocol.mux.messages import Head, Open
from protocol.mux.streams import HalfState, Stream, first_state
from protocol.mux.wire import FrameType, frame
from tests.protocol.mux.pair import GET, OK, TO_TCP, UPGRADE, CorePair

SWITCHED = Head(101, b"UPGRADED", (), None, upgrade=b"tcp")
BODY = TO_TCP._replace(body=29)
NO_BODY = TO_TCP._replace(body=None)


def asked(opened: Open = BODY, body: bytes = bytes(29)) -> tuple[CorePair, Stream, Stream]:
    """An upgrade that was asked for, whole, and is not answered."""
    pair = CorePair()
    stream, other = pair.open(opened)
    pair.server.send_data(stream, body)
    pair.server.send_end(stream)
    pair.to_client()
    assert stream.sending.state is other.receiving.state is HalfState.HELD
    return pair, stream, other


def states(stream: Stream, other: Stream) -> set[HalfState]:
    """Of the request's half, at both ends."""
    return {stream.sending.state, other.receiving.state}


@pytest.mark.parametrize(
    ("opened", "state"),
    [
        (GET, HalfState.BODY),
        (GET._replace(kind="what-comes-later"), HalfState.BODY),
        (UPGRADE, HalfState.HELD),
        (TO_TCP, HalfState.ASKING),
        (NO_BODY, HalfState.ASKING),
    ],
)
def test_the_kind_decides_how_the_request_begins(opened: Open, state: HalfState) -> None:
    assert first_state(opened) is state


@pytest.mark.parametrize(("opened", "body"), [(BODY, bytes(29)), (TO_TCP, b"x"), (NO_BODY, b"")])
def test_behind_a_101_both_directions_carry_data_of_any_length(opened: Open, body: bytes) -> None:
    pair, stream, other = asked(opened, body)
    assert pair.read_all(pair.client, other) == body
    pair.client.send_head(other, SWITCHED)
    pair.client.send_data(other, b"to the visitor")
    assert pair.to_server() == [Readable(stream)]
    assert pair.server.take_head(stream, 0.0) == SWITCHED
    pair.server.send_data(stream, bytes(1000))
    pair.server.send_end(stream)
    pair.client.send_end(other)
    pair.to_client()
    assert pair.read_all(pair.client, other) == bytes(1000)
    assert pair.read_all(pair.server, stream) == b"to the visitor"
    pair.settle()
    for core in (pair.server, pair.client):
        assert core.streams == {}
        assert core.budget.free == BUDGET_BYTES // 2


def test_behind_its_body_nothing_may_be_sent_before_the_answer() -> None:
    pair, stream, other = asked()
    with pytest.raises(LocalProtocolError, match="DATA in state HELD"):
        pair.server.send_data(stream, b"early")
    with pytest.raises(LocalProtocolError, match="END in state HELD"):
        pair.server.send_end(stream)
    with pytest.raises(RemoteProtocolError, match="DATA in state HELD"):
        pair.client.receive(frame(FrameType.DATA, other.id, b"early"), 0.0)


def test_another_answer_ends_a_request_that_is_whole() -> None:
    pair, stream, other = asked()
    pair.client.send_head(other, OK)
    assert states(stream, other) == {HalfState.HELD, HalfState.BODY}
    pair.to_server()
    pair.to_client()
    assert states(stream, other) == {HalfState.ENDED}
    pair.client.send_end(other)
    pair.settle()
    assert pair.server.streams == pair.client.streams == {}


def test_another_answer_crosses_the_end_of_its_request() -> None:
    pair = CorePair()
    stream, other = pair.open(BODY)
    pair.client.send_head(other, OK)
    pair.client.send_end(other)
    pair.server.send_data(stream, bytes(29))
    pair.server.send_end(stream)
    pair.to_client()
    assert other.receiving.state is HalfState.BODY
    pair.to_server()
    assert stream.sending.state is HalfState.ENDED
    pair.settle()
    assert pair.server.streams == pair.client.streams == {}


def test_another_answer_crosses_a_reset_of_its_request() -> None:
    pair, stream, other = asked()
    pair.client.send_head(other, OK)
    pair.client.send_end(other)
    pair.server.cancel(stream, "visitor-gone")
    pair.to_client()
    assert other.receiving.reset == ("visitor-gone", "")
    pair.settle()
    assert pair.server.streams == pair.client.streams == {}


@pytest.mark.parametrize("status", [101, 200])
def test_an_answer_that_a_stop_has_overtaken_never_was(status: int) -> None:
    pair, stream, other = asked()
    pair.client.send_head(other, SWITCHED if status == 101 else OK)
    pair.server.stop_sending(stream, "cancelled")
    pair.to_client()  # which drops the head
    pair.to_server()
    assert stream.receiving.state is HalfState.RESET
    assert stream.sending.state is HalfState.HELD
    pair.server.reset(stream, "cancelled")
    pair.settle()
    assert pair.server.streams == pair.client.streams == {}


@pytest.mark.parametrize("opened", [BODY, TO_TCP])
def test_another_answer_lets_the_body_go_on_to_its_end_and_no_further(opened: Open) -> None:
    pair = CorePair()
    stream, other = pair.open(opened)
    pair.client.send_head(other, OK)
    pair.to_server()
    assert states(stream, other) == {HalfState.TAKING}
    pair.server.send_data(stream, bytes(28))
    if opened is BODY:
        with pytest.raises(LocalProtocolError):
            pair.server.send_end(stream)
    pair.server.send_data(stream, b"x")
    pair.server.send_end(stream)
    end = frame(FrameType.END, other.id, b"")
    data = frame(FrameType.DATA, other.id, b"y")
    pair.to_client()
    assert states(stream, other) == {HalfState.ENDED}
    assert pair.read_all(pair.client, other) == bytes(28) + b"x"
    _, other = (pair := CorePair()).open(opened._replace(body="chunked"))
    pair.client.send_head(other, OK)
    pair.client.receive(end + data, 0.0)
    assert other.receiving.reset is not None
    assert other.receiving.reset[0] == "length-mismatch"


def test_a_101_before_the_request_is_whole_is_a_fault() -> None:
    pair = CorePair()
    stream, other = pair.open(BODY)
    pair.server.send_data(stream, bytes(29))
    pair.to_client()
    with pytest.raises(LocalProtocolError, match="nobody asked for"):
        pair.client.send_head(other, SWITCHED)
    with pytest.raises(RemoteProtocolError, match="nobody asked for"):
        pair.server.receive(frame(FrameType.HEAD, stream.id, pack_head(SWITCHED)), 0.0)


def test_a_101_may_cross_a_reset_of_its_request() -> None:
    pair, stream, other = asked()
    pair.client.send_head(other, SWITCHED)
    pair.server.cancel(stream, "visitor-gone")
    pair.to_server()
    assert stream.sending.state is HalfState.RESET
    pair.to_client()
    assert other.receiving.reset == ("visitor-gone", "")


def test_a_body_that_is_too_short_is_a_reset_for_the_program() -> None:
    pair = CorePair()
    _, other = pair.open(BODY)
    pair.client.receive(frame(FrameType.END, other.id, b""), 0.0)
    assert other.receiving.reset is not None
    assert other.receiving.reset[0] == "length-mismatch"


def test_idle_upgrades_borrow_nothing() -> None:
    pair, _, other = asked()
    pair.client.send_head(other, SWITCHED)
    pair.to_server()
    assert pair.server.budget.free == pair.client.budget.free == BUDGET_BYTES // 2
    assert other.opened.credit == FIRST_CREDIT_BYTES


def test_what_is_asked_and_named_crosses_and_version_1_has_no_place_for_it() -> None:
    pair, stream, other = asked(BODY._replace(upgrade=b"a/1, B"))
    assert other.opened.upgrade == b"a/1, B"
    pair.client.send_head(other, SWITCHED._replace(upgrade=b"B"))
    pair.to_server()
    head = pair.server.take_head(stream, 0.0)
    assert head is not None
    assert head.upgrade == b"B"
    assert b"tcp" not in pack_head(SWITCHED, 1)
