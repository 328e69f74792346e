"""What a program may do, and how a session lives."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import (
    ACK_DELAY_S,
    BUDGET_BYTES,
    FIRST_CREDIT_BYTES,
    INFORMATIONAL_HEADS_MAX,
    MESSAGE_MAX_BYTES,
    START_WINDOW_BYTES,
)
from protocol.mux.codec import pack, pack_code
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.events import ClaimAsked, GoingAway, Readable
from protocol.mux.head_bodies import pack_head, pack_open
from protocol.mux.inflight import InFlight
from protocol.mux.map_bodies import pack_map
from protocol.mux.messages import Goaway
from protocol.mux.streams import TRANSITIONS, HalfState, Item, Stream
from protocol.mux.wire import FrameType, frame, split_message
from tests.protocol.mux.pair import (
    CLAIM,
    CONTINUE,
    GET,
    OK,
    SWITCHING,
    UPGRADE,
    CorePair,
    EndlessLine,
    kinds_of,
    post,
)

LENDABLE = BUDGET_BYTES // 2

# --- one request ---------------------------------------------------------------------------------


def test_request_and_answer_cross_and_leave_nothing_behind() -> None:
    pair = CorePair()
    stream, other = pair.open(post("chunked"))
    pair.server.send_data(stream, b"question")
    pair.server.send_end(stream, ((b"T", b"1"),))
    pair.to_client()
    assert pair.read_all(pair.client, other) == b"question"
    assert other.receiving.trailers == ((b"T", b"1"),)
    pair.client.send_head(other, CONTINUE)
    pair.client.send_head(other, OK)
    pair.client.send_data(other, b"answer")
    pair.client.send_end(other)
    assert pair.to_server() == [Readable(stream)]
    assert pair.server.take_head(stream, 0.0) == CONTINUE
    assert pair.server.take_head(stream, 0.0) == OK
    assert pair.server.take_head(stream, 0.0) is None
    assert pair.read_all(pair.server, stream) == b"answer"
    pair.settle()
    for core in (pair.server, pair.client):
        assert core.streams == {}
        assert core.budget.free == LENDABLE
        assert core.sent.unacked_bytes == 0


def test_open_grants_the_answer_its_first_credit() -> None:
    pair = CorePair()
    stream, other = pair.open()
    assert other.opened.credit == other.sending.queue.credit.limit == START_WINDOW_BYTES
    assert stream.sending.queue.credit.limit == FIRST_CREDIT_BYTES


def test_idle_websockets_borrow_nothing() -> None:
    pair = CorePair()
    for _ in range(500):
        _, other = pair.open(UPGRADE)
        pair.client.send_head(other, SWITCHING)
        pair.to_server()
    assert pair.server.budget.free == pair.client.budget.free == LENDABLE
    stream, _ = pair.open()
    assert stream.receiving.window.granted == START_WINDOW_BYTES


# --- what a program must not do ------------------------------------------------------------------


def at_most(streams: int) -> CorePair:
    pair = CorePair(max_streams=streams)
    for _ in range(streams):
        pair.open()
    return pair


def test_server_opens_no_more_streams_than_the_client_serves() -> None:
    pair = at_most(2)
    with pytest.raises(LocalProtocolError, match="may be opened"):
        pair.server.open(GET, 0.0)


def test_stream_counts_until_its_last_frame_has_gone_out_and_come() -> None:
    pair = at_most(1)
    stream, other = pair.server.streams[1], pair.client.streams[1]
    pair.client.send_head(other, OK)
    pair.client.send_end(other)
    pair.to_server()
    pair.server.send_end(stream)
    with pytest.raises(LocalProtocolError):
        pair.server.open(GET, 0.0)
    pair.server.next_message(0.0)
    assert pair.server.open(GET, 0.0).id == 2


def test_client_opens_nothing() -> None:
    with pytest.raises(LocalProtocolError):
        CorePair().client.open(GET, 0.0)


def test_server_opens_nothing_after_the_clients_goaway_but_after_its_own() -> None:
    pair = CorePair()
    pair.server.control.goaway(Goaway("shutting-down", "", 8))
    pair.open()
    pair.client.control.goaway(Goaway("shutting-down", "", 8))
    pair.to_server()
    with pytest.raises(LocalProtocolError):
        pair.server.open(GET, 0.0)


def test_head_over_the_limit_opens_nothing_and_leaves_nothing_lent() -> None:
    pair = CorePair()
    with pytest.raises(LocalProtocolError, match="a head of"):
        pair.server.open(GET._replace(target=bytes(50_000)), 0.0)
    assert pair.server.streams == {}
    assert pair.server.budget.free == LENDABLE
    assert pair.open()[1].id == 1


def send(pair: CorePair, stream: Stream, item: Item) -> None:
    if item is Item.INFORMATIONAL:
        pair.client.send_head(stream, CONTINUE)
    elif item is Item.FINAL:
        pair.client.send_head(stream, OK)
    elif item is Item.DATA:
        pair.client.send_data(stream, b"data")
    elif item is Item.END:
        pair.client.send_end(stream)


OF_REQUESTS = (HalfState.ASKING, HalfState.TAKING, HalfState.HELD)


@pytest.mark.parametrize("state", [s for s in HalfState if s not in OF_REQUESTS])
@pytest.mark.parametrize("item", [Item.INFORMATIONAL, Item.FINAL, Item.DATA, Item.END])
def test_answer_in_a_state_moves_or_is_a_fault_of_ours(state: HalfState, item: Item) -> None:
    pair = CorePair()
    _, stream = pair.open(post("chunked"))
    if state in (HalfState.BODY, HalfState.ENDED):
        pair.client.send_head(stream, OK)
    if state is HalfState.ENDED:
        pair.client.send_end(stream)
    if state is HalfState.RESET:
        pair.client.reset(stream, "internal")
    after = TRANSITIONS.get((state, item))
    if after is None:
        with pytest.raises(LocalProtocolError, match=f"{item.name} in state {state.name}"):
            send(pair, stream, item)
        assert stream.sending.state is state
    else:
        send(pair, stream, item)
        assert stream.sending.state is after


def test_held_request_may_only_be_reset() -> None:
    pair = CorePair()
    stream, other = pair.open(UPGRADE)
    with pytest.raises(LocalProtocolError, match="HELD"):
        pair.server.send_data(stream, b"early")
    with pytest.raises(LocalProtocolError, match="HELD"):
        pair.server.send_end(stream)
    pair.server.reset(stream, "visitor-gone")
    pair.to_client()
    assert other.receiving.reset == ("visitor-gone", "")


def test_refused_upgrade_lets_the_request_end_without_data() -> None:
    pair = CorePair()
    stream, other = pair.open(UPGRADE)
    pair.client.send_head(other, OK)
    pair.to_server()
    with pytest.raises(LocalProtocolError):
        pair.server.send_data(stream, b"x")
    pair.server.send_end(stream)
    pair.to_client()
    assert other.receiving.state is HalfState.ENDED


def test_length_holds_our_own_program_too() -> None:
    pair = CorePair()
    stream, _ = pair.open(post(5))
    pair.server.send_data(stream, b"1234")
    with pytest.raises(LocalProtocolError):
        pair.server.send_data(stream, b"56")
    with pytest.raises(LocalProtocolError):
        pair.server.send_end(stream)
    pair.server.send_data(stream, b"5")
    pair.server.send_end(stream)


def test_most_informational_heads_are_sent_and_one_more_is_not() -> None:
    pair = CorePair()
    _, stream = pair.open()
    for _ in range(INFORMATIONAL_HEADS_MAX):
        pair.client.send_head(stream, CONTINUE)
    with pytest.raises(LocalProtocolError, match="too many informational"):
        pair.client.send_head(stream, CONTINUE)
    pair.client.send_head(stream, OK)
    pair.to_server()


def test_switch_that_nobody_asked_for_is_not_sent() -> None:
    pair = CorePair()
    _, stream = pair.open()
    with pytest.raises(LocalProtocolError, match="nobody asked for"):
        pair.client.send_head(stream, SWITCHING)
    pair.client.send_head(stream, OK)


def test_head_over_the_limit_moves_nothing() -> None:
    pair = CorePair()
    _, stream = pair.open()
    with pytest.raises(LocalProtocolError):
        pair.client.send_head(stream, OK._replace(reason=bytes(50_000)))
    pair.client.send_head(stream, OK)


def test_client_promises_no_more_than_is_set_aside() -> None:
    heartbeat = Heartbeat(15, 30)
    Core(is_server=False, heartbeat=heartbeat, body_credit=FIRST_CREDIT_BYTES)
    with pytest.raises(LocalProtocolError):
        Core(is_server=False, heartbeat=heartbeat, body_credit=FIRST_CREDIT_BYTES + 1)


# --- ends ----------------------------------------------------------------------------------------


def test_reset_lets_pass_what_was_queued_before_it() -> None:
    pair = CorePair()
    stream, other = pair.open()
    pair.client.send_head(other, OK)
    pair.client.send_data(other, b"half of it")
    pair.client.reset(other, "truncated", "the app hung up")
    pair.client.reset(other, "internal")  # it has ended already
    pair.to_server()
    assert pair.server.take_head(stream, 0.0) == OK
    assert pair.read_all(pair.server, stream) == b"half of it"
    assert stream.receiving.reset == ("truncated", "the app hung up")


def test_cancel_drops_both_directions_and_gives_everything_back() -> None:
    pair = CorePair()
    stream, other = pair.open(post("chunked"))
    pair.client.send_head(other, OK)
    pair.client.send_data(other, bytes(200_000))
    pair.to_server()
    assert pair.server.budget.free < LENDABLE
    pair.server.send_data(stream, bytes(60_000))
    pair.server.cancel(stream, "visitor-gone")
    pair.server.cancel(stream, "cancelled")
    assert pair.server.budget.free == LENDABLE
    pair.settle()
    assert pair.server.streams == pair.client.streams == {}
    assert other.receiving.reset == ("visitor-gone", "")
    assert pair.server.take_data(stream, 0.0) == b""
    assert pair.server.take_head(stream, 0.0) is None
    assert pair.server.budget.free == pair.client.budget.free == LENDABLE


def test_cancel_after_the_end_drops_what_was_not_taken() -> None:
    pair = CorePair()
    stream, other = pair.open()
    pair.server.send_end(stream)
    pair.to_client()
    pair.client.send_head(other, OK)
    pair.client.send_data(other, bytes(100_000))
    pair.client.send_end(other)
    pair.to_server()
    assert pair.server.streams == {}
    pair.server.cancel(stream, "cancelled")
    assert stream.receiving.cut
    assert pair.server.budget.free == LENDABLE


def test_cancel_keeps_the_reason_of_a_reset_that_waits() -> None:
    pair = CorePair()
    stream, other = pair.open()
    pair.client.send_head(other, OK)
    pair.client.send_data(other, b"x")
    pair.client.reset(other, "origin-timeout", "it took too long")
    pair.client.cancel(other, "cancelled")
    pair.to_server()
    assert stream.receiving.reset == ("origin-timeout", "it took too long")


# --- acknowledgements ----------------------------------------------------------------------------


def test_ack_leaves_alone_after_5_ms_or_two_messages_and_not_before() -> None:
    pair = CorePair()
    pair.open()
    assert pair.client.ack_due_at == ACK_DELAY_S
    assert pair.client.next_message(ACK_DELAY_S - 0.001) == b""
    assert kinds_of(pair.client.next_message(ACK_DELAY_S)) == [FrameType.ACK]
    assert pair.client.ack_due_at == math.inf
    pair.open()
    pair.open()
    assert kinds_of(pair.client.next_message(0.0)) == [FrameType.ACK]


def test_ack_rides_in_every_message_that_has_news() -> None:
    pair = CorePair()
    _, other = pair.open()
    pair.client.send_head(other, OK)
    assert kinds_of(pair.client.next_message(0.0)) == [FrameType.HEAD, FrameType.ACK]
    pair.client.send_data(other, b"x")
    assert kinds_of(pair.client.next_message(0.0)) == [FrameType.DATA]


class Told(InFlight):
    """Notes of each ack whether it came without data."""

    def __init__(self) -> None:
        super().__init__()
        self.alone: list[bool] = []

    def acknowledged(self, size: int, now: float, *, alone: bool = True) -> None:
        self.alone.append(alone)
        super().acknowledged(size, now, alone=alone)


def test_an_ack_behind_data_is_told_from_one_that_comes_alone() -> None:
    """Behind data it has waited in the peer's queue, and its time says less of the line."""
    pair = CorePair()
    stream, other = pair.open(post("chunked"))
    pair.client.send_head(other, OK)
    pair.settle()
    pair.server.sent.in_flight = told = Told()
    for number, rides in enumerate((False, True)):
        pair.now = 100.0 + number
        pair.server.send_data(stream, b"y")
        pair.to_client()
        if rides:
            pair.client.send_data(other, b"x")
        pair.now += 0.1
        pair.to_server()
    assert told.alone == [True, False]


