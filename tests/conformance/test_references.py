"""What plain answers, frames and Closes do here they do in nginx, HAProxy and Caddy as well."""

from __future__ import annotations

import pytest

from tests.conformance import http_cases
from tests.conformance.references import REFERENCES, Reference, differences, table
from tests.conformance.websocket_cases import GROUPS

ALIKE = [
    *("lengths", "examples of the RFCs", "fragments", "control frames", "masks", "RSV bits"),
    *("cuts", "Close", "around a Close", "illegal frames"),
]


ALIKE_IN_HTTP = [
    *("status b'200 OK'", "status b'299 So so'", "204", "304", "HEAD answered with a length"),
    *("answer: two cookies", "chunks: one chunk, from the app", "205 with a length of 0"),
    *(
        "another connection after a byte behind a length",
        "another connection after a body of a 204",
    ),
]
EACH = pytest.mark.parametrize(
    "reference",
    [pytest.param(one, id=one.name, marks=pytest.mark.needs(one.program)) for one in REFERENCES],
)


@EACH
async def test_plain_answers_cross_every_proxy_as_they_cross_here(reference: Reference) -> None:
    cases = [case for case in http_cases.CASES if case.name in ALIKE_IN_HTTP]
    assert len(cases) == len(ALIKE_IN_HTTP)
    assert await differences(reference, cases) == {}


@EACH
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
