"""What a peer may say in which state: the table, both ways, and the rules beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from protocol.errors import RemoteProtocolError
from protocol.limits import FIRST_CREDIT_BYTES, INFORMATIONAL_HEADS_MAX, KIB, START_WINDOW_BYTES
from protocol.mux.codec import pack, pack_code, pack_trailers
from protocol.mux.core import Core
from protocol.mux.events import Opened, Readable, Stopped
from protocol.mux.head_bodies import pack_head, pack_open
from protocol.mux.streams import TRANSITIONS, HalfState, Item, Stream
from protocol.mux.wire import FrameType, frame
from tests.protocol.mux.pair import (
    CONTINUE,
    GET,
    OK,
    SWITCHING,
    TO_TCP,
    UPGRADE,
    CorePair,
    kinds_of,
    post,
)

CODE: Final = pack_code("cancelled")


def item_frame(item: Item, stream_id: int, *, upgrade: bool = False) -> bytes:
    final = SWITCHING if upgrade else OK
    kind, body = {
        Item.INFORMATIONAL: (FrameType.HEAD, pack_head(CONTINUE)),
        Item.FINAL: (FrameType.HEAD, pack_head(final)),
        Item.DATA: (FrameType.DATA, b"data"),
        Item.END: (FrameType.END, b""),
        Item.RESET: (FrameType.RESET, CODE),
    }[item]
    return frame(kind, stream_id, body)


FRAMES: Final = [item for item in Item if item not in (Item.ANSWERED, Item.SWITCHED)]


def request_half(state: HalfState) -> tuple[Core, Stream]:
    """A client whose request half, which it receives, is in a state."""
    pair = CorePair()
    asks = state in (HalfState.ASKING, HalfState.TAKING, HalfState.HELD)
    _, stream = pair.open(TO_TCP if asks else post("chunked"))
    if state is HalfState.TAKING:
        pair.client.send_head(stream, OK)
    if state >= HalfState.HELD:
        item = Item.RESET if state is HalfState.RESET else Item.END
        pair.client.receive(item_frame(item, stream.id), 0.0)
    assert stream.receiving.state is state
    return pair.client, stream


def answer_half(state: HalfState) -> tuple[Core, Stream]:
    """A server whose answer half, which it receives, is in a state."""
    pair = CorePair()
    stream, _ = pair.open(post("chunked"))
    say = {
        HalfState.HEADS: [],
        HalfState.BODY: [Item.FINAL],
        HalfState.ENDED: [Item.FINAL, Item.END],
        HalfState.RESET: [Item.RESET],
    }[state]
    for item in say:
        pair.server.receive(item_frame(item, stream.id), 0.0)
    assert stream.receiving.state is state
    return pair.server, stream


HALVES: Final[list[tuple[Callable[[HalfState], tuple[Core, Stream]], HalfState]]] = [
    (request_half, HalfState.ASKING),
    (request_half, HalfState.TAKING),
    (request_half, HalfState.HELD),
    (request_half, HalfState.BODY),
    (request_half, HalfState.ENDED),
    (request_half, HalfState.RESET),
    (answer_half, HalfState.HEADS),
    (answer_half, HalfState.BODY),
    (answer_half, HalfState.ENDED),
    (answer_half, HalfState.RESET),
]


@pytest.mark.parametrize("item", FRAMES)
@pytest.mark.parametrize(("half", "state"), HALVES)
def test_frame_in_a_state_moves_the_half_or_is_a_fault(
    half: Callable[[HalfState], tuple[Core, Stream]], state: HalfState, item: Item
) -> None:
    core, stream = half(state)
    said = item_frame(item, stream.id)
    after = TRANSITIONS.get((state, item))
    if after is None:
        with pytest.raises(RemoteProtocolError, match=f"{item.name} in state {state.name}"):
            core.receive(said, 0.0)
    else:
        assert core.receive(said, 0.0) == [Readable(stream)]
        assert stream.receiving.state is after


@pytest.mark.parametrize(("half", "state"), HALVES)
def test_credit_and_stop_sending_are_right_in_every_state_of_the_other_half(
    half: Callable[[HalfState], tuple[Core, Stream]], state: HalfState
) -> None:
    core, stream = half(state)
    credit = frame(FrameType.CREDIT, stream.id, pack(10**6))
    assert core.receive(credit, 0.0) == []
    stop = frame(FrameType.STOP_SENDING, stream.id, CODE)
    assert core.receive(stop, 0.0) == [Stopped(stream)]
    assert core.receive(stop, 0.0) == []
    assert core.receive(credit, 0.0) == []


# --- ids -----------------------------------------------------------------------------------------


def open_frame(stream_id: int) -> bytes:
    return frame(FrameType.OPEN, stream_id, pack_open(GET))


@pytest.mark.parametrize("stream_id", [1, 3, 2**63])
def test_open_out_of_turn_is_a_fault(stream_id: int) -> None:
    pair = CorePair()
    pair.open()
    with pytest.raises(RemoteProtocolError, match="out of turn"):
        pair.client.receive(open_frame(stream_id), 0.0)


def test_open_from_the_client_is_a_fault() -> None:
    with pytest.raises(RemoteProtocolError, match="out of turn"):
        CorePair().server.receive(open_frame(1), 0.0)


def test_announced_number_of_streams_may_open_and_one_more_may_not() -> None:
    client = CorePair(max_streams=2).client
    for stream_id in (1, 2):
        client.receive(open_frame(stream_id), 0.0)
    with pytest.raises(RemoteProtocolError, match="more streams than"):
        client.receive(open_frame(3), 0.0)


@pytest.mark.parametrize("kind", [FrameType.DATA, FrameType.CREDIT, FrameType.STOP_SENDING])
def test_frame_for_a_stream_that_is_not_open_yet_is_a_fault(kind: FrameType) -> None:
    pair = CorePair()
    pair.open()
    for core in (pair.server, pair.client):
        with pytest.raises(RemoteProtocolError, match="not open yet"):
            core.receive(frame(kind, 2, b"\x01"), 0.0)


def test_only_credit_and_stop_sending_may_cross_the_last_frame_of_a_stream() -> None:
    pair = CorePair()
    stream, _ = pair.open()
    pair.server.cancel(stream, "cancelled")
    pair.settle()
    assert not pair.server.streams
    assert not pair.client.streams
    for core in (pair.server, pair.client):
        assert core.receive(frame(FrameType.CREDIT, 1, pack(10**6)), 0.0) == []
        assert core.receive(frame(FrameType.STOP_SENDING, 1, CODE), 0.0) == []
        for item in FRAMES:
            with pytest.raises(RemoteProtocolError, match="stream 1 has ended"):
                core.receive(item_frame(item, 1), 0.0)


@pytest.mark.parametrize("kind", [FrameType.ACK, FrameType.PING, FrameType.GOAWAY])
def test_frame_of_the_session_on_a_stream_is_a_fault(kind: FrameType) -> None:
    pair = CorePair()
    pair.open()
    with pytest.raises(RemoteProtocolError, match="on a stream"):
        pair.client.receive(frame(kind, 1, b"\x01"), 0.0)


# --- heads ---------------------------------------------------------------------------------------


def test_most_informational_heads_pass_and_one_more_does_not() -> None:
    core, stream = answer_half(HalfState.HEADS)
    for _ in range(INFORMATIONAL_HEADS_MAX):
        core.receive(item_frame(Item.INFORMATIONAL, stream.id), 0.0)
    with pytest.raises(RemoteProtocolError, match="too many informational"):
        core.receive(item_frame(Item.INFORMATIONAL, stream.id), 0.0)


def test_switch_that_nobody_asked_for_is_a_fault() -> None:
    core, stream = answer_half(HalfState.HEADS)
    with pytest.raises(RemoteProtocolError, match="nobody asked for"):
        core.receive(item_frame(Item.FINAL, stream.id, upgrade=True), 0.0)


def test_held_request_goes_on_after_a_switch_without_a_length() -> None:
    pair = CorePair()
    stream, other = pair.open(UPGRADE)
    pair.client.send_head(other, SWITCHING)
    pair.to_server()
    pair.server.send_data(stream, b"frames")
    pair.server.send_end(stream)
    pair.to_client()
    assert pair.read_all(pair.client, other) == b"frames"
    assert other.receiving.state is HalfState.ENDED


def test_held_request_carries_nothing_when_the_upgrade_was_refused() -> None:
    pair = CorePair()
    stream, other = pair.open(UPGRADE)
    pair.client.send_head(other, OK)
    pair.client.next_message(0.0)
    pair.client.receive(frame(FrameType.DATA, other.id, b"smuggled"), 0.0)
    assert other.receiving.reset is not None
    assert other.receiving.reset[0] == "length-mismatch"
    assert pair.read_all(pair.client, other) == b""
    assert stream.sending.state is HalfState.HELD


# --- credit --------------------------------------------------------------------------------------


def use_up(core: Core, stream: Stream) -> None:
    """Send all that the credit of the peer's half allows."""
    left = stream.receiving.window.granted
    while left:
        size = min(left, 16_384)
        core.receive(frame(FrameType.DATA, stream.id, bytes(size)), 0.0)
        left -= size


