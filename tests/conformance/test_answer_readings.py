"""The rows of docs/conformance.md about answers that are read leniently, or are not."""

from __future__ import annotations

import pytest

from tests.conformance.answer_readings import BEHIND, ROWS, Row
from tests.conformance.reading_table import reading_table
from tests.conformance.references import DOCUMENT
from tests.other_readers import Reading, an_app_that_says, read_by_curl, read_here

EACH = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@EACH
def test_row_is_read_here_as_it_says(row: Row) -> None:
    found = read_here(row.answer + BEHIND)
    assert found == (None if row.taken is None else Reading(200, row.taken))
    assert read_here(row.answer + BEHIND, leniently=False) is None


@EACH
def test_row_stands_in_the_document(row: Row) -> None:
    read = "refused" if row.taken is None else f"`{row.taken.decode()}`"
    assert f"| {row.name} | {row.section}: {row.said} | {read} |" in DOCUMENT.read_text()


@pytest.mark.needs("curl")
async def test_curl_takes_all_that_is_taken_here() -> None:
    rows = [row for row in ROWS if row.taken is not None]
    async with an_app_that_says([row.answer + BEHIND for row in rows]) as port:
        readings = await read_by_curl(port, len(rows))
    assert readings == [Reading(200, row.taken or b"") for row in rows]


def test_the_table_says_what_each_has_read() -> None:
    others = [
        Reading(200, b"ok"),
        Reading(200, b"ok" + BEHIND),
        Reading(200, b""),
        Reading(502, b"no"),
        None,
        Reading(200, b"0123456789"),
    ]
    table = reading_table({"x 1": (others * len(ROWS))[: len(ROWS)]})
    lines = table.splitlines()[2:8]
    cells = [line.split(" | ")[-1].removesuffix(" |") for line in lines]
    assert cells == ["`ok`", "reads on", "empty", "refused", "refused", "`012345`..."]
