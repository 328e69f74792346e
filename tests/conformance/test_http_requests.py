"""What a visitor sends, cut and ended in odd places: byte for byte at both ends."""

from __future__ import annotations

import pytest

from tests.conformance.http_requests_ends import ENDS
from tests.conformance.http_requests_splits import SPLITS
from tests.conformance.websocket_player import play
from tests.conformance.websocket_script import Case
from tests.conformance.websocket_ways import through_the_tunnel

CASES = [case for group in (*SPLITS.values(), *ENDS.values()) for case in group]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.section}: {case.name}")
async def test_case(case: Case) -> None:
    async with through_the_tunnel() as way:
        await play(case, way)


def test_every_name_is_another() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 200
