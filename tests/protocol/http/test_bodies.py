from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from protocol.errors import HttpError
from protocol.http.bodies import ChunkedBody, LengthBody, UntilCloseBody, body_reader
from protocol.http.fields import BodyForm, Fields
from protocol.http.limits import (
    CHUNK_FRAMING_FREE_BYTES,
    CHUNK_FRAMING_MAX_BYTES,
    CHUNK_RUN_DATA_MAX_BYTES,
    CHUNK_RUN_ZEROS_MAX,
    FIELDS_MAX,
    TRAILERS_MAX_BYTES,
)
from protocol.http.serialise import chunk, last_chunk
from tests.protocol.http.drawn import binary, each_byte, split


def read(pieces: list[bytes], form: BodyForm = "chunked") -> tuple[bytes, bytes, Fields] | str:
    """Body, rest and trailers; or the code of the error."""
    body = body_reader(form)
    try:
        data = b"".join([body.feed(piece) for piece in pieces])
        body.eof()
    except HttpError as error:
        assert not body.done
        return error.code
    return data, body.rest, body.trailers


def in_pieces(data: bytes) -> list[bytes]:
    """Single bytes; of long data fewer, because what is held is looked at each time."""
    return split(data, range(0, len(data), 1 if len(data) < 1000 else 97))


def refused(data: bytes) -> str:
    """The code with which feed() itself refuses, the same in any split."""
    codes = set()
    for pieces in ([data], in_pieces(data)):
        body = ChunkedBody()
        with pytest.raises(HttpError) as caught:
            list(map(body.feed, pieces))
        codes.add(caught.value.code)
    assert len(codes) == 1
    return codes.pop()


# --- length and until-close ----------------------------------------------------------------------


def test_piece_that_is_all_body_is_handed_on_without_a_copy() -> None:
    piece = b"x" * 1000
    assert LengthBody(2000).feed(piece) is piece
    assert LengthBody(1000).feed(piece) is piece
    assert UntilCloseBody().feed(piece) is piece


def test_length_body_ends_after_its_bytes_and_keeps_the_rest() -> None:
    body = LengthBody(5)
    assert body.feed(b"abc") == b"abc"
    assert repr(body) == "<LengthBody left=2 rest=0>"
    with pytest.raises(HttpError, match="2 bytes too early") as caught:
        body.eof()
    assert caught.value.code == "truncated"
    assert body.feed(b"deGET") == b"de"
    assert body.done
    assert body.feed(b" /") == b""
    assert body.rest == b"GET /"
    body.eof()


def test_length_body_is_done_with_its_last_byte() -> None:
    body = LengthBody(5)
    assert [(body.feed(piece), body.done) for piece in (b"abcd", b"e")] == [
        (b"abcd", False),
        (b"e", True),
    ]


def test_no_body_is_done_from_the_start() -> None:
    for form in (0, None):
        body = body_reader(form)
        assert body.done
        assert body.feed(b"x") == b""
        assert body.rest == b"x"
        body.eof()


def test_until_close_body_ends_with_eof_only() -> None:
    body = body_reader("until-close")
    assert isinstance(body, UntilCloseBody)
    assert body.feed(b"abc") == b"abc"
    assert repr(body) == "<UntilCloseBody done=False>"
    body.eof()
    assert body.done
    assert (body.rest, body.trailers) == (b"", ())
    assert repr(body) == "<UntilCloseBody done=True>"


# --- chunks --------------------------------------------------------------------------------------

WHOLE = (
    b'5\r\nhello\r\n0A;x="y\t\xe4";z\r\n0123456789\r\n000\r\nA: b\r\nx-C:  d \t\r\nE:\r\n\r\nGET'
)


def test_chunks_are_joined_and_trailers_read() -> None:
    expected = (b"hello0123456789", b"GET", ((b"A", b"b"), (b"x-C", b"d"), (b"E", b"")))
    assert read([WHOLE]) == expected
    assert read(each_byte(WHOLE)) == expected