def test_request_may_carry_its_first_credit_and_no_byte_more() -> None:
    core, stream = request_half(HalfState.BODY)
    granted = stream.receiving.window.granted
    # The body is chunked: `credit` has raised it at once, to a little less than a whole window.
    assert START_WINDOW_BYTES - KIB < granted <= START_WINDOW_BYTES
    use_up(core, stream)
    with pytest.raises(RemoteProtocolError) as caught:
        core.receive(frame(FrameType.DATA, stream.id, b"x"), 0.0)
    assert caught.value.code == "flow-control"


def test_trailers_may_overdraw_but_need_a_byte() -> None:
    core, stream = request_half(HalfState.BODY)
    use_up(core, stream)
    trailers = pack_trailers(((b"a", b"b"),))
    with pytest.raises(RemoteProtocolError):
        core.receive(frame(FrameType.END, stream.id, trailers), 0.0)
    core, stream = request_half(HalfState.BODY)
    core.receive(frame(FrameType.END, stream.id, trailers), 0.0)
    assert stream.receiving.trailers == ((b"a", b"b"),)


def test_credit_that_falls_is_a_fault() -> None:
    core, stream = request_half(HalfState.BODY)
    core.receive(frame(FrameType.CREDIT, stream.id, pack(10**6)), 0.0)
    with pytest.raises(RemoteProtocolError, match="credit fell"):
        core.receive(frame(FrameType.CREDIT, stream.id, pack(10**6 - 1)), 0.0)


