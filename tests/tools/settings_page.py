"""The tables of docs/settings.md, made of the rows of both programs.

python -m tests.tools.settings_page      writes them into the page
"""

from __future__ import annotations

import re
from pathlib import Path

from protocol.program.settings import Table
from protocol.program.showing import table_of
from tunnel_client.settings import rows as client
from tunnel_server.settings import rows as server

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
TABLES: tuple[Table, ...] = (server.TABLE, client.TABLE)


def with_tables(page: str) -> str:
    """The page with the table of each program below its heading, in the place of what is there."""
    for table in TABLES:
        heading = f"## {table.program}\n\n"
        pattern = rf"(?<={re.escape(heading)})(?:\|.*\n)*"
        before, after = re.split(pattern, page)  # once, or the heading is missing
        page = before + table_of(table) + after
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
