"""What goes into a message, and in which order."""

from __future__ import annotations

import math

import pytest

from protocol.limits import (
    MESSAGE_COST_BYTES,
    MESSAGE_MAX_BYTES,
    TURN_BYTES,
    UNACKED_BULK_MAX_BYTES,
    UNACKED_MAX_BYTES,
)
from protocol.mux.codec import pack
from protocol.mux.core import Core
from protocol.mux.events import Opened
from protocol.mux.inflight import InFlight
from protocol.mux.streams import Stream
from protocol.mux.wire import HEADER_BYTES, FrameType, frame
from tests.protocol.mux.pair import (
    GET,
    OK,
    SWITCHING,
    UPGRADE,
    CorePair,
    EndlessLine,
    Said,
    frames_of,
    kinds_of,
    post,
)

ENDLESS = 10**12


def uploading(pair: CorePair, credit: int = ENDLESS) -> Stream:
    """A stream whose request may carry as much as the test likes; nobody receives it."""
    stream, _ = pair.open(post("chunked"))
    pair.server.receive(frame(FrameType.CREDIT, stream.id, pack(credit)), 0.0)
    return stream


def next_frames(core: Core, now: float = 0.0) -> list[Said]:
    message = core.next_message(now)
    assert len(message) <= MESSAGE_MAX_BYTES
    return frames_of(message)


def carried(frames: list[Said]) -> list[tuple[int, int]]:
    """Stream and size of each data frame."""
    return [(f.stream_id, len(f.body)) for f in frames if f.kind == FrameType.DATA]


def settled(pair: CorePair) -> None:
    """Every stream has had the empty turn after which it may wake again."""
    while pair.server.next_message(0.0):
        pass


def acknowledge(pair: CorePair) -> None:
    """All that the server has sent."""
    pair.server.receive(frame(FrameType.ACK, 0, pack(pair.server.sent.count)), 0.0)


def test_open_head_and_end_of_one_stream_leave_in_one_message() -> None:
    pair = CorePair()
    stream = pair.server.open(GET, 0.0)
    pair.server.send_end(stream)
    assert kinds_of(pair.server.next_message(0.0)) == [FrameType.OPEN, FrameType.END]


def test_control_goes_first_then_updates_then_streams_and_the_ack_rides_along() -> None:
    pair = CorePair()
    stream, answering = pair.open(post("chunked"))
    pair.client.send_head(answering, OK)
    other = pair.server.open(GET, 0.0)
    pair.to_server()
    pair.server.send_data(stream, b"x")
    pair.server.stop_sending(stream, "no-error")
    pair.server.control.ping(0.0)
    message = pair.server.next_message(0.0)
    assert kinds_of(message) == [
        FrameType.PING,
        FrameType.STOP_SENDING,
        FrameType.OPEN,
        FrameType.DATA,
        FrameType.ACK,
    ]
    assert other.id == 2


def test_streams_take_turns_of_16_kib_in_messages_of_most_bytes() -> None:
    pair = CorePair()
    pair.server.sent.in_flight = EndlessLine()
    streams = [uploading(pair) for _ in range(3)]
    settled(pair)
    for stream in streams:
        pair.server.send_data(stream, bytes(100_000))
    first = next_frames(pair.server)
    assert carried(first)[:3] == [(1, TURN_BYTES), (2, TURN_BYTES), (3, TURN_BYTES)]
    assert sum(len(f.body) + 12 for f in first) > MESSAGE_MAX_BYTES - 64


class SlowLine(InFlight):
    """A message of 1,000 bytes, and no room for bulk behind it."""

    cap_bytes = 1000
    message_bytes = waking_bytes = 1000
    together_bytes = math.inf