@pytest.mark.parametrize(
    ("form", "raised"),
    [
        (None, False),
        (0, False),
        (FIRST_CREDIT_BYTES - 1, False),
        (FIRST_CREDIT_BYTES, True),  # one byte more, for trailers
        (10**9, True),
        ("chunked", True),
    ],
)
def test_only_a_body_longer_than_its_first_credit_is_given_more_at_once(
    form: int | None, raised: bool
) -> None:
    pair = CorePair()
    pair.open(post(form))
    message = pair.client.next_message(1.0)
    assert (FrameType.CREDIT in kinds_of(message)) is raised


def test_trailers_leave_nothing_lent() -> None:
    core, stream = request_half(HalfState.BODY)
    trailers = pack_trailers(((b"a", bytes(47_000)),))
    before = core.budget.free + stream.receiving.window.lent
    core.receive(frame(FrameType.END, stream.id, trailers), 0.0)
    assert core.budget.free == before


# --- lengths -------------------------------------------------------------------------------------


def test_body_that_is_too_long_is_a_reset_of_which_the_right_part_can_be_read() -> None:
    pair = CorePair()
    _, stream = pair.open(post(5))
    pair.client.receive(frame(FrameType.DATA, stream.id, b"12345"), 0.0)
    pair.client.receive(frame(FrameType.DATA, stream.id, b"6"), 0.0)
    assert pair.read_all(pair.client, stream) == b"12345"
    assert stream.receiving.reset == (
        "length-mismatch",
        "6 bytes of body where 5 were announced",
    )
    assert kinds_of(pair.client.next_message(1.0)) == [FrameType.STOP_SENDING, FrameType.ACK]
    assert stream.receiving.window.lent == 0


def test_body_that_is_too_long_leaves_nothing_lent() -> None:
    pair = CorePair()
    _, stream = pair.open(post(100_000))
    pair.client.receive(frame(FrameType.DATA, stream.id, bytes(50_000)), 0.0)
    pair.client.receive(frame(FrameType.DATA, stream.id, bytes(50_001)), 0.0)
    assert len(pair.read_all(pair.client, stream)) == 50_000
    assert stream.receiving.window.lent == 0


def test_answer_of_known_length_gives_back_what_it_will_not_need() -> None:
    pair = CorePair()
    stream, other = pair.open()
    assert stream.receiving.window.lent == START_WINDOW_BYTES - FIRST_CREDIT_BYTES
    pair.client.send_head(other, OK._replace(body=1000))
    pair.to_server()
    assert stream.receiving.window.lent == 0


def test_body_that_is_too_short_is_a_reset() -> None:
    pair = CorePair()
    _, stream = pair.open(post(5))
    pair.client.receive(frame(FrameType.DATA, stream.id, b"1234"), 0.0)
    pair.client.receive(frame(FrameType.END, stream.id), 0.0)
    assert pair.read_all(pair.client, stream) == b"1234"
    assert stream.receiving.reset == (
        "length-mismatch",
        "4 bytes of body where 5 were announced",
    )


def test_reset_does_not_hide_an_earlier_mismatch() -> None:
    pair = CorePair()
    _, stream = pair.open(post(5))
    pair.client.receive(frame(FrameType.DATA, stream.id, b"123456"), 0.0)
    pair.client.receive(frame(FrameType.RESET, stream.id, CODE), 0.0)
    assert stream.receiving.reset is not None
    assert stream.receiving.reset[0] == "length-mismatch"


# --- stopping ------------------------------------------------------------------------------------


