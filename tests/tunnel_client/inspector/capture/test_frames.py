from __future__ import annotations

import zlib

import pytest
from hypothesis import given, strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage
from wsproto.extensions import PerMessageDeflate

from tunnel_client.inspector.capture.frames import APP, LOOKED_AT_ROWS, TEXT_CHARS, VISITOR, Frames
from tunnel_client.inspector.capture.inflating import (
    INFLATED_MAX_BYTES,
    Deflate,
    Inflater,
    agreed,
)
from tunnel_client.inspector.capture.ring import Ring
from tunnel_client.inspector.capture.walking import unmasked
from tunnel_client.origin.socket_tally import SocketEnd

MIB = 1024 * 1024
PLAIN = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
DEFLATED = PLAIN[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
FORGETTING = DEFLATED[:-4] + b"; client_no_context_takeover; server_no_context_takeover\r\n\r\n"

masks = st.one_of(st.none(), st.binary(min_size=4, max_size=4))


def frame(payload: bytes, first: int = 0x81, mask: bytes | None = None) -> bytes:
    bit = 0 if mask is None else 0x80
    if len(payload) < 126:
        head = bytes([first, bit | len(payload)])
    elif len(payload) < 65536:
        head = bytes([first, bit | 126]) + len(payload).to_bytes(2, "big")
    else:
        head = bytes([first, bit | 127]) + len(payload).to_bytes(8, "big")
    return head + payload if mask is None else head + mask + unmasked(payload, mask)


class Deflater:
    def __init__(self, *, forgets: bool = False) -> None:
        self._forgets = forgets
        self._deflating = zlib.compressobj(9, zlib.DEFLATED, -15)

    def message(self, payload: bytes) -> bytes:
        if self._forgets:
            self._deflating = zlib.compressobj(9, zlib.DEFLATED, -15)
        return (self._deflating.compress(payload) + self._deflating.flush(zlib.Z_SYNC_FLUSH))[:-4]


def some_frames(head: bytes = PLAIN, memory_bytes: int = 8 * MIB) -> Frames:
    return Frames(Ring(memory_bytes), head)


def feed(frames: Frames, side: int, data: bytes) -> None:
    for _ in frames.feed(side, data, 1.0):
        pass


def texts(frames: Frames) -> list[str]:
    return [row.text for row in frames.rows(0, 1000)]


@given(data=st.data(), masked=st.booleans(), deflates=st.sampled_from([PLAIN, DEFLATED]))
def test_frames_cut_anywhere_say_what_wsproto_says(
    data: st.DataObject, masked: bool, deflates: bytes
) -> None:
    """Fragments, any mask, any cut, compressed or not; control frames stand between them."""
    deflater = Deflater()
    wire = b""
    for message in data.draw(st.lists(st.text(max_size=300), max_size=6)):
        payload = message.encode()
        first = 0x01
        if deflates is DEFLATED:
            payload, first = deflater.message(payload), 0x41
        cuts = sorted(data.draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        pieces = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
        for number, piece in enumerate(pieces):
            fin = 0x80 if number == len(pieces) - 1 else 0
            mask = data.draw(st.binary(min_size=4, max_size=4)) if masked else None
            wire += frame(piece, fin | (first if number == 0 else 0), mask)
            # wsproto takes the rest of a compressed message as plain behind a control frame.
            if (fin or deflates is PLAIN) and data.draw(st.booleans()):
                wire += frame(b"p", 0x89, mask)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    frames = some_frames(deflates)
    for begin, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        feed(frames, VISITOR, wire[begin:end])
    begins = [row.number for row in frames.rows(0, 1000) if row.opcode in (1, 2)]
    told = [frames.message(number) for number in begins]
    assert all(message is not None and message.is_whole for message in told)
    assert [message.data for message in told if message] == by_wsproto(
        wire, masked=masked, deflates=deflates is DEFLATED
    )


def by_wsproto(wire: bytes, *, masked: bool, deflates: bool) -> list[bytes]:
    extension = PerMessageDeflate()
    extension._enabled = True
    connection = Connection(
        ConnectionType.SERVER if masked else ConnectionType.CLIENT,
        extensions=[extension] if deflates else [],
    )
    connection.receive_data(wire)
    messages: list[bytes] = []
    begun = b""
    for event in connection.events():
        if isinstance(event, TextMessage | BytesMessage):
            part = event.data
            begun += part.encode() if isinstance(part, str) else part
            if event.message_finished:
                messages.append(begun)
                begun = b""
    return messages


MESSAGES = [b'{"event":"update","id":%d,"path":"/src/m%d.js"}' % (n, n % 7) for n in range(40)]


@given(
    begin=st.integers(0, 2000),
    size=st.integers(1, 400),
    deflates=st.sampled_from([PLAIN, DEFLATED, FORGETTING]),
    mask=masks,
)
def test_a_dropped_chunk_never_shows_a_wrong_text(
    begin: int, size: int, deflates: bytes, mask: bytes | None
) -> None:
    deflater = Deflater(forgets=deflates is FORGETTING)
    if deflates is PLAIN:
        wire = b"".join(frame(message, mask=mask) for message in MESSAGES)
    else:
        wire = b"".join(frame(deflater.message(each), 0xC1, mask) for each in MESSAGES)
    begin = min(begin, len(wire))
    size = min(size, len(wire) - begin)
    frames = some_frames(deflates)
    feed(frames, APP, wire[:begin])
    frames.skip(APP, size, 1.0)
    feed(frames, APP, wire[begin + size :])
    rows = frames.rows(0, 1000)
    whole = [message.decode() for message in MESSAGES]
    for row in rows:
        if row.problem is None:
            assert row.text in whole
        else:
            assert any(each.startswith(row.text) for each in whole)
    assert size == 0 or any(row.problem for row in rows)


def test_behind_a_gap_nothing_compressed_is_read_and_it_says_so() -> None:
    deflater = Deflater()
    wire = [frame(deflater.message(each), 0xC1) for each in MESSAGES[:4]]
    frames = some_frames(DEFLATED)
    feed(frames, APP, wire[0] + wire[1][:4])
    frames.skip(APP, len(wire[1]) - 4, 1.0)
    feed(frames, APP, wire[2] + frame(b"plain") + wire[3])
    assert texts(frames) == [MESSAGES[0].decode(), "{", "", "plain", ""]
    problems = [row.problem for row in frames.rows(0, 9)]
    compressed = "compressed; cannot be read since something before it was"
    assert problems == [None, "a part of it was dropped", compressed, None, compressed]


def test_messages_that_are_compressed_by_themselves_are_read_again_behind_a_gap() -> None:
    deflater = Deflater(forgets=True)
    wire = [frame(deflater.message(each), 0xC1) for each in MESSAGES[:3]]
    frames = some_frames(FORGETTING)
    feed(frames, APP, wire[0] + wire[1][:4])
    frames.skip(APP, len(wire[1]) - 4, 1.0)
    feed(frames, APP, wire[2])
    assert texts(frames) == [MESSAGES[0].decode(), "{", MESSAGES[2].decode()]


def test_a_gap_between_frames_ends_the_walk_of_its_side_alone() -> None:
    frames = some_frames()
    feed(frames, APP, frame(b"one"))
    frames.skip(APP, 10, 2.0)
    feed(frames, APP, frame(b"two"))
    feed(frames, VISITOR, frame(b"three", mask=b"abcd"))
    rows = frames.rows(0, 9)
    assert [(row.sender, row.text, row.opcode) for row in rows] == [
        *[("app", "one", 1), ("app", "", None), ("visitor", "three", 1)],
    ]
    assert rows[1].problem is not None
    assert "dropped" in rows[1].problem


@pytest.mark.parametrize(
    "header", [b"\x83\x00", b"\x09\x00", b"\x89\x7e\x00\x7e", b"\x82\x7f" + b"\xff" * 8]
)
def test_what_is_no_frame_ends_the_walk(header: bytes) -> None:
    frames = some_frames()
    feed(frames, APP, frame(b"one") + header + frame(b"two"))
    assert [(row.text, row.opcode) for row in frames.rows(0, 9)] == [("one", 1), ("", None)]


def test_a_close_says_by_whom_with_its_code_and_reason() -> None:
    frames = some_frames()
    feed(frames, APP, frame((1000).to_bytes(2, "big") + "zurück".encode(), 0x88))
    feed(frames, VISITOR, frame(b"", 0x88, b"abcd"))
    assert [row.close for row in frames.rows(0, 9)] == [(1000, "zurück"), None]
    assert frames.closed_by == "app"


def test_a_ping_of_the_tunnel_is_its_own() -> None:
    frames = some_frames()
    feed(frames, VISITOR, frame(b"abc", mask=b"wxyz")[:5])
    frames.add_own(frame(b"12", 0x89, b"mask"), 1.0)
    feed(frames, VISITOR, frame(b"abc", mask=b"wxyz")[5:])
    rows = frames.rows(0, 9)
    assert [(row.sender, row.opcode, row.size_bytes) for row in rows] == [
        *[("tunnel", 9, 2), ("visitor", 1, 3)],
    ]
    assert frames.messages == [1, 0]


def test_sizes_are_those_of_the_wire_and_decoded() -> None:
    payload = b"a" * 1000
    packed = Deflater().message(payload)
    frames = some_frames(DEFLATED)
    feed(frames, APP, frame(packed, 0xC2))
    [row] = frames.rows(0, 9)
    assert (row.size_bytes, row.decoded_bytes, row.rsv1) == (len(packed), 1000, True)
    assert row.text == ""
    message = frames.message(0)
    assert message is not None
    assert (message.data, message.is_whole, message.is_text) == (payload, True, False)


@pytest.mark.parametrize("letter", ["x", "ü", "\U0001f600"])
def test_of_a_text_its_first_characters_are_in_the_row(letter: str) -> None:
    frames = some_frames()
    feed(frames, APP, frame((letter * (TEXT_CHARS + 1)).encode()))
    [row] = frames.rows(0, 9)
    assert row.text == letter * TEXT_CHARS


def test_a_frame_that_is_larger_than_what_is_kept_is_told_with_its_true_size() -> None:
    frames = some_frames(memory_bytes=8 * 1024)
    feed(frames, APP, frame(b"x" * 5000) + frame(b"y"))
    first, second = frames.rows(0, 9)
    assert (first.size_bytes, first.decoded_bytes, second.text) == (5000, 5000, "y")
    message = frames.message(0)
    assert message is not None
    assert not message.is_whole
    assert message.data == b"x" * len(message.data)


def test_rows_that_gave_way_are_no_gap() -> None:
    deflater = Deflater()
    frames = some_frames(DEFLATED, memory_bytes=64 * 1024)
    for number in range(5000):
        feed(frames, APP, frame(deflater.message(b"message %d" % number), 0xC1))
    frames.prune()
    assert frames.count == 5000
    assert 0 < frames.first < 5000
    assert frames.row(0) is None
    assert frames.message(0) is None
    last = frames.row(4999)
    assert last is not None
    assert last.text == "message 4999"
    assert frames.taken_bytes == 8 * (5000 - frames.first)


def test_fragments_of_a_message_are_joined_from_any_of_them() -> None:
    frames = some_frames()
    feed(frames, APP, frame(b"ab", 0x01))
    feed(frames, VISITOR, frame(b"other", mask=b"abcd"))
    feed(frames, APP, frame(b"ping", 0x89) + frame(b"cd", 0x00) + frame(b"ef", 0x80))
    feed(frames, APP, frame(b"next"))
    for number in (0, 3, 4):
        message = frames.message(number)
        assert message is not None
        assert (message.data, message.is_whole) == (b"abcdef", True)
    assert frames.messages == [1, 2]


@pytest.mark.parametrize("more", [0, 1])
def test_a_message_in_very_many_fragments_is_shown_in_part(more: int) -> None:
    frames = some_frames()
    rest = frame(b"x", 0x00) * (LOOKED_AT_ROWS - 2 + more)
    feed(frames, APP, frame(b"x", 0x01) + rest + frame(b"x", 0x80))
    message = frames.message(0)
    assert message is not None
    assert message.is_whole == (not more)
    assert len(message.data) == LOOKED_AT_ROWS


def test_a_frame_that_was_not_finished_says_so() -> None:
    frames = some_frames()
    feed(frames, APP, frame(b"abcdef")[:-2])
    assert frames.count == 0
    frames.end(2.0)
    [row] = frames.rows(0, 9)
    assert (row.text, row.problem) == ("abcd", "it was not finished")


def test_an_end_that_was_seen_without_gaps_tells_what_frames_do_not() -> None:
    frames = some_frames()
    feed(frames, APP, frame(b"one"))
    frames.skip(APP, 10, 1.5)
    frames.end(2.0, SocketEnd(3, 7, "app", None, "reset"))
    assert (frames.messages, frames.closed_by, frames.ended_how) == ([3, 7], "app", "reset")


def test_without_payloads_compressed_frames_have_their_sizes() -> None:
    deflater = Deflater()
    wire = b"".join(frame(deflater.message(each), 0xC1) for each in MESSAGES)
    frames = Frames(Ring(8 * MIB), DEFLATED, keeps_payloads=False)
    feed(frames, APP, wire)
    rows = frames.rows(0, len(MESSAGES))
    assert [row.decoded_bytes for row in rows] == [len(each) for each in MESSAGES]
    assert [(row.text, row.problem) for row in rows] == [("", None)] * len(MESSAGES)


def test_a_bomb_ends_the_reading_of_its_side() -> None:
    packed = Deflater().message(bytes(INFLATED_MAX_BYTES * 2))
    frames = some_frames(DEFLATED)
    feed(frames, APP, frame(packed, 0xC2))
    [row] = frames.rows(0, 9)
    assert row.problem is not None
    assert "compressed" in row.problem


def test_a_message_of_one_mib_and_more_is_inflated_on() -> None:
    deflater = Deflater()
    frames = some_frames(DEFLATED, memory_bytes=32 * MIB)
    feed(frames, APP, frame(deflater.message(b"z" * 2 * MIB), 0xC1))
    feed(frames, APP, frame(deflater.message(b"zzz"), 0xC1))
    first, second = frames.rows(0, 9)
    assert (first.decoded_bytes, first.problem) == (2 * MIB, None)
    assert second.text == "zzz"


def test_rsv1_without_an_agreement_is_a_problem() -> None:
    frames = some_frames()
    feed(frames, APP, frame(b"abc", 0xC1))
    [row] = frames.rows(0, 9)
    assert row.problem == "compressed, and nobody had agreed on that"


def test_parameters_are_read_from_the_101() -> None:
    assert agreed(PLAIN) is None
    assert agreed(DEFLATED) == Deflate(visitor_forgets=False, app_forgets=False)
    assert agreed(FORGETTING) == Deflate(visitor_forgets=True, app_forgets=True)
    several = b"HTTP/1.1 101 x\r\nsec-websocket-extensions: a;b, PerMessage-Deflate ; "
    several += b"server_max_window_bits=10;client_no_context_takeover\r\n\r\n"
    assert agreed(several) == Deflate(visitor_forgets=True, app_forgets=False)


def test_an_inflater_begins_anew_behind_a_stream_that_ended() -> None:
    inflater = Inflater(forgets=False)
    for _ in range(2):
        whole = zlib.compressobj(9, zlib.DEFLATED, -15)
        inflater.begin()
        assert inflater.feed(whole.compress(b"abc") + whole.flush(), 9) == (b"abc", 3)
        assert inflater.end(9) == (b"", 0)


@given(st.lists(st.tuples(st.binary(max_size=50), st.integers(0, 60)), max_size=10), st.booleans())
def test_garbage_is_walked_over(pieces: list[tuple[bytes, int]], deflates: bool) -> None:
    frames = some_frames(DEFLATED if deflates else PLAIN)
    for data, gap in pieces:
        feed(frames, VISITOR, data)
        if gap:
            frames.skip(VISITOR, gap, 1.0)
    frames.end(2.0)
    for number in range(frames.count):
        assert frames.row(number) is not None
        assert frames.message(number) is not None
