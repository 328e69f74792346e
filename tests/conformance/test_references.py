"""What frames and Closes do here they do in nginx, HAProxy and Caddy as well."""

from __future__ import annotations

import pytest

from tests.conformance.references import REFERENCES, Reference, differences, table
from tests.conformance.websocket_cases import GROUPS

ALIKE = [
    *("lengths", "examples of the RFCs", "fragments", "control frames", "masks", "RSV bits"),
    *("cuts", "Close", "around a Close", "illegal frames"),
]


@pytest.mark.parametrize(
    "reference",
    [pytest.param(one, id=one.name, marks=pytest.mark.needs(one.program)) for one in REFERENCES],
)
async def test_frames_cross_every_proxy_as_they_cross_here(reference: Reference) -> None:
    cases = [case for group in ALIKE for case in GROUPS[group]]
    assert len(cases) > 200
    assert await differences(reference, cases) == {}


def test_the_table_counts_and_names_what_goes_otherwise() -> None:
    first, second, *_ = GROUPS["masks"]
    text = table(
        GROUPS, {"a 1": {first.name: "why"}, "b 2": {first.name: "why", second.name: "why"}}
    )
    assert "| masks | 3 | 2 | 1 |" in text
    assert text.endswith(f"**masks**\n\n* a, b: {first.name}\n* b: {second.name}\n")
