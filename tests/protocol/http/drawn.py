"""What the tests of protocol.http draw and split."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from hypothesis import strategies as st


def binary(max_size: int) -> st.SearchStrategy[bytes]:
    """Any bytes. Beside st.binary() hypothesis compares b"" to 0, which `python -bb` forbids."""
    text = st.text(st.characters(max_codepoint=0xFF), max_size=max_size)
    return text.map(lambda drawn: drawn.encode("latin-1"))


def each_byte(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def split(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The data in pieces, cut at these offsets as far as it has them."""
    ends = sorted({min(end, len(data)) for end in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(ends)]