def test_bulk_waits_for_the_line_and_what_wakes_does_not() -> None:
    pair = CorePair()
    pair.server.sent.in_flight = SlowLine()
    bulk, keys = uploading(pair), uploading(pair)
    settled(pair)
    acknowledge(pair)
    pair.server.send_data(bulk, bytes(10**6))
    assert carried(next_frames(pair.server)) == [(bulk.id, 1000)]
    assert next_frames(pair.server) == []
    pair.server.send_data(keys, b"k")
    assert carried(next_frames(pair.server)) == [(keys.id, 1)]
    assert next_frames(pair.server) == []
    acknowledge(pair)
    assert carried(next_frames(pair.server)) == [(bulk.id, 1000)]


def test_what_wakes_leaves_together_and_a_head_is_never_cut() -> None:
    pair = CorePair()
    pair.server.sent.in_flight = SlowLine()
    pair.server.open(GET._replace(target=b"/" + bytes(10_000)), 0.0)
    pair.server.open(GET, 0.0)
    assert [f.stream_id for f in next_frames(pair.server)] == [1, 2]


def test_four_downloads_share_a_message() -> None:
    class Line(InFlight):
        message_bytes = waking_bytes = 8192

    pair = CorePair()
    pair.server.sent.in_flight = Line()
    streams = [uploading(pair) for _ in range(6)]
    settled(pair)
    acknowledge(pair)
    for stream in streams:
        pair.server.send_data(stream, bytes(50_000))
    next_frames(pair.server)  # their waking turns
    bulk = carried(next_frames(pair.server))
    assert [size for _, size in bulk] == [2048, 2048, 2048, 2012]  # with headers, a message
    assert len({stream for stream, _ in bulk}) == 4


def test_an_answer_of_a_few_kib_is_one_message_although_a_sessions_first_bulk_is_shorter() -> None:
    pair = CorePair()
    stream = uploading(pair)
    settled(pair)
    acknowledge(pair)
    assert pair.server.sent.in_flight.message_bytes == 2048
    pair.server.send_data(stream, bytes(10_000))
    assert carried(next_frames(pair.server)) == [(stream.id, 10_000)]


def test_before_the_first_ack_what_wakes_at_once_leaves_in_short_messages() -> None:
    pair = CorePair()
    for stream in [uploading(pair) for _ in range(8)]:
        pair.server.send_data(stream, bytes(10_000))
    flight = [carried(next_frames(pair.server)) for _ in range(5)]
    assert [sum(size for _, size in turns) for turns in flight] == [2048, 3072, 2048, 2048, 2048]
    next_frames(pair.server)  # TCP's first window is full
    acknowledge(pair)
    pair.server.send_data(uploading(pair), bytes(10_000))
    assert 10_000 in [size for _, size in carried(next_frames(pair.server))]


def test_a_waking_turn_is_no_longer_than_a_message() -> None:
    pair = CorePair()
    pair.server.sent.in_flight = SlowLine()
    keys = uploading(pair)
    settled(pair)
    acknowledge(pair)
    pair.server.send_data(keys, bytes(2000))
    assert carried(next_frames(pair.server)) == [(keys.id, 1000)]
    assert next_frames(pair.server) == []  # and then it is bulk


def test_a_line_is_told_when_there_is_nothing_more_to_send() -> None:
    pair = CorePair()
    pair.server.sent.in_flight = line = SlowLine()
    stream = uploading(pair)
    settled(pair)
    acknowledge(pair)
    told = []
    line.idle = lambda: told.append(line.unacked_bytes)  # type: ignore[method-assign]  # a spy
    pair.server.send_data(stream, bytes(1500))
    next_frames(pair.server)
    assert next_frames(pair.server) == []
    assert told == []  # held back
    acknowledge(pair)
    (rest,) = next_frames(pair.server)
    assert next_frames(pair.server) == []
    assert told == [len(rest.body) + HEADER_BYTES]


def test_keystroke_overtakes_a_gigabyte() -> None:
    pair = CorePair()
    bulk, keys = uploading(pair), uploading(pair)
    settled(pair)
    pair.server.send_data(bulk, bytes(10**7))
    next_frames(pair.server)
    pair.server.send_data(keys, b"k")
    assert carried(next_frames(pair.server))[0] == (keys.id, 1)


