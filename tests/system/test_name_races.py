from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.name_races import run_rounds

# More of them: `python -m tests.system.name_races 1000 1000`.
ROUNDS = 15


@pytest.mark.parametrize(("races", "handovers"), [(ROUNDS, 0), (0, ROUNDS)])
async def test_of_two_owners_that_ask_at_once_one_gets_the_name(
    tmp_path: Path, races: int, handovers: int
) -> None:
    won = await run_rounds(tmp_path, races, handovers)
    assert won.total() == ROUNDS
