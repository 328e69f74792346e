from __future__ import annotations

import gzip
import zlib

import pytest

from protocol.http.fields import Fields
from tests.asked_apps import NAVIGATION, opened_by
from tunnel_client.identity.own_origins import own_origin_pattern
from tunnel_client.origin.pages import LOOKED_AT_BYTES, PageLook, is_navigation, look_at
from tunnel_client.settings.target import Target

PATTERN = own_origin_pattern(Target.parse("3000"))
OWN = b"http://localhost:3000"


class Looking:
    """A look, and what it found."""

    def __init__(self, *, gzip: bool = False) -> None:
        self.found = 0
        self.look = PageLook(PATTERN, self._find, gzip=gzip)

    def _find(self) -> None:
        self.found += 1


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("packed", [False, True])
def test_an_origin_is_found_however_the_page_is_split(size: int, packed: bool) -> None:
    page = b"x" * 3000 + b'{"root":"http:\\/\\/localhost:3000\\/app"}' + b"y" * 3000
    looking = Looking(gzip=packed)
    for piece in pieces(gzip.compress(page) if packed else page, size):
        if not looking.look.feed(piece):
            break
    assert looking.found == 1


@pytest.mark.parametrize(
    ("before", "found"), [(LOOKED_AT_BYTES - len(OWN), 1), (LOOKED_AT_BYTES, 0)]
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_first_256_kib_are_looked_at(before: int, found: int, packed: bool) -> None:
    page = b"x" * before + OWN
    looking = Looking(gzip=packed)
    wanted = [looking.look.feed(piece) for piece in [gzip.compress(page) if packed else page]]
    assert looking.found == found
    assert wanted == [False]


def test_a_bomb_is_unpacked_no_further_than_it_is_looked_at() -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = packer.compress(bytes(8 << 20)) + packer.flush()
    assert Looking(gzip=True).look.feed(bomb) is False


def test_what_is_no_gzip_is_not_looked_at_any_further() -> None:
    looking = Looking(gzip=True)
    assert looking.look.feed(OWN) is False
    assert looking.found == 0


@pytest.mark.parametrize(
    ("fields", "looks"),
    [
        (((b"Content-Type", b"text/html; charset=utf-8"),), True),
        (((b"Content-Type", b"Text/HTML"), (b"Content-Encoding", b"gzip")), True),
        (((b"Content-Type", b"text/html"), (b"Content-Encoding", b"br")), False),
        (((b"Content-Type", b"text/html"), (b"Content-Encoding", b"gzip, br")), False),
        (((b"Content-Type", b"application/json"), (b"X", b"text/html")), False),
        ((), False),
    ],
)
def test_pages_are_looked_at_that_can_be_read(fields: Fields, looks: bool) -> None:
    assert (look_at(fields, PATTERN, lambda: None) is not None) is looks


def test_a_navigation_is_a_get_that_wants_html() -> None:
    assert is_navigation(opened_by(NAVIGATION))
    assert not is_navigation(opened_by(NAVIGATION, method=b"POST"))
    assert not is_navigation(opened_by((b"Accept", b"*/*")))
    assert not is_navigation(opened_by())
    assert not is_navigation(opened_by(NAVIGATION, kind="websocket"))