def stopped_answer() -> tuple[CorePair, Stream, Stream]:
    """The server has told the client to stop the answer; the client does not know yet."""
    pair = CorePair()
    stream, other = pair.open(post("chunked"))
    pair.client.send_head(other, OK)
    pair.to_server()
    pair.server.stop_sending(stream, "no-error")
    return pair, stream, other


def test_frames_that_crossed_a_stop_sending_are_ignored_and_kept_nowhere() -> None:
    pair, stream, other = stopped_answer()
    pair.server.next_message(0.0)
    pair.client.send_data(other, b"crossed")
    pair.client.send_end(other)
    pair.to_server()
    assert pair.read_all(pair.server, stream) == b""
    assert stream.receiving.cut
    assert stream.receiving.state is HalfState.ENDED


def test_frames_of_a_stopped_half_are_ignored_also_after_its_acknowledgement() -> None:
    pair, stream, _ = stopped_answer()
    pair.server.next_message(0.0)
    pair.server.receive(frame(FrameType.ACK, 0, pack(pair.server.sent.count)), 0.0)
    assert pair.server.receive(item_frame(Item.DATA, stream.id), 0.0) == []
    assert pair.read_all(pair.server, stream) == b""


def test_ignored_data_is_held_to_the_credit_all_the_same() -> None:
    pair, stream, _ = stopped_answer()
    pair.server.next_message(0.0)
    left = stream.receiving.window.granted - stream.receiving.window.received
    for size in [16_384] * (left // 16_384) + [left % 16_384]:
        pair.server.receive(frame(FrameType.DATA, stream.id, bytes(size)), 0.0)
    with pytest.raises(RemoteProtocolError, match="credit"):
        pair.server.receive(frame(FrameType.DATA, stream.id, b"x"), 0.0)


def test_stop_sending_is_answered_by_a_reset_with_its_code() -> None:
    pair, stream, other = stopped_answer()
    pair.client.send_data(other, bytes(10_000))
    assert pair.to_client() == [Stopped(other)]
    assert other.sending.stopped == "no-error"
    assert kinds_of(pair.client.next_message(1.0)) == [FrameType.RESET, FrameType.ACK]
    assert stream.receiving.reset is None


def test_stop_sending_does_not_disturb_an_answer_that_has_ended() -> None:
    pair, stream, other = stopped_answer()
    pair.client.send_end(other)
    pair.client.next_message(1.0)
    assert pair.to_client() == []
    assert other.sending.stopped is None
    assert kinds_of(pair.client.next_message(2.0)) == [FrameType.ACK]
    assert stream.id in pair.client.streams  # the request goes on


def test_stop_sending_drops_an_end_that_has_not_left() -> None:
    pair, _, other = stopped_answer()
    pair.client.send_data(other, b"x")
    pair.client.send_end(other)
    assert pair.to_client() == [Stopped(other)]
    assert kinds_of(pair.client.next_message(1.0)) == [FrameType.RESET, FrameType.ACK]


def test_stop_sending_keeps_the_reason_of_a_reset_that_has_not_left() -> None:
    pair, stream, other = stopped_answer()
    pair.client.send_data(other, b"x")
    pair.client.reset(other, "origin-timeout", "it took too long")
    pair.to_client()
    pair.to_server()
    assert stream.receiving.reset == ("origin-timeout", "it took too long")


def test_empty_data_wakes_nobody() -> None:
    core, stream = request_half(HalfState.BODY)
    assert core.receive(frame(FrameType.DATA, stream.id, b""), 0.0) == []
    assert core.receive(frame(FrameType.DATA, stream.id, b"x"), 0.0) == [Readable(stream)]


def test_frames_of_a_stream_that_stand_together_make_it_readable_once() -> None:
    pair = CorePair()
    one, _ = pair.open()
    two, _ = pair.open()
    final, data = Item.FINAL, Item.DATA
    sent = [(final, one), (data, one), (final, two), (data, one), (data, one)]
    message = b"".join([item_frame(item, stream.id) for item, stream in sent])
    assert pair.server.receive(message, 0.0) == [Readable(one), Readable(two), Readable(one)]


def test_a_stream_that_is_opened_is_readable_by_what_stands_behind() -> None:
    pair = CorePair()
    stream = pair.server.open(post(4), 0.0)
    pair.server.send_data(stream, b"data")
    pair.server.send_end(stream)
    opened, *others = pair.to_client()
    assert isinstance(opened, Opened)
    assert others == [Readable(opened.stream)]


def test_open_is_told_with_all_that_the_server_said() -> None:
    pair = CorePair()
    pair.server.open(GET, 0.0)
    (event,) = pair.to_client()
    assert isinstance(event, Opened)
    assert event.stream.opened == GET._replace(credit=START_WINDOW_BYTES)
