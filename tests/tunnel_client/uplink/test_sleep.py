from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from tests.clocks import elapsed_s
from tunnel_client.uplink import sleep as sleep_module
from tunnel_client.uplink.sleep import (
    LATE_MIN_S,
    LOOK_EVERY_S,
    SLEPT_MIN_S,
    SleepDetector,
    system_clocks,
    watch_for_sleep,
)

WALL_S = 1_800_000_000.0


def look(ran_s: float, passed_s: float) -> float:
    """What a look says when these seconds have passed on the two clocks since the one before."""
    return SleepDetector(100.0, WALL_S).look(100.0 + ran_s, WALL_S + passed_s)


@pytest.mark.parametrize(
    ("ran_s", "passed_s", "slept_s"),
    [
        (LOOK_EVERY_S, LOOK_EVERY_S, 0.0),
        (LOOK_EVERY_S, LOOK_EVERY_S + SLEPT_MIN_S - 0.01, 0.0),
        (LOOK_EVERY_S, LOOK_EVERY_S + SLEPT_MIN_S, SLEPT_MIN_S),
        (LOOK_EVERY_S, LOOK_EVERY_S + 8 * 3600, 8 * 3600),
        # A busy machine, at the limit and beyond.
        (LOOK_EVERY_S + LATE_MIN_S - 0.01, LOOK_EVERY_S + LATE_MIN_S - 0.01, 0.0),
        (LOOK_EVERY_S + LATE_MIN_S, LOOK_EVERY_S + LATE_MIN_S, LATE_MIN_S),
        # Windows, where the monotonic clock goes on in suspend.
        (LOOK_EVERY_S + 3600, LOOK_EVERY_S + 3600, 3600),
        # Late and slept: stopped, and then the lid was closed.
        (LOOK_EVERY_S + 2, LOOK_EVERY_S + 2 + 60, 62),
        # The clock was set backwards; by itself, and while the process was stopped.
        (LOOK_EVERY_S, LOOK_EVERY_S - 3600, 0.0),
        (LOOK_EVERY_S + 20, LOOK_EVERY_S + 20 - 3600, 20),
        # Early: a virtual clock of a test, or a timer that rounds down.
        (0.0, 0.0, 0.0),
        (0.0, 60.0, 60.0),
    ],
)
def test_a_look_says_how_long_was_slept(ran_s: float, passed_s: float, slept_s: float) -> None:
    assert look(ran_s, passed_s) == pytest.approx(slept_s, abs=1e-5)


def test_a_clock_that_is_slewed_adds_up_to_no_sleep() -> None:
    detector = SleepDetector(0.0, WALL_S)
    looks = [detector.look(n * LOOK_EVERY_S, WALL_S + n * LOOK_EVERY_S * 1.1) for n in range(1000)]
    assert not any(looks)


def test_each_sleep_is_told_once() -> None:
    detector = SleepDetector(0.0, WALL_S)
    assert detector.look(0.5, WALL_S + 60.5) == pytest.approx(60)
    assert detector.look(1.0, WALL_S + 61.0) == 0
    assert detector.look(1.5, WALL_S + 161.5) == pytest.approx(100)


def test_the_clocks_are_those_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    python = SimpleNamespace(monotonic=lambda: 12.5, time=lambda: WALL_S)
    monkeypatch.setattr(sleep_module, "time", python)
    assert system_clocks() == (12.5, WALL_S)


class Machine:
    """Its clocks; `asleep_s` moves one of them alone."""

    def __init__(self) -> None:
        self.asleep_s = 0.0
        self.woken: list[tuple[float, float]] = []

    def clocks(self) -> tuple[float, float]:
        return trio.current_time(), WALL_S + trio.current_time() + self.asleep_s

    def woke(self, slept_s: float) -> None:
        self.woken.append((elapsed_s(), slept_s))


async def test_who_watches_is_told_within_half_a_second_of_waking(
    nursery: trio.Nursery,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    machine = Machine()
    nursery.start_soon(watch_for_sleep, machine.woke, machine.clocks)
    await trio.sleep(100.1)
    assert machine.woken == []
    machine.asleep_s = 7200
    await trio.sleep(LOOK_EVERY_S)
    [(at, slept_s)] = machine.woken
    assert at == 100.5
    assert slept_s == pytest.approx(7200)
    assert [record.message for record in caplog.records] == ["this machine slept for 2 h"]
    await trio.sleep(100)
    assert len(machine.woken) == 1
    nursery.cancel_scope.cancel()


def test_repr_says_when_it_looked() -> None:
    assert repr(SleepDetector(12.34, WALL_S)) == "<SleepDetector last look at 12.3 s>"