def test_session_falls_silent_without_work_but_for_pings() -> None:
    pair = CorePair()
    pair.open()
    pair.settle()
    for now in range(100, 200):
        heard = float(now)
        assert pair.server.check(now, heard) is pair.client.check(now, heard) is None
        for message in (pair.server.next_message(now), pair.client.next_message(now)):
            if message:
                assert set(kinds_of(message)) <= {FrameType.PING, FrameType.PONG}


def test_full_message_has_room_for_its_ack() -> None:
    pair = CorePair()
    pair.server.sent.in_flight = EndlessLine()
    opened = [pair.open(post("chunked")) for _ in range(5)]
    pair.client.send_head(opened[0][1], OK)
    pair.to_server()
    for stream, _ in opened:
        pair.server.send_data(stream, bytes(60_000))
    message = pair.server.next_message(0.0)
    assert MESSAGE_MAX_BYTES - 64 < len(message) <= MESSAGE_MAX_BYTES
    assert kinds_of(message)[-1] is FrameType.ACK


@pytest.mark.parametrize("count", [0, 2])
def test_wrong_ack_is_a_fault(count: int) -> None:
    pair = CorePair()
    pair.open()
    pair.server.receive(frame(FrameType.ACK, 0, pack(1)), 0.0)
    with pytest.raises(RemoteProtocolError, match="an ack of"):
        pair.server.receive(frame(FrameType.ACK, 0, pack(count)), 0.0)


