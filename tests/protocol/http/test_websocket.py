from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st

from protocol.http.websocket import (
    PING,
    PONG,
    FrameCutter,
    WatchingCutter,
    accept_for,
    close_frame,
    ping_frame,
    valid_key,
)
from tests.protocol.http.drawn import binary, each_byte, split

MASK = b"\x01\x02\x03\x04"


def frame(
    first: int, payload: bytes = b"", *, masked: bool = False, announced: int | None = None
) -> bytes:
    length = len(payload) if announced is None else announced
    mask_bit = 0x80 if masked else 0
    if length < 126:
        header = bytes([first, mask_bit | length])
    elif length < 2**16:
        header = bytes([first, mask_bit | 126]) + length.to_bytes(2, "big")
    else:
        header = bytes([first, mask_bit | 127]) + length.to_bytes(8, "big")
    return header + (MASK if masked else b"") + payload


def passed(pieces: list[bytes], masked: bool = False) -> tuple[bytes, bool, bytes, bool]:
    """What went on, whether a Close was in it, what was held, and whether the frames were lost."""
    cutter = FrameCutter(masked)
    out = b"".join(map(cutter.feed, pieces))
    return out, cutter.closed, cutter.held, cutter.lost


def step(cutter: FrameCutter, data: bytes) -> tuple[bytes, bool, bytes]:
    return cutter.feed(data), cutter.at_boundary, cutter.held


# --- the handshake -------------------------------------------------------------------------------


def test_accept_is_that_of_the_rfc() -> None:
    assert accept_for(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("key", "is_valid"),
    [
        (b"dGhlIHNhbXBsZSBub25jZQ==", True),
        (b"", False),
        (b"dGhlIHNhbXBsZSBub25jZQ=", False),
        (b"dGhlIHNhbXBsZSBub25jZQ== ", False),
        (b"dGhlIHNhbXBsZSBub25jZQ==\n", False),
        (b"dGhlIHNhbXBsZSBub25jZ___", False),
        (b"dGhlIHNhbXBsZSBub25jZTEy", False),
    ],
)
def test_key_is_16_bytes_in_base64(key: bytes, is_valid: bool) -> None:
    assert valid_key(key) is is_valid


def test_close_frame_carries_its_code_and_passes_the_cutter() -> None:
    assert close_frame(1012) == b"\x88\x02\x03\xf4"
    assert close_frame(1001, mask=MASK) == b"\x88\x82" + MASK + b"\x02\xeb"
    assert passed([close_frame(1012)]) == (close_frame(1012), True, b"", False)
    masked = close_frame(1001, mask=MASK)
    assert passed([masked], masked=True) == (masked, True, b"", False)


def test_ping_frame_carries_its_payload_and_passes_the_cutter() -> None:
    assert ping_frame(b"abc") == b"\x89\x03abc"
    masked = ping_frame(bytes(125), mask=MASK)
    assert masked == b"\x89\xfd" + MASK + (MASK * 32)[:125]
    assert passed([masked], masked=True) == (masked, False, b"", False)


# --- frames that pass ----------------------------------------------------------------------------

LEGAL = [
    *((first, b"payload") for first in (0x00, 0x01, 0x02, 0x80, 0x81, 0x82)),
    *((first, b"payload") for first in (0x88, 0x89, 0x8A)),
    *((first | rsv, b"x") for first in (0x01, 0x82, 0x89) for rsv in (0x10, 0x20, 0x40, 0x70)),
    *((first, b"") for first in (0x00, 0x81, 0x88, 0x8A)),
    *((0x82, bytes(length)) for length in (125, 126, 127, 65_535, 65_536)),
    *((first, bytes(125)) for first in (0x88, 0x89, 0x8A)),
]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("first", "payload"), LEGAL)
def test_legal_frame_passes_as_it_came(first: int, payload: bytes, masked: bool) -> None:
    data = frame(first, payload, masked=masked)
    cutter = FrameCutter(masked)
    assert cutter.feed(data) is data
    assert cutter.at_boundary
    assert cutter.held == b""
    assert cutter.closed is (first & 0x0F == 0x08)
    if len(data) < 1000:
        assert passed(each_byte(data), masked) == (data, cutter.closed, b"", False)


