from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from protocol.errors import HttpError
from protocol.http.bodies import body_reader
from protocol.http.fields import Fields
from protocol.http.head_buffer import HeadBuffer
from protocol.http.heads import ResponseHead, parse_response
from protocol.http.lenient import LenientChunkedBody, parse_lenient_response
from protocol.http.limits import (
    CHUNK_FRAMING_FREE_BYTES,
    CHUNK_FRAMING_MAX_BYTES,
    FIELDS_MAX,
    HEAD_MAX_BYTES,
    START_LINE_MAX_BYTES,
    TRAILERS_MAX_BYTES,
)
from protocol.http.serialise import chunk, last_chunk
from tests.protocol.http.drawn import binary, each_byte, split

STRICT = b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\n"


def read_head(raw: bytes, method: bytes = b"GET") -> tuple[ResponseHead, bool]:
    """The head, and whether it was taken leniently."""
    try:
        return parse_response(raw, method), False
    except HttpError as refusal:
        return parse_lenient_response(raw, method, refusal), True


def refused_head(raw: bytes) -> HttpError:
    with pytest.raises(HttpError) as caught:
        read_head(raw)
    assert "secret" not in str(caught.value)
    return caught.value


# --- heads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        STRICT.replace(b"\r\n", b"\n"),
        STRICT.replace(b"\r\n", b"\n", 1),
        STRICT[:-2] + b"\n",
        STRICT[:-4] + b"\n\r\n",
        STRICT.replace(b"A:", b"A :"),
        STRICT.replace(b"A:", b"A \t :"),
        STRICT.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n"),
        STRICT.replace(b"\r\n\r\n", b"\r\ncontent-LENGTH:2\t\r\nContent-Length: 02\r\n\r\n"),
        STRICT.replace(b": 2", b": 2, 2"),
        STRICT.replace(b": 2", b":\t2 ,2,  002"),
        STRICT.replace(b"A:", b"A\t:").replace(b"\r\n\r\n", b"\nContent-Length: 2,2\n\n"),
    ],
)
def test_what_has_one_reading_is_read_as_the_strict_head(raw: bytes) -> None:
    assert read_head(raw) == (parse_response(STRICT, b"GET"), True)


def test_a_strict_head_is_never_looked_at_leniently() -> None:
    assert read_head(STRICT) == (parse_response(STRICT, b"GET"), False)


@pytest.mark.parametrize(
    "name", [b"Content-Length", b"transfer-encoding", b"CONNECTION", b"Upgrade"]
)
@pytest.mark.parametrize("space", [b" ", b"\t", b"  "])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_a_space_behind_a_name_that_says_an_end_is_refused(
    name: bytes, space: bytes, end: bytes
) -> None:
    refused_head(STRICT.replace(b"A:", name + space + b":").replace(b"\r\n", end))


