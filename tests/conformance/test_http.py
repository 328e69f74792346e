"""Every HTTP case through this tunnel, byte for byte and end for end."""

from __future__ import annotations

from typing import Final

import pytest

from tests.conformance.http_answers import ANSWERS
from tests.conformance.http_requests import REQUESTS
from tests.conformance.http_requests_refused import REFUSED
from tests.conformance.websocket_player import play
from tests.conformance.websocket_script import Case
from tests.conformance.websocket_ways import through_the_tunnel

CASES: Final = [
    case for groups in (REFUSED, REQUESTS, ANSWERS) for cases in groups.values() for case in cases
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.section}: {case.name}")
async def test_case(case: Case) -> None:
    async with through_the_tunnel() as way:
        await play(case, way)


def test_every_name_is_another() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 300
