"""Every HTTP case through this tunnel, byte for byte and end for end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.beside_h11 import beside_h11, rows
from tests.conformance.http_cases import CASES
from tests.conformance.websocket_player import play
from tests.conformance.websocket_script import Case
from tests.conformance.websocket_ways import through_the_tunnel


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.section}: {case.name}")
async def test_case(case: Case) -> None:
    async with through_the_tunnel() as way:
        await play(case, way)


def test_every_name_is_another() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 300


def test_what_is_checked_beside_h11_is_listed() -> None:
    """`make references` writes the list; a row is a case that is played."""
    assert len(beside_h11()) > 50
    assert rows() in (Path(__file__).parents[2] / "docs" / "conformance.md").read_text()