def test_whole_chunk_is_given_out_before_its_end() -> None:
    body = ChunkedBody()
    assert body.feed(b"5\r\nhel") == b"hel"
    assert repr(body) == "<ChunkedBody chunks left=2 held=0>"
    assert body.feed(b"lo") == b"lo"
    assert body.feed(b"\r\n0\r") == b""
    assert repr(body) == "<ChunkedBody chunks left=0 held=4>"
    assert body.feed(b"\n") == b""
    assert repr(body) == "<ChunkedBody trailers left=0 held=0>"
    assert body.feed(b"\r\n") == b""
    assert repr(body) == "<ChunkedBody done left=0 held=0>"


def test_what_is_fed_after_the_end_is_rest() -> None:
    body = ChunkedBody()
    assert body.feed(b"0\r\n\r\nG") == b""
    assert body.feed(b"ET") == b""
    assert body.rest == b"GET"


@pytest.mark.parametrize("length", range(len(WHOLE) - len(b"GET")))
def test_chunked_body_is_truncated_at_every_byte_before_its_end(length: int) -> None:
    assert read([WHOLE[:length]]) == "truncated"


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"g",
        b";x\r\n",
        b" 5\r\n",
        b"5 \r\n",
        b"5\t\r\n",
        b"5 ;x\r\n",
        b"+5\r\n",
        b"-5\r\n",
        b"0x5\r\n",
        b"5_0\r\n",
        b"5,5\r\n",
        b"\xb2\r\n",
        b"5\n",
        b"5\r\r\n",
        b"5\rx",
        b"5;a\nb\r\n",
        b"5;a\rb\r\n",
        b"5;\x00\r\n",
        b"5;\x7f\r\n",
        b"2\r\nabc\r\n",
        b"2\r\nab5\r\n",
        b"2\r\nab\n",
        b"2\r\nab\rx",
        b"2\r\nabXX5\r\n",
        b"2\r\nab\r\n\r\n",
        b"2\r\nab\r\n 5\r\n",
        b"0\r\n\n",
        b"0\r\n\rx",
        b"0\r\nA: b\n\r\n",
        b"0\r\nA: b\r\n\n",
        b"0\r\nA: b\r\n c\r\n\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\n: b\r\n\r\n",
        b"0\r\nA\r\n\r\n",
        b"0\r\nA: \x00\r\n\r\n",
        b"0\r\nA: b\rc\r\n\r\n",
        b"0\r\n A: b\r\n\r\n",
    ],
)
def test_wrong_framing_is_refused_as_soon_as_it_is_seen(data: bytes) -> None:
    assert refused(data) == "bad-request"


def test_chunk_size_may_have_16_digits_and_no_one_more() -> None:
    body = ChunkedBody()
    assert body.feed(b"f" * 16 + b"\r\nabc") == b"abc"
    assert read([b"0" * 15 + b"3\r\nabc\r\n0\r\n\r\n"]) == (b"abc", b"", ())
    assert refused(b"0" * 16 + b"3\r\n") == "bad-request"
    assert refused(b"f" * 17) == "bad-request"


def test_framing_may_have_16_bytes_a_chunk_16_kib_and_a_byte_for_each_byte_of_body() -> None:
    first = b"64;" + b"x" * 9_995 + b"\r\n" + b"a" * 100
    left = CHUNK_FRAMING_MAX_BYTES + 100 - (10_000 - CHUNK_FRAMING_FREE_BYTES)
    second = b"\r\n5;" + b"x" * (left - 6 + CHUNK_FRAMING_FREE_BYTES) + b"\r\nhello"
    last = b"\r\n0;" + b"x" * (5 - 6 + CHUNK_FRAMING_FREE_BYTES) + b"\r\n\r\n"
    whole = first + second + last  # the 5 bytes of body pay for the last line
    for pieces in ([whole], in_pieces(whole)):
        assert read(pieces) == (b"a" * 100 + b"hello", b"", ())
    assert refused(first + second.replace(b"5;", b"5;y")) == "bad-request"
    assert refused(first + second.replace(b"5;", b"5;yyy")[:-7]) == "bad-request"
    assert refused(whole.replace(b"\r\n0", b"\r\n00")) == "bad-request"


