"""The tables of docs/events.md, made of the events of both programs and their docstrings.

python -m tests.tools.events_page      writes them into the page
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from tunnel_client.observing import events as client
from tunnel_server.observing import events as server

PAGE = Path(__file__).parents[2] / "docs" / "events.md"
EVENTS: Mapping[str, Mapping[Any, str]] = {
    "tunnel-client": client.JSON_NAMES,
    "tunnel-server": server.JSON_NAMES,
}

# As the JSON has them; bytes of a head are text there.
_TYPES = {str: "string", bytes: "string", int: "integer", float: "number", bool: "boolean"}


def with_tables(page: str) -> str:
    """The page with the events of each program below its heading, in the place of what is there."""
    for program, names in EVENTS.items():
        heading = f"## {program}\n\n"
        pattern = rf"(?<={re.escape(heading)})(?:(?:###|\||[^#\n]).*\n|\n)*"
        before, after = re.split(pattern, page)  # once, or the heading is missing
        page = before + "\n".join(table_of(kind, name) for kind, name in names.items()) + after
    return page


def table_of(kind: type, name: str) -> str:
    """One event in Markdown. AssertionError: the docstring leaves a field out, or has one more."""
    text = inspect.getdoc(kind) or ""
    summary, _, rest = text.partition("\n\nFields:\n")
    said = dict(re.findall(r"^    (\w+): ((?:.|\n {8})*)", rest, re.MULTILINE))
    hints = get_type_hints(kind)
    assert list(said) == list(hints), f"{kind.__name__} says {list(said)}, and has {list(hints)}"
    rows = [
        f"| `{field}` | {_type(hints[field])} | {_sentence(words)} |"
        for field, words in said.items()
    ]
    head = ["", "| field | type | says |", "| -- | -- | -- |"] if rows else []
    return "\n".join([f"### `{name}`", "", " ".join(summary.split()), *head, *rows, ""])


def _type(hint: Any) -> str:
    if hint in _TYPES:
        return _TYPES[hint]
    parts = get_args(hint)
    if all(isinstance(part, str) for part in parts):
        return " or ".join(f"`{part}`" for part in parts)
    return " or ".join("null" if part is type(None) else _type(part) for part in parts)


def _sentence(words: str) -> str:
    return " ".join(words.split()).replace("None", "null").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
