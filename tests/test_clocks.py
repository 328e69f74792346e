from __future__ import annotations

from pathlib import Path

import trio
from trio.testing import MockClock

from tests.clocks import START_S, elapsed_s

TESTS = Path(__file__).parent
MAKES_ITS_OWN = "Mock" + "Clock("


async def test_a_clock_stands_at_its_start_until_it_is_moved(mock_clock: MockClock) -> None:
    assert trio.current_time() == START_S
    assert elapsed_s() == 0
    mock_clock.jump(0.1)
    assert elapsed_s() == 0.1


async def test_a_clock_that_jumps_starts_there_too(autojump_clock: MockClock) -> None:
    assert trio.current_time() == START_S
    await trio.sleep(7200)
    assert elapsed_s() == 7200


def test_no_test_makes_a_clock_that_starts_elsewhere() -> None:
    files = [path for path in TESTS.rglob("*.py") if MAKES_ITS_OWN in path.read_text()]
    assert files == [TESTS / "conftest.py"]