def test_several_frames_of_one_read_pass_without_a_copy() -> None:
    data = frame(0x01, b"abc") + frame(0x89, b"ping") + frame(0x80, bytes(300)) + close_frame(1000)
    cutter = FrameCutter(masked=False)
    assert cutter.feed(data) is data
    assert cutter.closed
    assert cutter.feed(b"") == b""


def test_data_after_a_close_and_fragments_out_of_order_are_not_ours_to_judge() -> None:
    data = close_frame(1000) + frame(0x00, b"a") + frame(0x01, b"b") + frame(0x81, b"c")
    assert passed([data]) == (data, True, b"", False)


def test_payload_passes_as_it_comes_and_is_no_boundary() -> None:
    data = frame(0x82, bytes(200))
    cutter = FrameCutter(masked=False)
    assert step(cutter, data[:100]) == (data[:100], False, b"")
    assert repr(cutter) == "<FrameCutter masked=False left=104 held=0 closed=False lost=False>"
    piece = data[100:150]
    assert cutter.feed(piece) is piece
    assert step(cutter, data[150:] + b"\x89") == (data[150:], True, b"\x89")


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("length", [5, 200, 70_000])
def test_header_is_held_until_it_is_whole(masked: bool, length: int) -> None:
    header = frame(0x82, masked=masked, announced=length)
    cutter = FrameCutter(masked)
    for count in range(1, len(header)):
        assert step(cutter, header[count - 1 : count]) == (b"", True, header[:count])
    assert step(cutter, header[-1:]) == (header, False, b"")


def test_control_frame_is_held_until_it_is_whole() -> None:
    before = frame(0x01, b"abc")
    control = frame(0x88, bytes(125), masked=False)
    cutter = FrameCutter(masked=False)
    assert step(cutter, before + control[:-1]) == (before, True, control[:-1])
    assert repr(cutter) == "<FrameCutter masked=False left=0 held=126 closed=False lost=False>"
    assert step(cutter, control[-1:] + b"\x81") == (control, True, b"\x81")
    assert cutter.closed


def test_frame_of_2_to_the_62_bytes_needs_no_memory() -> None:
    header = frame(0x82, masked=True, announced=2**62)
    cutter = FrameCutter(masked=True)
    assert cutter.feed(header) is header
    piece = bytes(65_536)
    for _ in range(10):
        assert cutter.feed(piece) is piece
    assert cutter.held == b""
    assert not cutter.at_boundary


# --- frames that do not --------------------------------------------------------------------------

LONGER_FORM = {
    "125 in two bytes": b"\x82\x7e" + (125).to_bytes(2, "big"),
    "0 in two bytes": b"\x82\x7e\x00\x00",
    "65,535 in eight bytes": b"\x82\x7f" + (65_535).to_bytes(8, "big"),
    "the top bit": b"\x82\x7f" + (2**63).to_bytes(8, "big"),
    "all bits": b"\x82\x7f" + b"\xff" * 8,
}


@pytest.mark.parametrize(
    "header",
    [
        *(bytes([0x80 | opcode]) for opcode in (*range(3, 8), *range(11, 16))),
        *(bytes([opcode]) for opcode in (*range(3, 8), *range(8, 16))),
        b"\xff",
        b"\x81\x80",  # masked where it must not be
        b"\x88\x7e",
        b"\x89\x7f",
        *LONGER_FORM.values(),
    ],
)
def test_illegal_header_is_the_last_that_is_looked_at(header: bytes) -> None:
    before = frame(0x81, b"abc")
    behind = frame(0x81, b"d") + b"\x82\x7e" + close_frame(1000)
    data = before + header + behind
    assert passed([data]) == (data, False, b"", True)
    assert passed(each_byte(data)) == (data, False, b"", True)


@pytest.mark.parametrize("second", [0x00, 0x7D, 0x7E, 0x7F])
def test_unmasked_frame_is_illegal_where_masks_are_due(second: int) -> None:
    cutter = FrameCutter(masked=True)
    assert step(cutter, bytes([0x81, second])) == (bytes([0x81, second]), False, b"")
    assert cutter.lost


