"""Every target on its corpus, on any bytes, and on what a few changes make of the corpus."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from tests.fuzz.targets import CORPUS, TARGETS, seeds

ROOT = Path(__file__).resolve().parent.parent.parent
TOKENS = [
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"=", b"\r\n\r\n", b"0\r\n\r\n"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: a\r\n", b"chunked"),
    *(b"Connection: close\r\n", b"Upgrade: websocket\r\n", b"HTTP/1.1", b"HTTP/1.0", b"+5", b"5_0"),
    *(b"\xff", b"\x80", b"\x7f", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x91\xa1"),
]
NAMES = sorted(TARGETS)
FILES = [(name, file) for name in NAMES for file in seeds(name)]


@st.composite
def changed(draw: st.DrawFn, name: str) -> bytes:
    """A file of the corpus, or two joined, with some cuts, repeats and tokens."""
    data = draw(st.sampled_from(list(seeds(name).values())))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.integers(0, 8))
        piece = draw(
            st.one_of(
                st.just(b""),
                st.sampled_from(TOKENS),
                st.binary(max_size=4),
                st.just(data[at : at + size] * 2),
                st.sampled_from(list(seeds(name).values())),
            )
        )
        data = data[:at] + piece + data[at + size :]
    return data


@pytest.mark.parametrize(("name", "file"), FILES)
def test_corpus(name: str, file: str) -> None:
    TARGETS[name](seeds(name)[file])


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_any_bytes(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(st.binary(max_size=300)))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_changes_of_the_corpus(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(changed(name)))


def test_every_target_has_a_corpus_and_every_corpus_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert all(len(seeds(name)) >= 3 for name in NAMES)


def test_every_reader_of_the_protocol_is_a_targets() -> None:
    """Of `parse_...` and `read_...`, at least; what is called otherwise is in docs/fuzzing.md."""
    sources = "".join((ROOT / "tests/fuzz" / file).read_text() for file in FILES_OF_TARGETS)
    readers = {
        name
        for path in (ROOT / "protocol").rglob("*.py")
        for name in re.findall(r"^def ((?:parse|read)_\w+)\(", path.read_text(), re.MULTILINE)
    }
    assert len(readers) > 15
    assert {name for name in readers if not re.search(rf"\b{name}\b", sources)} == set()


FILES_OF_TARGETS = ("http_targets.py", "wire_targets.py")
