from __future__ import annotations

import pytest

from protocol.errors import HttpError
from protocol.http.framing import announced_body, joined, keeps_alive, notable, read_fields


def test_fields_keep_their_order_case_and_repeats() -> None:
    lines = b"B: 1\r\nA:\t x \t y \r\nb:\r\nC: \r\n"
    assert read_fields(lines) == ((b"B", b"1"), (b"A", b"x \t y"), (b"b", b""), (b"C", b""))
    assert read_fields(b"") == ()


def test_notable_fields_are_found_in_any_case() -> None:
    fields = ((b"HOST", b"a"), (b"X", b"b"), (b"Connection", b"c"), (b"connection", b"d"))
    assert notable(fields) == [(b"host", b"a"), (b"connection", b"c"), (b"connection", b"d")]
    assert notable(()) == []


def test_repeats_are_joined() -> None:
    assert joined([(b"host", b"a"), (b"te", b"c"), (b"te", b"d")]) == {b"host": b"a", b"te": b"c,d"}


def test_body_without_framing_fields_is_none() -> None:
    assert announced_body({b"host": b"a"}, b"1.1") is None


def test_length_is_one_number_of_at_most_18_digits() -> None:
    assert announced_body({b"content-length": b"9" * 18}, b"1.0") == 10**18 - 1
    for value in (b"", b"5,5", b"5, 5", b"5,", b"+5", b"5 ", b"5" * 19):
        with pytest.raises(HttpError, match="Content-Length"):
            announced_body({b"content-length": value}, b"1.1")


def test_chunked_is_the_only_coding_and_alone() -> None:
    assert announced_body({b"transfer-encoding": b"Chunked"}, b"1.1") == "chunked"
    for seen, version in (
        ({b"transfer-encoding": b"chunked"}, b"1.0"),
        ({b"transfer-encoding": b"chunked,chunked"}, b"1.1"),
        ({b"transfer-encoding": b"gzip"}, b"1.1"),
        ({b"transfer-encoding": b"chunked", b"content-length": b"5"}, b"1.1"),
    ):
        with pytest.raises(HttpError, match="Transfer-Encoding"):
            announced_body(seen, version)


@pytest.mark.parametrize(
    ("options", "current", "expected"),
    [
        ([], True, True),
        ([], False, False),
        ([b"keep-alive"], False, True),
        ([b"close"], True, False),
        ([b"keep-alive", b"close"], False, False),
    ],
)
def test_connection_lives_on_by_version_and_options(
    options: list[bytes], current: bool, expected: bool
) -> None:
    assert keeps_alive(options, current) is expected