def test_nobody_may_cut_behind_an_illegal_header() -> None:
    data = frame(0x82, bytes(200))
    cutter = FrameCutter(masked=False)
    cutter.feed(data[:10])
    assert step(cutter, data[10:]) == (data[10:], True, b"")
    assert step(cutter, b"\x83") == (b"\x83", False, b"")
    piece = frame(0x81, b"abc")
    assert cutter.feed(piece) is piece
    assert not cutter.at_boundary
    assert repr(cutter).endswith("closed=False lost=True>")


def test_what_was_held_goes_on_with_what_makes_it_illegal() -> None:
    cutter = FrameCutter(masked=True)
    assert step(cutter, b"\x89") == (b"", True, b"\x89")
    assert step(cutter, b"\x05ping!") == (b"\x89\x05ping!", False, b"")


def test_longest_length_is_2_to_the_63_less_1() -> None:
    header = frame(0x82, announced=2**63 - 1)
    assert passed([header]) == (header, False, b"", False)


def test_close_in_front_of_an_illegal_header_has_passed() -> None:
    data = close_frame(1000) + b"\x83"
    assert passed([data]) == (data, True, b"", True)


# --- any input -----------------------------------------------------------------------------------

FRAMES = st.lists(
    st.one_of(
        st.builds(
            frame,
            st.sampled_from([0x01, 0x80, 0x82, 0x88, 0x89, 0xC1]),
            binary(140),
            masked=st.booleans(),
        ),
        st.sampled_from([*LONGER_FORM.values(), b"\x83", b"\x82\x7e\x01"]),
        binary(3),
    ),
    max_size=5,
).map(b"".join)


@given(data=FRAMES, cuts=st.lists(st.integers(0, 400), max_size=8), masked=st.booleans())
def test_any_bytes_in_any_split_pass_the_same_way(
    data: bytes, cuts: list[int], masked: bool
) -> None:
    pieces = split(data, cuts)
    whole = passed([data], masked)
    assert passed(pieces, masked) == passed(each_byte(data), masked) == whole
    out, _, held, lost = whole
    assert data == out + held
    assert len(held) <= (0 if lost else 130)


@given(
    payloads=st.lists(st.tuples(st.sampled_from([0x81, 0x02, 0x89]), binary(125)), max_size=6),
    masked=st.booleans(),
)
def test_boundaries_are_where_frames_end(payloads: list[tuple[int, bytes]], masked: bool) -> None:
    frames = [frame(first, payload, masked=masked) for first, payload in payloads]
    ends = set(itertools.accumulate(map(len, frames), initial=0))
    cutter = FrameCutter(masked)
    sent = 0
    for byte in each_byte(b"".join(frames)):
        sent += len(cutter.feed(byte))
        assert cutter.at_boundary is (sent in ends)
    assert cutter.held == b""


# One read of them: many are short, and what is rare among them stands anywhere.
READS = st.lists(
    st.tuples(
        st.one_of(
            st.builds(
                frame, st.sampled_from([0x00, 0x01, 0x82, 0xC1]), binary(4), masked=st.just(True)
            ),
            st.builds(
                frame,
                st.sampled_from([0x82, 0x09, 0x83, 0x88, 0x89, 0x8A]),
                st.sampled_from([b"", b"x", bytes(125), bytes(126), bytes(300)]),
                masked=st.sampled_from([True] * 5 + [False]),
            ),
        ),
        st.integers(1, 60),
    ),
    max_size=12,
).map(lambda runs: b"".join(piece * count for piece, count in runs))


@given(data=READS, cuts=st.lists(st.integers(0, 2_000), max_size=4))
def test_many_frames_of_one_read_are_cut_as_byte_by_byte(data: bytes, cuts: list[int]) -> None:
    pieces = split(data, cuts)
    assert passed(pieces, masked=True) == passed(each_byte(data), masked=True)
    for opcode in (PING, PONG):
        told = [told_of(opcode, given) for given in (pieces, list(each_byte(data)))]
        assert told[0] == told[1]


