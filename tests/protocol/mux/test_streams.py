from __future__ import annotations

import math

import pytest

from protocol.http.fields import BodyForm
from protocol.limits import FIRST_CREDIT_BYTES, JOINED_MAX_BYTES, KIB, MIB, READ_BYTES
from protocol.mux.head_bodies import pack_head
from protocol.mux.streams import (
    BodyLength,
    HalfState,
    Item,
    ReceiveHalf,
    item_of,
    length_after,
    start_window,
)
from protocol.mux.windows import Budget, ReceiveWindow
from tests.protocol.mux.pair import CONTINUE, GET, OK, SWITCHING, UPGRADE


def half(state: HalfState = HalfState.BODY) -> ReceiveHalf:
    return ReceiveHalf(state, ReceiveWindow(Budget(), 16_384, 0.0), "chunked")


@pytest.mark.parametrize(
    ("status", "item"),
    [
        (100, Item.INFORMATIONAL),
        (101, Item.FINAL),
        (102, Item.INFORMATIONAL),
        (199, Item.INFORMATIONAL),
        (200, Item.FINAL),
        (999, Item.FINAL),
    ],
)
def test_heads_below_200_are_informational_but_for_101(status: int, item: Item) -> None:
    assert item_of(OK._replace(status=status)) is item


@pytest.mark.parametrize("form", [0, 5])
def test_length_fits_to_the_last_byte_and_is_complete_only_there(form: int) -> None:
    length = BodyLength(form)
    assert length.fits(form)
    assert not length.fits(form + 1)
    assert length.complete is (form == 0)
    length.carried = form
    assert length.complete
    assert not length.fits(1)


def test_no_body_carries_nothing() -> None:
    assert BodyLength(None).complete
    assert not BodyLength(None).fits(1)


@pytest.mark.parametrize("form", ["chunked", "until-close"])
def test_open_end_fits_and_completes_anything(form: BodyForm) -> None:
    length = BodyLength(form)
    assert length.complete
    assert length.fits(2**62)


def test_length_after_the_final_head_is_what_it_says_and_open_after_a_switch() -> None:
    assert length_after(OK._replace(body=5)).limit == 5
    assert length_after(OK._replace(body=None)).limit == 0
    assert length_after(SWITCHING).limit is None


def test_data_is_taken_in_order_and_joined_to_one_read() -> None:
    receiving = half()
    pieces = [bytes([i]) * 20_000 for i in range(5)]
    for piece in pieces:
        receiving.put_data(piece)
    assert receiving.take_data() == b"".join(pieces[:3])
    assert receiving.take_data() == b"".join(pieces[3:])
    assert receiving.take_data() == b""
    assert 3 * 20_000 <= READ_BYTES < 4 * 20_000


def test_single_piece_is_not_copied() -> None:
    receiving = half()
    piece = bytes(5000)
    receiving.put_data(piece)
    assert receiving.take_data() is piece


def test_byte_by_byte_takes_little_memory() -> None:
    receiving = half()
    for _ in range(10 * JOINED_MAX_BYTES):
        receiving.put_data(b"x")
    assert repr(receiving).count("10 chunks") == 1
    assert receiving.take_data() == b"x" * 10 * JOINED_MAX_BYTES


def test_drained_is_without_data_and_heads() -> None:
    with_head, with_data = half(), half()
    with_head.put_head(CONTINUE, b"packed")
    with_data.put_data(b"x")
    assert [half().drained, with_head.drained, with_data.drained] == [True, False, False]
    assert with_head.take_head() == CONTINUE
    assert with_head.drained


def test_a_head_that_is_waited_for_is_kept_as_it_was_read_and_the_others_as_they_came() -> None:
    receiving = half(HalfState.HEADS)
    body = pack_head(OK)
    receiving.put_head(CONTINUE, body)
    receiving.put_head(CONTINUE, body)
    assert [receiving.take_head(), receiving.take_head()] == [CONTINUE, OK]
    receiving.put_head(CONTINUE, body)  # nobody has asked for it
    assert [receiving.take_head(), receiving.take_head()] == [OK, None]
    receiving.put_head(CONTINUE, body)
    assert receiving.take_head() == CONTINUE


@pytest.mark.parametrize(
    ("state", "left", "cut"),
    [
        (HalfState.BODY, b"", True),
        (HalfState.ENDED, b"x", True),
        (HalfState.ENDED, b"", False),
    ],
)
def test_drop_cuts_unless_all_has_come_and_was_taken(
    state: HalfState, left: bytes, cut: bool
) -> None:
    receiving = half(state)
    if left:
        receiving.put_data(left)
    receiving.drop()
    assert receiving.cut is cut
    assert receiving.drained


@pytest.mark.parametrize(
    ("round_trip_ms", "lendable_mib", "kib"),
    [
        (math.inf, 16, 256),
        (40, 16, 256),
        (125, 16, 256),
        (200, 16, 409),
        (250, 16, 512),
        (600, 16, 512),
        (600, 9, 288),
        (600, 1, 256),
    ],
)
def test_first_window_is_larger_on_a_long_line_and_a_part_of_what_may_be_lent(
    round_trip_ms: float, lendable_mib: int, kib: int
) -> None:
    budget = Budget()
    budget.lend(budget.free - lendable_mib * MIB)
    assert start_window(GET, round_trip_ms / 1000, budget) // KIB == kib
    assert start_window(UPGRADE, round_trip_ms / 1000, budget) == FIRST_CREDIT_BYTES
