"""The language of the code: docstrings are sentences, and docs/words.md explains what is ours."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("protocol", "tunnel_server", "tunnel_client")
WORDS = ROOT / "docs" / "words.md"

# What a property answers may begin with Whether.
BARE = {"Who", "What", "Whose", "How", "Where", "Which", "Why", "When", "Until", "If"}
PERSON = re.compile(r"\b(?:he|him|his|himself)\b|\bvisitors?\s+who\b", re.IGNORECASE)


def docstrings(source: str) -> Iterator[str]:
    """Yield the docstrings of a source, those below attributes too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            text = node.value.value
            if isinstance(text, str):
                yield text


def faults(docstring: str) -> list[str]:
    """Return what is wrong with a docstring, for the person who wrote it."""
    found = []
    first = docstring.removeprefix("DRIVER. ").split(maxsplit=1)[:1]
    if first and first[0].rstrip(",") in BARE:
        found.append(f"begins with a bare {first[0]}: say a subject and a verb")
    if PERSON.search(docstring):
        found.append("says he, his, him or who: a visitor is it")
    return found


def faults_of_the_project() -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {docstring.splitlines()[0]!r} {fault}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for docstring in docstrings(path.read_text())
        for fault in faults(docstring)
    ]


def test_docstrings_keep_the_rules() -> None:
    found = faults_of_the_project()
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ('"""Who may go on."""', 1),
        ('"""DRIVER. What runs."""', 1),
        ('def f():\n    """What is his."""', 2),
        ('X = 1\n"""Where He is."""', 2),
        ('"""How much may be promised."""', 1),
        ('"""If, for once, it may go on."""', 1),
        ('"""Whether it may go on. When it may, how."""', 0),
        ('"""However it ends, a whole end. Until then."""', 0),
        ('"""A visitor who leaves."""', 1),
        ('"""A visitor\n    who leaves."""', 1),
        ('class A:\n    """Whoever comes. What it says, the theme."""', 0),
        ('X = "Who"\n\ndef f():\n    # his\n    return "What"', 0),
        ('"""\n"""', 0),
    ],
)
def test_faults_are_found_and_no_others(source: str, count: int) -> None:
    assert len([fault for said in docstrings(source) for fault in faults(said)]) == count


@pytest.mark.parametrize(
    "path", [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")], ids=lambda path: path.name
)
def test_a_visitor_is_it_in_the_documents(path: Path) -> None:
    prose = re.sub(r"`[^`]+`", "", path.read_text())
    assert not PERSON.findall(prose)


# --- one class a name ---


def shared_names(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the classes' names that stand twice or more, each with its places."""
    places: dict[str, list[str]] = defaultdict(list)
    for path, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path}:{node.lineno}")
    return {name: found for name, found in places.items() if len(found) > 1}


def test_a_class_has_its_name_alone() -> None:
    """A private one too: whoever searches for a name finds one thing."""
    sources = {
        str(path.relative_to(ROOT)): path.read_text()
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    }
    found = shared_names(sources)
    assert not found, found


def test_two_classes_of_a_name_are_found() -> None:
    sources = {"a.py": "class A: ...\nclass _B: ...", "b.py": "def f():\n    class _B: ..."}
    assert shared_names(sources) == {"_B": ["a.py:2", "b.py:2"]}


# --- docs/words.md ---


def rows() -> list[list[str]]:
    """The words, what they mean, and the files that use them."""
    lines = [line for line in WORDS.read_text().splitlines() if line.startswith("| **")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_words_are_in_order_and_each_is_explained_once() -> None:
    words = [word for word, *_ in rows()]
    assert len(words) > 20
    assert words == sorted(set(words))


def test_each_word_is_used_where_the_table_says() -> None:
    for word, meaning, where in rows():
        assert meaning.endswith((".", ")")), word
        files = re.findall(r"`([\w/]+\.(?:py|md))`", where)
        assert files, word
        for file in files:
            stem = word.strip("*").partition(",")[0]
            assert re.search(rf"\b{stem}", (ROOT / file).read_text(), re.IGNORECASE), (word, file)