def test_one_line_may_have_16_kib_however_much_body_came_before() -> None:
    much = chunk(b"x" * 100_000)
    line = b"\r\n1;" + b"x" * (CHUNK_FRAMING_MAX_BYTES - 6) + b"\r\n"
    body = much[:-2] + line + b"a\r\n0\r\n\r\n"
    assert read([body]) == (b"x" * 100_000 + b"a", b"", ())
    assert refused(body.replace(b"1;", b"1;y")) == "bad-request"
    assert refused(much[:-2] + line[:-2] + b"xxx") == "bad-request"


def test_an_app_that_streams_letter_by_letter_never_runs_out_of_framing() -> None:
    assert read([chunk(b"x") * 20_000 + last_chunk()]) == (b"x" * 20_000, b"", ())


def test_one_byte_chunks_with_extensions_run_out_of_framing() -> None:
    line = b"1;" + b"x" * CHUNK_FRAMING_FREE_BYTES + b"\r\nx\r\n"
    assert refused(line * 4200) == "bad-request"


def test_trailers_may_have_8_kib_and_no_byte_more() -> None:
    def trailers(size: int) -> bytes:
        return b"0\r\nA: " + b"x" * (size - len(b"A: \r\n\r\n")) + b"\r\n\r\n"

    fitting, value = trailers(TRAILERS_MAX_BYTES), b"x" * (TRAILERS_MAX_BYTES - 7)
    for pieces in ([fitting], in_pieces(fitting)):
        assert read(pieces) == (b"", b"", ((b"A", value),))
    assert refused(trailers(TRAILERS_MAX_BYTES + 1)) == "head-too-large"
    assert refused(trailers(2 * TRAILERS_MAX_BYTES)[:-4]) == "head-too-large"


def test_there_may_be_256_trailers_and_no_one_more() -> None:
    lines = b"a:1\r\n" * FIELDS_MAX
    assert read([b"0\r\n" + lines + b"\r\n"]) == (b"", b"", ((b"a", b"1"),) * FIELDS_MAX)
    assert refused(b"0\r\n" + lines + b"b:2\r\n\r\n") == "head-too-large"


def test_trailers_that_belong_in_a_head_are_dropped() -> None:
    lines = b"Content-Length: 5\r\nX-Sum: 1\r\nSet-Cookie: a\r\nX_Forwarded_For: b\r\n"
    assert read([b"0\r\n" + lines + b"\r\n"]) == (b"", b"", ((b"X-Sum", b"1"),))


@pytest.mark.parametrize("size", [1, 2, CHUNK_RUN_DATA_MAX_BYTES, CHUNK_RUN_DATA_MAX_BYTES + 1])
@pytest.mark.parametrize("count", [1, 3, 4, 5, 6, 21, 22, 1000])
def test_many_chunks_that_are_alike_are_read_in_any_split(size: int, count: int) -> None:
    body = bytes(number % 251 for number in range(size * count))
    chunks = b"".join(chunk(body[at : at + size]) for at in range(0, len(body), size))
    others = chunk(b"abc") + b"1;x=y\r\nz\r\n"
    whole = others + chunks + others + chunks + last_chunk() + b"rest"
    expected = (b"abcz" + body + b"abcz" + body, b"rest", ())
    assert read([whole]) == expected
    for width in (1, 5, 7, 64, 1000):
        assert read(split(whole, range(0, len(whole), width))) == expected


MIXED = {
    "sizes in turn": chunk(b"x") + chunk(b"xy"),
    "zeros now and then": chunk(b"x") + b"01\r\ny\r\n",
    "three and three": chunk(b"x") * 3 + b"01\r\ny\r\n" * 3,
    "all sizes, in both cases": b"".join(
        form % (size, bytes(range(size)))
        for size in range(1, 16)
        for form in (b"%x\r\n%b\r\n", b"%X\r\n%b\r\n")
    ),
    "data that looks like chunks": chunk(b"\r\n1\r\nx") + chunk(b"\r\n") + chunk(b"1\r\n"),
    "most zeros, and one more": b"0" * CHUNK_RUN_ZEROS_MAX
    + b"1\r\nx\r\n"
    + b"0" * (CHUNK_RUN_ZEROS_MAX + 1)
    + b"1\r\ny\r\n",
}


