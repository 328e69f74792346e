from __future__ import annotations

import h11
import pytest

from protocol.errors import HttpError
from protocol.http.framing import announced_body, h11_event, keeps_alive, notable


def test_event_is_that_of_h11() -> None:
    event = h11_event(h11.Connection(h11.SERVER), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert isinstance(event, h11.Request)


def test_what_h11_refuses_is_an_http_error() -> None:
    with pytest.raises(HttpError, match="Host") as caught:
        h11_event(h11.Connection(h11.SERVER), b"GET / HTTP/1.1\r\n\r\n")
    assert caught.value.code == "bad-request"


def test_notable_fields_are_found_in_any_case_and_joined() -> None:
    fields = ((b"HOST", b"a"), (b"X", b"b"), (b"Connection", b"c"), (b"connection", b"d"))
    assert notable(fields) == {b"host": b"a", b"connection": b"c,d"}
    assert notable(()) == {}


def test_body_without_framing_fields_is_none() -> None:
    assert announced_body({b"host": b"a"}, b"1.1", b"") is None


def test_length_is_read_from_the_raw_head() -> None:
    seen = {b"content-length": b"5"}
    assert announced_body(seen, b"1.0", b"x\r\nContent-LENGTH: \t5 \r\n\r\n") == 5


@pytest.mark.parametrize(
    "raw",
    [
        b"x\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\n",
        b"x\r\nContent-Length: 5, 5\r\n\r\n",
        b"x\r\nContent-Length: 5",
        b"x\r\nContent-Length: " + b"5" * 19 + b"\r\n\r\n",
    ],
)
def test_length_that_h11_made_one_of_several_is_refused(raw: bytes) -> None:
    with pytest.raises(HttpError, match="Content-Length"):
        announced_body({b"content-length": b"5"}, b"1.1", raw)


def test_chunked_is_the_only_coding_and_alone() -> None:
    assert announced_body({b"transfer-encoding": b"Chunked"}, b"1.1", b"") == "chunked"
    for seen, version in (
        ({b"transfer-encoding": b"chunked"}, b"1.0"),
        ({b"transfer-encoding": b"chunked,chunked"}, b"1.1"),
        ({b"transfer-encoding": b"gzip"}, b"1.1"),
        ({b"transfer-encoding": b"chunked", b"content-length": b"5"}, b"1.1"),
    ):
        with pytest.raises(HttpError, match="Transfer-Encoding"):
            announced_body(seen, version, b"x\r\nContent-Length: 5\r\n\r\n")


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
