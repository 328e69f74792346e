from __future__ import annotations

from typing import cast

from tunnel_client.observing.footer import Transfer
from tunnel_client.origin.replay import Replay
from tunnel_client.origin.tap import PlainTap
from tunnel_client.origin.transfers import (
    LONG_AFTER_S,
    LOOK_EVERY_S,
    SHOWN_MAX,
    UNKNOWN_LENGTH_MIN_BYTES,
    Transfers,
)


class Head:
    """The part of a head that is looked at."""

    def __init__(self, kind: str, target: bytes) -> None:
        self.kind, self.method, self.target = kind, b"GET", target


class Passing:
    """A request under way, as far as it is looked at."""

    def __init__(self, began_at: float = 0.0, *, kind: str = "http", target: bytes = b"/") -> None:
        self.tap = PlainTap(began_at)
        self.tap.status = 200
        self.opened = Head(kind, target)
        self.request_progress: tuple[int, int | None] = (0, None)
        self.answer_progress: tuple[int, int | None] = (0, None)

    @property
    def stream(self) -> Passing:
        return self

    def answers(self, done_bytes: int, of_bytes: int | None) -> Passing:
        self.answer_progress = (done_bytes, of_bytes)
        return self


def transfers(*passing: Passing) -> Transfers:
    return Transfers(cast(set[Replay], set(passing)))


def test_a_transfer_is_shown_once_it_takes_long() -> None:
    looked = transfers(Passing().answers(10, 100))
    assert looked.oldest(LONG_AFTER_S - LOOK_EVERY_S - 0.1) == ()
    assert looked.oldest(LONG_AFTER_S - 0.01) == ()
    assert looked.oldest(LONG_AFTER_S + LOOK_EVERY_S) == (
        Transfer(b"GET", b"/", 10, 100, 10 / (LONG_AFTER_S + LOOK_EVERY_S)),
    )


def test_progress_is_of_now_and_a_rate_of_the_last_two_looks() -> None:
    passing = Passing().answers(500, 10_000)
    looked = transfers(passing)
    looked.oldest(5.0)
    passing.answers(1_500, 10_000)
    assert looked.oldest(5.5)[0][2:] == (1_500, 10_000, 100.0)
    assert looked.oldest(7.0)[0][2:] == (1_500, 10_000, 500.0)
    passing.answers(1_600, 10_000)
    assert looked.oldest(8.0)[0].rate == 100.0


def test_an_upload_is_shown_until_the_answer_begins() -> None:
    passing = Passing()
    passing.tap.status = None
    passing.request_progress = (4_000, 8_000)
    looked = transfers(passing)
    assert looked.oldest(4.0)[0][2:] == (4_000, 8_000, 1_000.0)
    passing.tap.status = 200
    passing.answers(500, 1_000)
    assert looked.oldest(5.0)[0][2:] == (500, 1_000, 100.0)


def test_the_oldest_are_shown() -> None:
    many = [Passing(float(age), target=b"/%d" % age).answers(1, 2) for age in (3, 1, 2, 0)]
    shown = [transfer.path for transfer in transfers(*many).oldest(10.0)]
    assert shown == [b"/0", b"/1"]
    assert len(shown) == SHOWN_MAX


def test_what_waits_or_streams_a_little_or_was_switched_is_none() -> None:
    waiting = Passing().answers(0, 100)
    events = Passing().answers(UNKNOWN_LENGTH_MIN_BYTES - 1, None)
    sockets = Passing(kind="websocket").answers(10**9, None)
    assert transfers(waiting, events, sockets).oldest(10.0) == ()
    large = Passing().answers(UNKNOWN_LENGTH_MIN_BYTES, None)
    assert len(transfers(large).oldest(10.0)) == 1


def test_what_is_over_is_shown_no_more() -> None:
    passing = Passing().answers(1, 2)
    busy = {cast(Replay, passing)}
    looked = Transfers(busy)
    assert len(looked.oldest(10.0)) == 1
    busy.clear()
    assert looked.oldest(10.1) == ()
    assert repr(looked) == "<Transfers 1 of 0>"