@pytest.mark.parametrize(
    "lines",
    [
        b"A: secret\rB: c",  # a bare CR
        b"A: secret\r\r\nB: c",
        b"A: secret\n b",  # obs-fold
        b"A: secret\n\tb",
        b" A: secret",
        b" \n",
        b"A b : secret",
        b": secret",
        b" : secret",
        b"secret",
        b"A: \x00secret",
        b"Content-Length: 3",  # beside the 2 of the head
        b"Content-Length: 2,",
        b"Content-Length: ,2",
        b"Content-Length: 2,,2",
        b"Content-Length: 2;2",
        b"Content-Length: 2 2",
        b"Content-Length: +2",
        b"Content-Length: 2.0",
        b"Content-Length: " + b"0" * 18 + b"2",
        b"Content-Length:",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\nContent-Length: 2",
        b"Connection: Content-Length",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(lines: bytes) -> None:
    head = STRICT.replace(b"\r\nA: b", b"\n" + lines)
    assert refused_head(head).code == "bad-request"


def test_the_refusal_tells_the_fault_that_is_left() -> None:
    two = STRICT.replace(b"\r\n", b"\n").replace(b"\n\n", b"\nContent-Length: 3\n\n")
    assert "Content-Length" in str(refused_head(two))
    assert "first line" in str(refused_head(b"HTTP/1.1 2xx\nA: b\n\n"))


@pytest.mark.parametrize("line", [b"HTTP/1.1 101 Switching", b"HTTP/1.0 101 x"])
def test_the_head_of_a_101_stays_strict(line: bytes) -> None:
    refused_head(line + b"\nUpgrade: websocket\nConnection: Upgrade\n\n")


@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_an_informational_head_is_read_as_leniently(status: int) -> None:
    head, lenient = read_head(b"HTTP/1.1 %d x\nLink : </a>\n\n" % status)
    assert (head.status, head.fields, lenient) == (status, ((b"Link", b"</a>"),), True)


def test_equal_lengths_frame_nothing_where_one_does_not() -> None:
    twice = b"Content-Length: 5\r\n" * 2 + b"\r\n"
    assert read_head(b"HTTP/1.1 200 x\r\n" + twice, b"HEAD")[0].body is None
    head = read_head(b"HTTP/1.1 304 x\r\n" + twice)[0]
    assert (head.body, head.fields) == (None, ((b"Content-Length", b"5"),))


def test_the_connection_of_the_answer_is_what_its_fields_say() -> None:
    """That it is not used again is the replay's to see to: the app has not said that it closes."""
    assert read_head(STRICT.replace(b"\r\n", b"\n"))[0].keep_alive
    closes = STRICT.replace(b"A: b", b"Connection: close").replace(b"\r\n", b"\n")
    assert not read_head(closes)[0].keep_alive


def cut_head(raw: bytes, piece_bytes: int) -> bytes | str | None:
    buffer = HeadBuffer(is_request=False)
    try:
        for at in range(0, len(raw), piece_bytes):
            buffer.feed(raw[at : at + piece_bytes])
            if (head := buffer.next_head()) is not None:
                read_head(head)
                return head
    except HttpError as error:
        return error.code
    return None


@pytest.mark.parametrize("piece_bytes", [1 << 20, 1000, 97])
def test_limits_of_a_head_hold_as_they_do_with_crlf(piece_bytes: int) -> None:
    line = b"HTTP/1.1 200 " + b"x" * (START_LINE_MAX_BYTES - 13)
    for head in (
        line + b"\n\n",
        b"HTTP/1.1 200 x\n" + b"a:\n" * FIELDS_MAX + b"\n",
        b"HTTP/1.1 200 x\n" + b"a:" + b"x" * (HEAD_MAX_BYTES - 19) + b"\n\n",
    ):
        assert cut_head(head, piece_bytes) == head
    for head in (
        line + b"x\n\n",
        line + b"x\n\r\n",
        b"HTTP/1.1 200 x\n" + b"a:\n" * (FIELDS_MAX + 1) + b"\n",
        b"HTTP/1.1 200 x\n" + b"a:" + b"x" * (HEAD_MAX_BYTES - 18) + b"\n\n",
    ):
        assert cut_head(head, piece_bytes) == "head-too-large"


PARTS = st.sampled_from(
    [
        *(b"A: b", b"A : b", b"B\t:", b"Content-Length: 2", b"content-length: 2,2", b"\r\n", b"\n"),
        *(b"\r\n", b"\n", b"\r", b" ", b"Connection : x", b"Transfer-Encoding: chunked", b"\x00"),
    ]
)


@given(parts=st.lists(PARTS, max_size=12), line_end=st.sampled_from([b"\r\n", b"\n"]))
def test_what_is_taken_is_what_a_strict_head_says_that_can_be_written(
    parts: list[bytes], line_end: bytes
) -> None:
    raw = b"HTTP/1.1 200 x" + line_end + b"".join(parts) + line_end * 2
    try:
        head, _ = read_head(raw)
    except HttpError:
        return
    lines = b"".join([b"%b: %b\r\n" % field for field in head.fields])
    assert parse_response(b"HTTP/1.1 200 x\r\n" + lines + b"\r\n", b"GET") == head
    assert [name.lower() for name, _ in head.fields].count(b"content-length") <= 1


# --- chunks --------------------------------------------------------------------------------------


def read(pieces: list[bytes]) -> tuple[bytes, bytes, Fields, bool] | str:
    """Body, rest, trailers, and whether it was lenient; or the code of the error."""
    body = LenientChunkedBody()
    try:
        data = b"".join([body.feed(piece) for piece in pieces])
        body.eof()
    except HttpError as error:
        assert not body.done
        return error.code
    return data, body.rest, body.trailers, body.lenient


def refused(data: bytes) -> str:
    """The code with which feed() itself refuses, the same in any split."""
    codes = set()
    for pieces in ([data], split(data, range(0, len(data), 1 if len(data) < 1000 else 97))):
        body = LenientChunkedBody()
        with pytest.raises(HttpError) as caught:
            list(map(body.feed, pieces))
        codes.add(caught.value.code)
    assert len(codes) == 1
    return codes.pop()


@pytest.mark.parametrize(
    "data",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5 \t \nhello\r\n0\r\n\r\n",
        b"5\t;a=b\r\nhello\r\n0\r\n\r\n",
        b"5;a=b\nhello\r\n0\r\n\r\n",
        b"2\r\nhe\r\n3\nllo\r\n0\r\n\r\n",
        b"2\r\nhe\r\n3 \r\nllo\r\n0\r\n\r\n",
        b"1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1 \r\nl\r\n1\r\no\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0 \r\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
        b"005   \nhello\r\n0   \n\n",
    ],
)
def test_chunks_with_one_reading_are_read_in_any_split(data: bytes) -> None:
    expected = (b"hello", b"GET", (), True)
    assert read([data + b"GET"]) == read(each_byte(data + b"GET")) == expected
    strict = body_reader("chunked")
    with pytest.raises(HttpError):  # as visitors' bodies are read
        strict.feed(data)


@pytest.mark.parametrize(
    "section",
    [
        b"A: b\nC: d\r\n\r\n",
        b"A: b\r\nC: d\n\r\n",
        b"A: b\nC: d\n\n",
        b"A : b\r\nC\t: d\r\n\r\n",
        b"A: b\r\nC: d\r\n\n",
    ],
)
def test_trailers_with_one_reading_are_read_in_any_split(section: bytes) -> None:
    data = b"0\r\n" + section + b"GET"
    expected = (b"", b"GET", ((b"A", b"b"), (b"C", b"d")), True)
    assert read([data]) == read(each_byte(data)) == expected


def test_a_strict_body_is_not_lenient() -> None:
    assert read([b"5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n"]) == (b"hello", b"", ((b"A", b"b"),), False)


@pytest.mark.parametrize(
    "data",
    [
        *(b"\r\n", b"\n", b" 5\r\n", b"\t5\r\n", b" \r\n", b";x\r\n", b"g\n", b"+5\n", b"-5 \r\n"),
        *(
            b"0x5\n",
            b"5_0\n",
            b"5,5\n",
            b"5 5\r\n",
            b"5 g\r\n",
            b"5\x0b\r\n",
            b"5\x0c\n",
            b"5\r\r\n",
        ),
        *(b"5\rx", b"5 \rx", b"5;a\rb\r\n", b"5;\x00\n", b"5;\x7f\n", b"5\xa0\r\n"),
        *(b"2\r\nab\n", b"2\nab\n", b"2 \r\nab\n0\r\n\r\n", b"2\r\nab \r\n", b"2\r\nab\rx"),
        *(b"2\r\nabc\r\n", b"2\nab\r\n\r\n", b"2\nab\r\n\n", b"2\nab\r\n 5\r\n"),
        *(b"0\r\n\rx", b"0\n\rx", b"0\r\nA: b\n c\n\n", b"0\r\nA: b\rc\n\n", b"0\r\n: b\n\n"),
        *(b"0\r\nA\n\n", b"0\r\nA \n\n", b"0\r\n A: b\n\n", b"0\r\nA: \x00\n\n", b"0\n \n"),
        b"0\r\nContent-Length : 5\r\n\r\n",
        b"0\r\ntransfer-encoding\t: chunked\n\n",
        b"0\r\nConnection : close\r\n\r\n",
        b"0\r\nUpgrade : h2c\r\n\r\n",
    ],
)
def test_chunks_with_two_readings_are_refused(data: bytes) -> None:
    assert refused(data) == "bad-request"


def test_spaces_and_line_ends_count_as_framing() -> None:
    free = b" " * (CHUNK_FRAMING_FREE_BYTES - 4) + b"\n"
    assert read([b"1" + free + b"x\r\n" + (b"1" + free + b"x\r\n") * 5000 + b"0\r\n\r\n"]) == (
        b"x" * 5001,
        b"",
        (),
        True,
    )
    assert (
        refused(b"1    " + free + b"x\r\n" + (b"1    " + free + b"x\r\n") * 6000) == "bad-request"
    )
    line = b"1" + b" " * (CHUNK_FRAMING_MAX_BYTES - 2)
    assert read([line + b"\nx\r\n0\r\n\r\n"]) == (b"x", b"", (), True)
    assert refused(line + b" \nx\r\n0\r\n\r\n") == "bad-request"
    assert refused(line + b"  ") == "bad-request"


def test_limits_of_trailers_hold_as_they_do_with_crlf() -> None:
    def section(size: int, filler: bytes, value: bytes) -> bytes:
        rest = len(b"A:\n\n") + len(value)
        return b"0\r\nA" + filler * (size - rest) + b":" + value + b"\n\n"

    for filler, value in ((b"A", b""), (b" ", b"x")):
        fitting = section(TRAILERS_MAX_BYTES, filler, value)
        assert isinstance(read([fitting]), tuple)
        assert read(split(fitting, range(0, len(fitting), 97))) == read([fitting])
        assert refused(section(TRAILERS_MAX_BYTES + 1, filler, value)) == "head-too-large"
    assert refused(b"0\r\nA: " + b"x\n" + b"A" * TRAILERS_MAX_BYTES) == "head-too-large"
    lines = b"a:1\n" * FIELDS_MAX
    assert read([b"0\n" + lines + b"\n"]) == (b"", b"", ((b"a", b"1"),) * FIELDS_MAX, True)
    assert refused(b"0\n" + lines + b"b:2\n\n") == "head-too-large"


def test_trailers_that_belong_in_a_head_are_dropped_however_they_are_written() -> None:
    lines = b"Set-Cookie : a\nX-Sum : 1\nX_Forwarded_For: b\nContent-Length: 5\n"
    assert read([b"0\n" + lines + b"\n"]) == (b"", b"", ((b"X-Sum", b"1"),), True)


CHUNK_PARTS = st.lists(
    st.sampled_from(
        [
            *(b"1\r\na\r\n", b"1\na\r\n", b"1 \r\na\r\n", b"5 ;x\nhello\r\n", b"1\r\na\n", b"0\n"),
            *(b"0\r\n", b"0 \r\n", b"\r\n", b"\n", b"A: b\n", b"A : b\r\n", b"1", b"f", b"\r"),
            *(b" ", b"\t", b";", b"Upgrade : x\n", b"\r\n\r\n", b"\n\n", b"GET /"),
        ]
    ),
    max_size=12,
).map(b"".join)


@given(data=st.one_of(CHUNK_PARTS, binary(60)), cuts=st.lists(st.integers(0, 80), max_size=8))
def test_any_bytes_in_any_split_are_read_the_same(data: bytes, cuts: list[int]) -> None:
    assert read(split(data, cuts)) == read([data]) == read(each_byte(data))


@given(data=st.one_of(CHUNK_PARTS, binary(60)))
def test_what_the_strict_reader_takes_is_read_no_differently(data: bytes) -> None:
    strict = body_reader("chunked")
    try:
        body = strict.feed(data)
        strict.eof()
    except HttpError:
        return
    assert read([data]) == (body, strict.rest, strict.trailers, False)


@given(data=CHUNK_PARTS)
def test_what_is_taken_is_what_strict_chunks_say(data: bytes) -> None:
    found = read([data])
    if isinstance(found, tuple):
        body, rest, trailers, _ = found
        written = chunk(body) + last_chunk(trailers) + rest
        assert read([written]) == (body, rest, trailers, False)