# --- life and death ------------------------------------------------------------------------------


def test_session_is_dead_when_nothing_is_heard_for_longer_than_the_timeout() -> None:
    server = CorePair().server
    assert server.check(40.0, 10.0) is None
    assert server.check(40.1, 10.0) == "nothing was heard for 30 s"


def test_session_is_dead_when_nothing_is_acknowledged_whatever_else_comes() -> None:
    pair = CorePair()
    pair.open()
    assert pair.server.check(30.0, 30.0) is None
    assert pair.server.check(30.1, 30.1) == "nothing was acknowledged for 30 s"


def test_session_is_not_dead_before_anything_could_be_heard() -> None:
    core = Core(is_server=True, heartbeat=Heartbeat(15, 30), now=1000.0)
    assert core.check(1030.0, -math.inf) is None


def test_goaway_reaches_the_program() -> None:
    pair = CorePair()
    goaway = Goaway("shutting-down", "until tomorrow", 8)
    pair.server.control.goaway(goaway)
    assert pair.to_client() == [GoingAway(goaway)]


def test_claim_reaches_the_program() -> None:
    pair = CorePair()
    pair.client.control.claim(CLAIM)
    assert pair.to_server() == [ClaimAsked(CLAIM)]


def test_failed_session_says_why_and_nothing_else_and_hears_nothing() -> None:
    pair = CorePair()
    stream, other = pair.open(post("chunked"))
    pair.server.send_data(stream, b"x")
    pair.server.stop_sending(stream, "no-error")
    pair.server.control.ping(0.0)
    pair.client.send_head(other, OK)
    pair.server.fail("protocol-error", "an ack of 9")
    pair.server.fail("internal", "later")
    message = pair.server.next_message(1.0)
    assert message == frame(40, 0, pack_map(Goaway("protocol-error", "an ack of 9", 0)))
    assert pair.server.next_message(1.0) == b""
    assert pair.server.receive(pair.client.next_message(1.0), 1.0) == []
    with pytest.raises(LocalProtocolError):
        pair.server.open(GET, 1.0)
    assert pair.server.next_message(2.0) == b""


