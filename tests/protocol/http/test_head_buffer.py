from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from protocol.errors import HttpError
from protocol.http.head_buffer import HeadBuffer, end_of_head
from protocol.http.limits import FIELDS_MAX, HEAD_MAX_BYTES, START_LINE_MAX_BYTES
from tests.protocol.http.drawn import binary, each_byte, split

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def cut(pieces: list[bytes], is_request: bool = True) -> tuple[list[bytes], bytes | str]:
    """All heads in the pieces, and what was left: the rest, or the code of the error."""
    buffer = HeadBuffer(is_request)
    heads = []
    try:
        for piece in pieces:
            buffer.feed(piece)
            while (head := buffer.next_head()) is not None:
                heads.append(head)
    except HttpError as error:
        return heads, error.code
    return heads, buffer.take_rest()


def request_line(length: int) -> bytes:
    return b"GET /" + b"x" * (length - len(b"GET / HTTP/1.1")) + b" HTTP/1.1\r\n"


def head_of(length: int) -> bytes:
    start = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
    return start + b"x" * (length - len(start) - 4) + b"\r\n\r\n"


def test_whole_head_is_handed_on_without_a_copy() -> None:
    buffer = HeadBuffer()
    buffer.feed(GET)
    assert buffer.next_head() is GET
    assert buffer.next_head() is None
    assert len(buffer) == 0


def test_head_in_single_bytes_is_the_same_head() -> None:
    assert cut(each_byte(GET)) == ([GET], b"")


def test_heads_one_behind_the_other_come_in_order() -> None:
    assert cut([GET + GET + b"GET /x"]) == ([GET, GET], b"GET /x")


def test_what_follows_a_head_is_the_rest() -> None:
    buffer = HeadBuffer()
    buffer.feed(GET + b"\r\n body")
    assert buffer.next_head() == GET
    assert buffer.take_rest() == b"\r\n body"
    assert buffer.take_rest() == b""
    buffer.feed(b"\r\n" + GET)
    assert buffer.next_head() == GET


def test_one_empty_line_in_front_of_each_request_is_dropped() -> None:
    assert cut([b"\r\n" + GET + b"\r\n" + GET]) == ([GET, GET], b"")
    assert cut(each_byte(b"\r\n" + GET)) == ([GET], b"")


@pytest.mark.parametrize("front", [b"\r\n\r\n", b"\n", b"\rG", b" ", b"\x16\x03\x01", b"\x00"])
def test_anything_else_in_front_of_a_request_is_refused_at_once(front: bytes) -> None:
    assert cut([front]) == ([], "bad-request")
    assert cut(each_byte(front)) == ([], "bad-request")


@pytest.mark.parametrize(
    "front", [b"\r\n", b"SSH-2.0-x\r\n", b"HTTP/2", b"http/1.1", b"<html>", b"I"]
)
def test_anything_but_an_answer_is_refused_at_once(front: bytes) -> None:
    assert cut([front], is_request=False) == ([], "bad-request")
    assert cut(each_byte(front), is_request=False) == ([], "bad-request")


def test_request_may_start_with_any_byte_of_a_method() -> None:
    assert cut([b"! / HTTP/1.1\r\n\r\n"]) == ([b"! / HTTP/1.1\r\n\r\n"], b"")


def test_answers_are_cut_like_requests() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    assert cut(each_byte(early + OK + b"body"), is_request=False) == ([early, OK], "bad-request")
    buffer = HeadBuffer(is_request=False)
    buffer.feed(early + OK + b"body")
    assert buffer.next_head() == early
    assert buffer.next_head() == OK
    assert buffer.take_rest() == b"body"


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\n\r\n"])
def test_head_that_ends_in_bare_lf_is_cut_and_not_waited_for(head: bytes) -> None:
    assert cut([head + GET]) == ([head, GET], b"")


def test_a_head_has_started_with_its_first_byte_but_not_with_an_empty_line() -> None:
    buffer = HeadBuffer()
    started = [buffer.started]
    for piece in each_byte(b"\r\nG"):
        buffer.feed(piece)
        buffer.next_head()
        started.append(buffer.started)
    assert started == [False, False, False, True]
    assert repr(buffer) == "<HeadBuffer requests held=1 started=True>"
    assert repr(HeadBuffer(is_request=False)) == "<HeadBuffer answers held=0 started=False>"


