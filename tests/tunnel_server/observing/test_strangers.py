from __future__ import annotations

import logging
from collections.abc import Mapping

import pytest
import trio
from trio.testing import MockClock

from tunnel_server.observing.strangers import KINDS_MAX, Sparing, by_stranger

HERE = "192.0.2.1"


def record(
    text: str, *arguments: object, extra: Mapping[str, object] | None = None
) -> logging.LogRecord:
    logger = logging.getLogger("tunnel_server.x")
    return logger.makeRecord(logger.name, logging.INFO, "", 0, text, arguments, None, extra=extra)


def refused(address: str = HERE, code: str = "unauthorized") -> logging.LogRecord:
    return record("%s: refused: %s", address, code, extra=by_stranger(address, code))


def tells(sparing: Sparing, told: logging.LogRecord, now: float = 0.0) -> bool:
    stranger: tuple[str, str | None] = told.stranger  # type: ignore[attr-defined]  # of its extra
    return sparing.may_tell(told, stranger, now)


def test_what_no_stranger_causes_is_told_each_time() -> None:
    sparing = Sparing()
    assert all(sparing.filter(record("accepting again")) for _ in range(1_000))


async def test_below_the_level_info_all_is_told_that_an_operator_asked_for() -> None:
    sparing = Sparing()
    traced = record("%s", "<- 12 DATA", extra=by_stranger(HERE))
    traced.levelno = logging.DEBUG
    assert all(sparing.filter(traced) for _ in range(10))


def test_a_kind_of_a_source_is_told_once_a_minute_and_then_counted() -> None:
    sparing = Sparing()
    assert [tells(sparing, refused(), now) for now in range(60)] == [True] + [False] * 59
    assert sparing.sweep(59.9) == []
    said = f"{HERE}: refused: unauthorized; 59 more like it in a minute"
    assert sparing.sweep(60.0) == [said]  # which is this minute's line of it
    assert not tells(sparing, refused(), 61.0)
    assert sparing.sweep(119.9) == []
    assert sparing.sweep(120.0) == [said.replace("59", "1")]
    assert sparing.sweep(180.0) == []
    assert tells(sparing, refused(), 180.0)


def test_a_whole_sentence_ends_once_before_its_count() -> None:
    sparing = Sparing()
    for now in range(2):
        sparing.may_tell(record("It has its share of the server."), ("", None), now)
    assert sparing.sweep(60.0) == ["It has its share of the server; 1 more like it in a minute"]


def test_kinds_and_sources_are_told_apart() -> None:
    sparing = Sparing()
    others = [
        refused(),
        refused("192.0.2.2"),
        refused(code="forbidden"),
        record("%s: no hello", HERE, extra=by_stranger(HERE)),
        refused("2001:db8::1"),
        refused("2001:db8:0:1::1"),
    ]
    assert all(tells(sparing, each) for each in others)
    assert not tells(sparing, refused("2001:db8::ffff"))  # of the same network
    assert not any(tells(sparing, each) for each in others)


def test_a_hundred_are_told_a_minute_and_the_rest_is_counted() -> None:
    sparing = Sparing()
    told = [tells(sparing, refused(f"10.0.{n // 256}.{n % 256}"), n / 100) for n in range(1_000)]
    assert told == [True] * KINDS_MAX + [False] * (1_000 - KINDS_MAX)
    assert repr(sparing) == f"<Sparing {KINDS_MAX} kinds, {1_000 - KINDS_MAX} left out>"
    assert sparing.sweep(60.9) == []
    said = f"{1_000 - KINDS_MAX} lines about other strangers were left out in a minute"
    assert sparing.sweep(61.0) == [said]
    assert repr(sparing) == "<Sparing 0 kinds, 0 left out>"
    assert tells(sparing, refused("10.0.3.255"), 61.0)


def test_many_that_go_on_are_a_hundred_lines_a_minute_all_the_same() -> None:
    sparing = Sparing()
    lines = 0
    for second in range(600):
        for number in range(300):
            lines += tells(sparing, refused(f"10.0.{number // 256}.{number % 256}"), second)
        lines += len(sparing.sweep(second))
    assert lines <= 10 * (KINDS_MAX + 1)


async def test_counts_are_logged_in_time_and_at_the_end(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sparing = Sparing()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sparing.run)
        for _ in range(3):
            sparing.filter(refused())
        await trio.sleep(62)
        said = f"{HERE}: refused: unauthorized; 2 more like it in a minute"
        assert caplog.messages == [said]
        sparing.filter(refused())
        nursery.cancel_scope.cancel()
    assert caplog.messages == [said, said.replace("2 more", "1 more")]