def told_of(opcode: int, pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    """The payloads that a cutter tells of, and what goes on where it takes every other one out."""
    told: list[bytes] = []

    def tell(payload: bytes) -> bool:
        told.append(payload)
        return len(told) % 2 == 0

    cutter = WatchingCutter(True, opcode, tell)
    return told, b"".join(map(cutter.feed, pieces))


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 127])
@pytest.mark.parametrize("count", [1, 2, 3, 100])
@pytest.mark.parametrize("first", [0x82, 0x00, 0x89])
def test_pieces_are_the_frames_that_began(first: int, count: int, size: int) -> None:
    cutter = FrameCutter(masked=True)
    whole = frame(first, bytes(min(size, 125) if first == 0x89 else size), masked=True)
    assert cutter.feed(whole * count) == whole * count
    assert cutter.pieces == count
    cutter.feed(whole * count + whole[:1])
    assert cutter.pieces == count + 1


# --- what a report tells of it -------------------------------------------------------------------


@given(st.data(), st.booleans())
def test_messages_are_counted_however_the_bytes_are_cut(data: st.DataObject, masked: bool) -> None:
    firsts = data.draw(st.lists(st.sampled_from([0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A])))
    sizes = data.draw(st.lists(st.integers(0, 300), min_size=len(firsts), max_size=len(firsts)))
    frames = [
        frame(first, bytes(min(size, 125) if first & 0x08 else size), masked=masked)
        for first, size in zip(firsts, sizes, strict=True)
    ]
    cutter = FrameCutter(masked)
    whole = b"".join(frames)
    for piece in split(whole, data.draw(st.lists(st.integers(0, len(whole))))):
        cutter.feed(piece)
    assert cutter.messages == sum(first & 0x0F in (1, 2) for first in firsts)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("payload", "code"),
    [(b"\x03\xe8", 1000), (b"\x03\xe9why", 1001), (b"", None), (b"\x03", None)],
)
@pytest.mark.parametrize("watching", [False, True])
def test_the_first_close_is_told_with_its_code(
    watching: bool, payload: bytes, code: int | None, masked: bool
) -> None:
    told: list[int | None] = []
    cutter = WatchingCutter(masked, PING, lambda ping: True) if watching else FrameCutter(masked)
    cutter.on_close = told.append
    hidden = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload)) if masked else payload
    close = frame(0x88, hidden, masked=masked)
    for piece in each_byte(frame(0x81, b"hi", masked=masked) + close + close):
        cutter.feed(piece)
    assert (told, cutter.closed) == ([code], True)


# --- a cutter that watches -----------------------------------------------------------------------


@given(
    data=FRAMES,
    cuts=st.lists(st.integers(0, 400), max_size=8),
    masked=st.booleans(),
    opcode=st.sampled_from([PING, PONG]),
)
def test_who_watches_and_lets_all_pass_changes_nothing(
    data: bytes, cuts: list[int], masked: bool, opcode: int
) -> None:
    seen: list[bytes] = []

    def see(payload: bytes) -> bool:
        seen.append(payload)
        return True

    plain, watching = FrameCutter(masked), WatchingCutter(masked, opcode, see)
    for piece in split(data, cuts):
        assert watching.feed(piece) == plain.feed(piece)
        assert (watching.held, watching.at_boundary) == (plain.held, plain.at_boundary)
        assert (watching.lost, watching.closed) == (plain.lost, plain.closed)
    assert all(len(payload) <= 125 for payload in seen)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [0, 1, 3, 4, 125])
def test_payload_is_told_unmasked(masked: bool, size: int) -> None:
    seen: list[bytes] = []

    def take_out(payload: bytes) -> bool:
        seen.append(payload)
        return False

    payload = bytes(range(size))
    cutter = WatchingCutter(masked, PING, take_out)
    data = ping_frame(payload, mask=MASK if masked else None)
    assert cutter.feed(data + data[:3]) == b""
    assert cutter.feed(data[3:]) == b""
    assert seen == [payload, payload]


def test_frames_of_other_kinds_are_not_told() -> None:
    cutter = WatchingCutter(False, PING, lambda told: False)
    data = frame(0x81, b"\x89\x00") + frame(0x8A) + frame(0x09) + frame(0x89)
    assert cutter.feed(data) == data  # the last two stand behind an illegal header