def test_request_line_may_have_16_kib_and_no_byte_more() -> None:
    head = request_line(START_LINE_MAX_BYTES) + b"\r\n"
    assert cut([head]) == cut(each_byte(head)) == ([head], b"")
    longer = request_line(START_LINE_MAX_BYTES + 1) + b"\r\n"
    assert cut([longer]) == cut(each_byte(longer)) == ([], "uri-too-long")


def test_request_line_without_an_end_is_too_long_as_soon_as_it_must_be() -> None:
    line = request_line(START_LINE_MAX_BYTES)[:-1]
    assert cut([line]) == ([], line)
    assert cut([line + b"x"]) == ([], "uri-too-long")


def test_status_line_has_the_same_limit() -> None:
    line = b"HTTP/1.1 200 " + b"x" * (START_LINE_MAX_BYTES - 13)
    assert cut([line + b"\r\n\r\n"], is_request=False) == ([line + b"\r\n\r\n"], b"")
    assert cut([line + b"x\r\n\r\n"], is_request=False) == ([], "head-too-large")


@pytest.mark.parametrize("step", [1 << 20, 40_000, 32_768, 32_767, 16_384, 1_000, 33])
def test_head_may_have_32_kib_and_no_byte_more(step: int) -> None:
    def cut_by_step(data: bytes) -> tuple[list[bytes], bytes | str]:
        return cut(split(data, range(0, len(data), step)))

    assert cut_by_step(head_of(HEAD_MAX_BYTES)) == ([head_of(HEAD_MAX_BYTES)], b"")
    assert cut_by_step(head_of(HEAD_MAX_BYTES + 1)) == ([], "head-too-large")
    assert cut_by_step(head_of(2 * HEAD_MAX_BYTES)) == ([], "head-too-large")


def test_head_without_an_end_is_too_large_as_soon_as_it_must_be() -> None:
    head = head_of(HEAD_MAX_BYTES + 1)
    assert cut([head[: HEAD_MAX_BYTES - 1]]) == ([], head[: HEAD_MAX_BYTES - 1])
    assert cut([head[:HEAD_MAX_BYTES]]) == ([], "head-too-large")


def test_bytes_behind_a_head_do_not_count_for_it() -> None:
    assert cut([GET + b"x" * 10, b"y" * START_LINE_MAX_BYTES])[0] == [GET]
    buffer = HeadBuffer()
    buffer.feed(GET + b"x" * 2 * HEAD_MAX_BYTES)
    assert buffer.next_head() == GET


def test_head_may_have_256_fields_and_no_one_more() -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * (FIELDS_MAX - 1) + b"\r\n"
    assert cut([head]) == ([head], b"")
    assert cut([head[:-2] + b"b:\r\n\r\n"]) == ([], "head-too-large")


def test_empty_line_is_found_behind_the_start() -> None:
    assert end_of_head(b"a\r\n\r\nb\n\n") == 5
    assert end_of_head(b"a\r\n\r\nb\n\n", 3) == 8
    assert end_of_head(b"a\n\nb\r\n\r\n") == 3
    assert end_of_head(b"a\n\n\r\n") == 3
    assert end_of_head(b"a\r\n\r") == -1


LINES = st.lists(
    st.sampled_from([b"\r\n", b"\n", b"\r", b"GET / HTTP/1.1\r\n", b"A: b\r\n", b"x", b"\x00", GET])
)


@given(data=LINES.map(b"".join), cuts=st.lists(st.integers(0, 200), max_size=8))
def test_any_split_gives_the_same_heads(data: bytes, cuts: list[int]) -> None:
    pieces = split(data, cuts)
    assert cut(pieces) == cut([data]) == cut(each_byte(data))


@given(data=binary(300), is_request=st.booleans())
def test_any_bytes_give_heads_or_an_http_error(data: bytes, is_request: bool) -> None:
    heads, rest = cut([b"HTTP/1." * (not is_request) + data], is_request)
    assert isinstance(rest, str) or not (is_request and end_of_head(rest) >= 0)
    assert all(end_of_head(head) == len(head) for head in heads)