def test_opens_leave_in_the_order_of_their_ids_whatever_else_goes() -> None:
    pair = CorePair()
    bulk = uploading(pair)
    pair.server.send_data(bulk, bytes(10**6))
    for _ in range(300):
        pair.server.open(GET._replace(target=b"/" + bytes(1000)), 0.0)
    opened = []
    for _ in range(40):
        opened += [f.stream_id for f in next_frames(pair.server) if f.kind == FrameType.OPEN]
    assert opened == list(range(2, 302))


def test_stop_sending_never_leaves_before_the_open() -> None:
    pair = CorePair()
    stream = pair.server.open(GET, 0.0)
    pair.server.cancel(stream, "cancelled")
    kinds = []
    while frames := next_frames(pair.server):
        kinds += [FrameType(f.kind) for f in frames]
    assert kinds == [FrameType.OPEN, FrameType.RESET, FrameType.STOP_SENDING]


def test_cancelled_open_reaches_the_client_and_both_forget_the_stream() -> None:
    pair = CorePair()
    stream = pair.server.open(GET, 0.0)
    pair.server.send_end(stream)
    pair.server.cancel(stream, "cancelled")
    opened = pair.to_client()[0]
    assert isinstance(opened, Opened)
    assert opened.stream.receiving.reset == ("cancelled", "")
    assert opened.stream.sending.stopped == "cancelled"
    pair.settle()
    assert pair.server.streams == pair.client.streams == {}


def test_each_stream_has_one_credit_to_say_the_newest() -> None:
    pair = CorePair()
    stream, other = pair.open(post("chunked"))
    pair.to_server()
    for _ in range(40):
        size = min(16_384, pair.server.room(stream))
        pair.server.send_data(stream, bytes(size))
        pair.to_client()
        pair.read_all(pair.client, other)
    said = [f.body for f in next_frames(pair.client) if f.kind == FrameType.CREDIT]
    assert said == [pack(other.receiving.window.granted)]


def test_cancelled_stream_says_no_credit() -> None:
    pair = CorePair()
    _, other = pair.open(post("chunked"))
    assert other.id in pair.client.streams
    pair.client.stop_sending(other, "no-error")
    kinds = [f.kind for f in next_frames(pair.client, 1.0)]
    assert kinds == [FrameType.STOP_SENDING, FrameType.ACK]


def test_stop_sending_counts_as_unacknowledged() -> None:
    pair = CorePair()
    _, other = pair.open()
    pair.client.stop_sending(other, "no-error")
    stop = frame(FrameType.STOP_SENDING, other.id, pack(("no-error", "")))
    assert pair.client.next_message(0.0).startswith(stop)
    assert pair.client.sent.unacked_bytes == len(stop)


def test_update_of_a_half_that_ended_meanwhile_is_not_sent() -> None:
    pair = CorePair()
    _, other = pair.open(post("chunked"))
    pair.client.stop_sending(other, "no-error")
    pair.client.receive(frame(FrameType.END, other.id), 0.0)
    assert [f.kind for f in next_frames(pair.client, 1.0)] == [FrameType.ACK]


def test_many_updates_fill_messages_and_no_more() -> None:
    pair = CorePair()
    for _ in range(1024):
        pair.server.open(post("chunked"), 0.0)
    pair.to_client()
    for stream in pair.client.streams.values():
        pair.client.cancel(stream, "c" * 40)
    said = []
    while frames := next_frames(pair.client):
        said += [f for f in frames if f.kind == FrameType.STOP_SENDING]
    assert len(said) == 1024


# --- what is not acknowledged --------------------------------------------------------------------


