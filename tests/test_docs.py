"""What the documents say of the tests is true: each test that they name exists."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.tools import events_page
from tests.tools.settings_page import PAGE, TABLES, with_tables
from tunnel_client.observing.events import TunnelReady, event_of

ROOT = Path(__file__).resolve().parent.parent
CHECKLIST = ROOT / "docs" / "checklist.md"
RELIABILITY = ROOT / "docs" / "reliability.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
SECURITY = ROOT / "docs" / "security.md"
LIMITS = ROOT / "docs" / "limits.md"
NAMING = [CHECKLIST, RELIABILITY, CONTRIBUTING, SECURITY, LIMITS]

# `tests/protocol/mux/test_core.py::test_name` in code marks; what follows in a cell is prose.
NAME = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


@cache
def functions_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, functions))


def missing(text: str) -> list[str]:
    """The names in a checklist that are no test's."""
    return [
        f"{file}::{test}"
        for file, test in NAME.findall(text)
        if not (ROOT / file).exists() or test not in functions_of(ROOT / file)
    ]


def rows(text: str) -> list[str]:
    """The rows of all tables, without their heads."""
    lines = text.splitlines()
    return [
        line
        for before, line in pairwise(lines)
        if line.startswith("|") and before.startswith("|") and not line.startswith("|--")
    ]


@pytest.mark.parametrize("path", NAMING, ids=lambda path: path.name)
def test_every_test_that_is_named_exists(path: Path) -> None:
    assert NAME.search(path.read_text())
    assert missing(path.read_text()) == []


def test_every_clause_of_the_checklist_names_a_test() -> None:
    found = rows(CHECKLIST.read_text())
    assert len(found) > 100
    assert [row for row in found if not NAME.search(row)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("| a | `tests/test_docs.py::test_no_such` |", ["tests/test_docs.py::test_no_such"]),
        ("| a | `tests/no_such.py::test_a` |", ["tests/no_such.py::test_a"]),
        ("| a | `tests/test_docs.py::test_a_wrong_name_is_found` |", []),
    ],
)
def test_a_wrong_name_is_found(text: str, expected: list[str]) -> None:
    assert missing(text) == expected


def test_rows_are_those_of_tables_without_their_heads() -> None:
    assert rows("# a\n| head | x |\n|---|---|\n| b | c |\ntext\n") == ["| b | c |"]


def links(path: Path) -> list[str]:
    """The relative links of a document that lead nowhere."""
    targets = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", path.read_text())
    return [target for target in targets if not (path.parent / target).exists()]


@pytest.mark.parametrize(
    "path", [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")], ids=lambda path: path.name
)
def test_links_lead_somewhere(path: Path) -> None:
    assert links(path) == []


def commands(text: str) -> list[str]:
    """The commands of the block that is said to be run, without their comments."""
    block = text.partition("<!-- a test runs these")[2].partition("```sh\n")[2].partition("```")[0]
    return [line.partition("  #")[0].strip() for line in block.splitlines()]


@pytest.mark.parametrize("command", commands(CONTRIBUTING.read_text()))
def test_a_command_for_contributors_runs(command: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "make":
        arguments.insert(0, "--dry-run")
    else:
        assert program == ".venv/bin/python"
        program = sys.executable
    if "pytest" in arguments:
        arguments.append("--collect-only")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_commands_for_contributors_are_found() -> None:
    found = commands(CONTRIBUTING.read_text())
    assert {"make check", "make test"} <= set(found)
    assert commands("```sh\nmake x\n```\n<!-- a test runs these -->\n```sh\na b  # c\n```") == [
        "a b"
    ]


def test_each_decision_is_listed_and_says_what_would_change_it() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = set(re.findall(r"\]\((\S+\.md)\)", (folder / "README.md").read_text()))
    assert listed == {path.name for path in folder.glob("*.md")} - {"README.md"}
    for name in sorted(listed):
        said = (folder / name).read_text()
        assert all(f"**{part}" in said for part in ("Decided.", "Rejected: ", "What would change"))


def test_page_of_events_is_that_of_their_classes() -> None:
    page = events_page.PAGE.read_text()
    said = "python -m tests.tools.events_page writes it anew"
    assert page == events_page.with_tables(page), said
    for names in events_page.EVENTS.values():
        assert all(f"### `{name}`\n" in page for name in names.values())


def test_the_example_of_an_event_has_all_its_fields() -> None:
    found = re.search(r"```json\n(.+)\n```", events_page.PAGE.read_text())
    assert found
    example = json.loads(found[1])
    assert list(example) == ["event", "time", *TunnelReady._fields]
    assert isinstance(event_of(example), TunnelReady)


def test_an_event_with_a_field_that_nobody_explains_is_found() -> None:
    class Odd(NamedTuple):
        """Something happened.

        Fields:
            one: explained.
        """

        one: int
        two: int

    with pytest.raises(AssertionError, match="Odd says"):
        events_page.table_of(Odd, "odd")


def test_page_of_settings_is_that_of_the_rows() -> None:
    page = PAGE.read_text()
    assert page == with_tables(page), "python -m tests.tools.settings_page writes it anew"
    for table in TABLES:
        assert all(f"`{row.flag}" in page for row in table.rows)
        assert all(f"`{name}`" in page for row in table.rows for name in table.variables_of(row))


# --- pictures ---


def test_pictures_are_shown_and_small() -> None:
    """`make screenshots` makes them; a README is read on the way, too."""
    shown = set(re.findall(r"docs/pictures/([\w-]+\.png)", (ROOT / "README.md").read_text()))
    pictures = {path.name: path for path in (ROOT / "docs" / "pictures").iterdir()}
    assert shown == pictures.keys()
    for path in pictures.values():
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG\r\n"), path
        assert len(data) < 150_000, path