def one_by_one(chunks: bytes) -> bytes:
    """Their data, read in the plainest way."""
    data = b""
    while chunks:
        line, _, chunks = chunks.partition(b"\r\n")
        size = int(line, 16)
        data, chunks = data + chunks[:size], chunks[size + 2 :]
    return data


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("times", [1, 2, 300])
def test_short_chunks_of_any_mixture_are_read_in_any_split(name: str, times: int) -> None:
    chunks = MIXED[name] * times
    expected = (one_by_one(chunks), b"", ())
    assert read([chunks + last_chunk()]) == expected
    for width in (1, 7, 64, 1000):
        whole = chunks + last_chunk()
        assert read(split(whole, range(0, len(whole), width))) == expected


@pytest.mark.parametrize("name", MIXED)
def test_however_they_are_mixed_they_are_few_pieces(name: str) -> None:
    body = ChunkedBody()
    body.feed(MIXED[name] * 300)
    assert body.pieces < 10 or name == "most zeros, and one more"


@pytest.mark.parametrize("wrong", [b"2\r\nx\r\n", b"1\nx\r\n", b"1\r\nx\n", b"g\r\nx\r\n"])
@pytest.mark.parametrize("before", [1, 4, 5, 20, 100])
def test_one_chunk_that_is_not_alike_is_seen_in_a_run(wrong: bytes, before: int) -> None:
    assert refused(chunk(b"x") * before + wrong + chunk(b"x") * 100) == "bad-request"


def test_a_run_counts_as_framing_as_its_chunks_do() -> None:
    extended = b"1;" + b"x" * (CHUNK_FRAMING_FREE_BYTES - 6) + b"\r\nx\r\n"
    assert read([extended * 20_000 + last_chunk()]) == (b"x" * 20_000, b"", ())


def test_pieces_tell_how_much_work_a_call_was() -> None:
    body = ChunkedBody()
    body.feed(b"1;x\r\na\r\n" * 1000)
    assert body.pieces >= 1000
    body.feed(chunk(b"x") * 10_000)
    assert body.pieces < 5
    assert LengthBody(5).pieces == UntilCloseBody().pieces == 1


# --- any input -----------------------------------------------------------------------------------

PARTS = st.lists(
    st.sampled_from(
        [
            *(
                b"1\r\na\r\n" * 5,
                b"5\r\nhello\r\n",
                b"1;x=y\r\na\r\n",
                b"0\r\n",
                b"\r\n",
                b"A: b\r\n",
                b"1",
                b"f",
            ),
            *(b"\r", b"\n", b" ", b";", b"\x00", b"Host: a\r\n", b"0\r\n\r\n", b"GET /"),
        ]
    ),
    max_size=12,
).map(b"".join)


@given(
    data=st.one_of(PARTS, binary(60)),
    cuts=st.lists(st.integers(0, 80), max_size=8),
    form=st.sampled_from(["chunked", "until-close", None, 0, 3, 20]),
)
def test_any_bytes_in_any_split_give_the_same_body_or_http_error(
    data: bytes, cuts: list[int], form: BodyForm
) -> None:
    pieces = split(data, cuts)
    assert read(pieces, form) == read([data], form) == read(each_byte(data), form)


@given(
    pieces=st.lists(binary(50), max_size=8),
    trailers=st.lists(st.tuples(st.just(b"X-A"), st.sampled_from([b"", b"b", b"c d"]))).map(tuple),
    rest=binary(10),
)
def test_chunks_are_read_as_they_were_written(
    pieces: list[bytes], trailers: Fields, rest: bytes
) -> None:
    data = b"".join(map(chunk, pieces)) + last_chunk(trailers) + rest
    assert read([data]) == (b"".join(pieces), rest, trailers)