def sent_without_ack(pair: CorePair, stream: Stream) -> int:
    """Send until nothing goes any more."""
    while True:
        while pair.server.room(stream) > 0:
            pair.server.send_data(stream, bytes(64 * 1024))
        if not next_frames(pair.server):
            return pair.server.sent.kept_bytes


def test_bulk_stops_at_its_bound_and_goes_on_with_an_ack() -> None:
    pair = CorePair()
    stream = uploading(pair)
    unacked = sent_without_ack(pair, stream)
    assert (
        UNACKED_BULK_MAX_BYTES
        <= unacked
        < UNACKED_BULK_MAX_BYTES + MESSAGE_MAX_BYTES + 2 * MESSAGE_COST_BYTES
    )
    acknowledge(pair)
    assert carried(next_frames(pair.server))


def test_waking_streams_still_find_room_but_never_beyond_the_limit() -> None:
    pair = CorePair()
    sent_without_ack(pair, uploading(pair))
    opened = 0
    while opened < 1000:
        pair.server.open(GET._replace(target=b"/" + bytes(4000)), 0.0)
        opened += 1
        next_frames(pair.server)
        assert pair.server.sent.kept_bytes <= UNACKED_MAX_BYTES + MESSAGE_COST_BYTES
    assert pair.server.sent.kept_bytes > UNACKED_MAX_BYTES - 5000


def test_what_is_not_counted_goes_also_at_the_limit() -> None:
    pair = CorePair()
    stream, other = pair.open(post("chunked"))
    pair.to_server()
    pair.server.send_data(stream, bytes(50_000))
    pair.server.sent.packed(0, UNACKED_MAX_BYTES - pair.server.sent.unacked_bytes, b"", 0.0)
    pair.client.send_head(other, OK)
    pair.to_server()
    pair.server.control.ping(0.0)
    pair.server.stop_sending(stream, "no-error")  # counted: it waits
    assert kinds_of(pair.server.next_message(0.0)) == [FrameType.PING, FrameType.ACK]


def test_credit_goes_at_the_limit_and_is_not_counted_as_unacknowledged() -> None:
    pair = CorePair()
    _, other = pair.open(post("chunked"))
    pair.client.sent.packed(0, UNACKED_MAX_BYTES, b"", 0.0)
    assert FrameType.CREDIT in kinds_of(pair.client.next_message(0.0))
    assert pair.client.sent.unacked_bytes == UNACKED_MAX_BYTES
    assert other.id == 1


# --- room for writers ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["sent", "stopped", "cancelled"])
def test_writer_that_waits_is_told_of_room_once(how: str) -> None:
    pair = CorePair()
    stream = uploading(pair)
    settled(pair)
    pair.server.send_data(stream, bytes(64 * 1024))
    assert pair.server.room(stream) == 0
    stream.sending.wants_room = True
    if how == "sent":
        next_frames(pair.server)
    elif how == "stopped":
        pair.server.receive(frame(FrameType.STOP_SENDING, 1, pack(("no-error", ""))), 0.0)
    else:
        pair.server.cancel(stream, "cancelled")
    assert pair.server.take_made_room() == [stream]
    assert pair.server.take_made_room() == []
    assert not stream.sending.wants_room


def test_writer_that_does_not_wait_is_not_told() -> None:
    pair = CorePair()
    stream = uploading(pair)
    pair.server.send_data(stream, bytes(64 * 1024))
    next_frames(pair.server)
    assert pair.server.take_made_room() == []


def test_websocket_switches_and_both_directions_flow() -> None:
    pair = CorePair()
    stream, other = pair.open(UPGRADE)
    pair.client.send_head(other, SWITCHING)
    pair.client.send_data(other, b"from the app")
    pair.to_server()
    pair.server.send_data(stream, b"from the visitor")
    pair.to_client()
    assert pair.read_all(pair.client, other) == b"from the visitor"
    assert pair.server.take_head(stream, 0.0) == SWITCHING
    assert pair.read_all(pair.server, stream) == b"from the app"
