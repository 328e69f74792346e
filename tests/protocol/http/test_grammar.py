from __future__ import annotations

import re

import pytest

from protocol.http import grammar


@pytest.mark.parametrize(
    "host",
    [
        b"a",
        b"name.example.com",
        b"name.example.com:8080",
        b"under_score.example",
        b"127.0.0.1:1",
        b"[::1]",
        b"[::ffff:127.0.0.1]:65535",
        b"a%20b",
        b"a.",
    ],
)
def test_host_is_a_name_or_address_with_or_without_a_port(host: bytes) -> None:
    assert grammar.HOST.fullmatch(host)


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b":80",
        b"a:",
        b"a:b",
        b"a:-1",
        b"a:+1",
        b"a:123456",
        b"a:80:80",
        b"a b",
        b"a/b",
        b"a?b",
        b"user@a",
        b"a%2",
        b"a%zz",
        b"::1",
        b"[]",
        b"[::1",
        b"[::1]x",
        b"[v1.x]",
        b"a\\b",
        b"a\n",
        b"\xe4.example",
        b"a, b",
    ],
)
def test_nothing_else_is_a_host(host: bytes) -> None:
    assert not grammar.HOST.fullmatch(host)


@pytest.mark.parametrize(
    ("whole", "prefix"),
    [
        (grammar.FIRST_CHUNK, grammar.FIRST_CHUNK_PREFIX),
        (grammar.NEXT_CHUNK, grammar.NEXT_CHUNK_PREFIX),
        (grammar.TRAILERS, grammar.TRAILERS_PREFIX),
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        b"0\r\n",
        b"ffffFFFFffffFFFF\r\n",
        b'1f;a=b; c="d\te"\xff\r\n',
        b"\r\n10\r\n",
        b"\r\n10;x\r\n",
        b"\r\n",
        b"A: b\r\nC:\r\nD: \t e \xe4\r\n\r\n",
    ],
)
def test_every_beginning_of_what_is_whole_is_taken_for_a_beginning(
    whole: re.Pattern[bytes], prefix: re.Pattern[bytes], text: bytes
) -> None:
    if whole.fullmatch(text):
        for length in range(len(text)):
            assert prefix.fullmatch(text[:length]), text[:length]


@pytest.mark.parametrize(
    "text",
    [b" 1", b"1 ", b"1\t", b"+1", b"0x1", b"1_0", b"g", b"1\n", b"1\r\r", b"1;\x00", b"1;\x7f"],
)
def test_no_chunk_begins_with_something_else(text: bytes) -> None:
    assert not grammar.FIRST_CHUNK_PREFIX.fullmatch(text)
    assert not grammar.NEXT_CHUNK_PREFIX.fullmatch(b"\r\n" + text)


@pytest.mark.parametrize("text", [b"\n", b"x", b"\rx", b"\r\n\r\n"])
def test_no_chunk_ends_with_something_else(text: bytes) -> None:
    assert not grammar.NEXT_CHUNK_PREFIX.fullmatch(text)


@pytest.mark.parametrize(
    "text",
    [b"\n", b" a", b"a b", b"a :", b":", b"a: b\n", b"a: b\r\n c", b"a: \x00", b"a\r", b"\r\n"],
)
def test_no_trailer_section_begins_with_something_else(text: bytes) -> None:
    assert not grammar.TRAILERS_PREFIX.fullmatch(text)


@pytest.mark.parametrize("key", [b"dGhlIHNhbXBsZSBub25jZQ==", b"+/+/+/+/+/+/+/+/+/+/+w=="])
def test_websocket_key_is_16_bytes_in_base64(key: bytes) -> None:
    assert grammar.WEBSOCKET_KEY.fullmatch(key)
