from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given, strategies as st

from protocol.http.heads import parse_request
from tunnel_server.owners.tokens import (
    TOKEN_RANDOM_BYTES,
    authorization_of,
    bearer_token,
    digest_of,
    make_token,
)


@given(st.binary(min_size=32, max_size=32))
def test_token_is_tt_and_43_base64url_characters(random_bytes: bytes) -> None:
    assert re.fullmatch("tt_[A-Za-z0-9_-]{43}", make_token(random_bytes))


def test_tokens_of_different_bytes_differ() -> None:
    assert len({make_token(bytes(31) + bytes([last])) for last in range(256)}) == 256


@pytest.mark.parametrize("size", [0, TOKEN_RANDOM_BYTES - 1, TOKEN_RANDOM_BYTES + 1])
def test_token_of_too_few_or_too_many_bytes_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        make_token(bytes(size))


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (b"Bearer tt_x-Y_9", "tt_x-Y_9"),
        (b"bearer  abc==  ", "abc=="),
        (b"BEARER a.b~c+d/e", "a.b~c+d/e"),
        (b"", None),
        (b"Bearer", None),
        (b"Bearer ", None),
        (b"Bearer a b", None),
        (b"Bearer a,b", None),
        (b"Bearer =", None),
        (b"Basic abc", None),
        (b"Bearera", None),
        (b"Bearer \xff", None),
        (b" Bearer a", None),
    ],
)
def test_bearer_credentials_are_read_strictly(value: bytes, token: str | None) -> None:
    assert bearer_token(value) == token


@pytest.mark.parametrize(("lines", "found"), [(0, None), (1, b"x"), (2, None)])
def test_several_authorizations_are_none(lines: int, found: bytes | None) -> None:
    raw = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"Authorization: x\r\n" * lines + b"\r\n"
    assert authorization_of(parse_request(raw)) == found


def test_digest_is_that_of_any_text() -> None:
    assert digest_of("tt_x") == hashlib.sha256(b"tt_x").digest()
    assert len(digest_of("\udc80")) == 32