def test_reprs_show_the_state() -> None:
    pair = CorePair()
    stream, _ = pair.open()
    assert "1 streams" in repr(pair.server)
    assert "Stream 1" in repr(stream)
    pair.server.fail("x", "y")
    assert "failed" in repr(pair.server)


# --- any bytes -----------------------------------------------------------------------------------

BODIES = st.sampled_from(
    [
        b"",
        b"x" * 100,
        pack(0),
        pack(5),
        pack(10**6),
        pack_code("cancelled"),
        pack_head(OK),
        pack_head(CONTINUE),
        pack_head(SWITCHING),
        pack_open(GET),
        pack_open(UPGRADE),
        pack_open(post(3)),
        pack_open(post("chunked")),
        pack_map(CLAIM),
        pack_map(Goaway("x", "y", 0)),
    ]
) | st.binary(max_size=20)
FRAMES = st.builds(
    frame,
    st.sampled_from(list(FrameType)),
    st.sampled_from([0, 0, 1, 1, 2, 3, 4, 2**63, 2**64 - 1]),
    BODIES,
)


@given(
    st.booleans(),
    st.lists(st.lists(FRAMES, min_size=1, max_size=4).map(b"".join) | st.binary(max_size=40)),
)
def test_any_messages_give_events_or_one_protocol_error(
    is_server: bool, messages: list[bytes]
) -> None:
    pair = CorePair()
    pair.open(UPGRADE)
    pair.open(post(3))
    stopped, _ = pair.open(post("chunked"))
    pair.server.stop_sending(stopped, "no-error")
    core = pair.server if is_server else pair.client
    for message in messages:
        try:
            events = core.receive(message, 0.0)
        except RemoteProtocolError as error:
            core.fail(error.code, str(error))
        else:
            assert isinstance(events, list)
        while answer := core.next_message(0.0):
            assert list(split_message(answer))
        assert 0 <= core.budget.free <= LENDABLE
