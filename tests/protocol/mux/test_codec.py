from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given, strategies as st

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import (
    ADDRESS_MAX_CHARS,
    CODE_MAX_CHARS,
    FIELDS_MAX,
    FRAME_BODY_MAX_BYTES,
    HEAD_BODY_MAX_BYTES,
    STREAMS_MAX,
    TEXT_MAX_CHARS,
)
from protocol.mux import codec
from protocol.mux.messages import (
    Claim,
    Claimed,
    Goaway,
    Hello,
    Open,
    Refused,
    Release,
    Resume,
    Welcome,
)
from tests.protocol.mux.pair import CLAIM, GET, OK

HELLO = Hello(("later",), "tests/1", 100, 16_384)
WELCOME = Welcome((), "tests/1", b"s" * 16, b"k" * 32, 15, 30, 0)

# Keys that came with a later version, and what their absence means.
LATER = {"default": None}

MAPS: list[tuple[Any, Callable[[bytes], object]]] = [
    (HELLO, codec.read_hello),
    (WELCOME, codec.read_welcome),
    (Resume(b"s" * 16, b"k" * 32, 3, 2**40), codec.read_resume),
    (CLAIM, codec.read_claim),
    (Claimed(1, "app", "http://app.example"), codec.read_claimed),
    (Refused(1, "name-taken", "somebody has it"), codec.read_refused),
    (Release(1, "taken-over", "by another"), codec.read_release),
    (Goaway("shutting-down", "until tomorrow", 8), codec.read_goaway),
]
READERS: list[Callable[[bytes], object]] = [
    codec.read_uint,
    codec.read_open,
    codec.read_head,
    codec.read_trailers,
    codec.read_code,
    *(reader for _, reader in MAPS),
]


def refuses(reader: Callable[[bytes], object], value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        reader(msgpack.packb(value))


# --- what is written can be read -----------------------------------------------------------------


@pytest.mark.parametrize("body", [None, 0, 2**63 - 1, "chunked"])
def test_open_arrives_as_it_left(body: Any) -> None:
    opened = GET._replace(body=body, target=b"/\xff?\x80", credit=262_144)
    assert codec.read_open(codec.pack_open(opened)) == opened


@pytest.mark.parametrize("body", [None, 0, 17, "chunked", "until-close"])
def test_head_arrives_as_it_left(body: Any) -> None:
    head = OK._replace(reason=b"D\xe9j\xe0 vu", body=body)
    assert codec.read_head(codec.pack_head(head)) == head


def test_trailers_arrive_as_they_left_and_none_need_no_bytes() -> None:
    trailers = ((b"Digest", b"x"), (b"Digest", b"y"))
    assert codec.read_trailers(codec.pack_trailers(trailers)) == trailers
    assert codec.pack_trailers(()) == b""
    assert codec.read_trailers(b"") == ()


@pytest.mark.parametrize(("message", "reader"), MAPS)
def test_map_arrives_as_it_left(message: Any, reader: Callable[[bytes], object]) -> None:
    assert reader(codec.pack_map(message)) == message


@pytest.mark.parametrize(("message", "reader"), MAPS)
def test_unknown_key_of_a_map_is_ignored(message: Any, reader: Callable[[bytes], object]) -> None:
    assert reader(codec.pack(message._asdict() | {"later": [1, {}]})) == message


@pytest.mark.parametrize(("message", "reader"), MAPS)
def test_every_key_of_a_map_is_needed(message: Any, reader: Callable[[bytes], object]) -> None:
    for key in message._fields:
        without = {k: v for k, v in message._asdict().items() if k != key}
        if key in LATER:
            assert reader(codec.pack(without)) == message._replace(**{key: LATER[key]})
        else:
            refuses(reader, without)
        refuses(reader, message._asdict() | {key: None})
        refuses(reader, message._asdict() | {key: -1})
        refuses(reader, message._asdict() | {key: 1.5})


# --- limits, and one past them -------------------------------------------------------------------


def test_head_of_most_fields_passes_and_one_more_does_not() -> None:
    fields = ((b"a", b"b"),) * FIELDS_MAX
    assert codec.read_head(codec.pack_head(OK._replace(fields=fields))).fields == fields
    more = OK._replace(fields=(*fields, (b"a", b"b")))
    with pytest.raises(LocalProtocolError, match=f"{FIELDS_MAX + 1} fields"):
        codec.pack_head(more)
    refuses(codec.read_head, more)


@pytest.mark.parametrize("kind", ["open", "head", "trailers"])
def test_head_of_most_bytes_passes_and_one_more_does_not(kind: str) -> None:
    def body(padding: int) -> bytes:
        fields = ((b"a", b"x" * padding),)
        if kind == "open":
            return codec.pack_open(GET._replace(fields=fields))
        return codec.pack_head(OK._replace(fields=fields)) if kind == "head" else trailers(fields)

    trailers = codec.pack_trailers
    reader: Callable[[bytes], object] = getattr(codec, f"read_{kind}")
    most = HEAD_BODY_MAX_BYTES - len(body(40_000)) + 40_000
    longest = body(most)
    assert len(longest) == HEAD_BODY_MAX_BYTES
    reader(longest)
    with pytest.raises(LocalProtocolError):
        body(most + 1)
    with pytest.raises(RemoteProtocolError):
        reader(longest + b"\x00")


@pytest.mark.parametrize(
    ("changed", "limit"), [("host", TEXT_MAX_CHARS), ("visitor", ADDRESS_MAX_CHARS)]
)
def test_open_that_the_peer_would_refuse_is_not_written(changed: str, limit: int) -> None:
    opened: Any = GET
    longest = opened._replace(**{changed: "x" * limit})
    assert codec.read_open(codec.pack_open(longest)) == longest
    longer = opened._replace(**{changed: "x" * (limit + 1)})
    with pytest.raises(LocalProtocolError):
        codec.pack_open(longer)
    refuses(codec.read_open, longer)


@pytest.mark.parametrize("status", [100, 999])
def test_outermost_status_passes_and_one_further_does_not(status: int) -> None:
    assert codec.read_head(codec.pack_head(OK._replace(status=status))).status == status
    further = OK._replace(status=status + (1 if status > 500 else -1))
    with pytest.raises(LocalProtocolError):
        codec.pack_head(further)
    refuses(codec.read_head, further)


@pytest.mark.parametrize("body", ["until-close", -1, 2**63, True, "gzip", b"chunked"])
def test_form_that_no_request_has_is_refused_and_not_written(body: Any) -> None:
    opened = GET._replace(body=body)
    refuses(codec.read_open, opened)
    with pytest.raises(LocalProtocolError):
        codec.pack_open(opened)


@pytest.mark.parametrize("body", [-1, 2**63, False, "gzip", 1.0, b"until-close"])
def test_form_that_no_answer_has_is_refused_and_not_written(body: Any) -> None:
    head = OK._replace(body=body)
    refuses(codec.read_head, head)
    with pytest.raises(LocalProtocolError):
        codec.pack_head(head)


def test_numbers_have_63_bits() -> None:
    assert codec.read_uint(codec.pack(2**63 - 1)) == 2**63 - 1
    assert codec.read_uint(b"\x00") == 0
    for value in (2**63, -1, 1.0, True, b"1", None):
        refuses(codec.read_uint, value)


def test_text_for_people_is_cut_and_code_is_held_to_its_length() -> None:
    code, message = codec.read_code(codec.pack_code("x" * CODE_MAX_CHARS, "é" * 10_000))
    assert (code, message) == ("x" * CODE_MAX_CHARS, "é" * TEXT_MAX_CHARS)
    refuses(codec.read_code, ("x" * (CODE_MAX_CHARS + 1), ""))
    refuses(codec.read_code, ("x", "y" * (TEXT_MAX_CHARS + 1)))
    goaway = codec.read_goaway(codec.pack_map(Goaway("x", "y" * 10_000, 0)))
    assert goaway.message == "y" * TEXT_MAX_CHARS


def test_text_that_is_no_utf8_is_mended() -> None:
    assert codec.read_code(codec.pack_code("x", "a\udcffb")) == ("x", "a?b")


def test_announced_streams_have_a_limit() -> None:
    refuses(codec.read_hello, HELLO._replace(max_streams=STREAMS_MAX + 1)._asdict())
    most = HELLO._replace(max_streams=STREAMS_MAX)
    assert codec.read_hello(codec.pack_map(most)) == most


@pytest.mark.parametrize("key", ["ping_interval_s", "timeout_s"])
def test_heartbeat_without_pause_is_refused(key: str) -> None:
    refuses(codec.read_welcome, WELCOME._asdict() | {key: 0})


@pytest.mark.parametrize("option", [True, 7, "x", b"x", [], [1, "x"]])
def test_options_are_plain_values(option: Any) -> None:
    claim = codec.read_claim(codec.pack(CLAIM._asdict() | {"options": {"keepalive": option}}))
    assert "keepalive" in claim.options


@pytest.mark.parametrize("option", [None, 1.5, {}, [[1]], [{}]])
def test_options_nest_no_deeper(option: Any) -> None:
    refuses(codec.read_claim, CLAIM._asdict() | {"options": {"keepalive": option}})
    refuses(codec.read_claim, CLAIM._asdict() | {"options": {b"keepalive": 1}})


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": b"http"},
        {"kind": "x" * (CODE_MAX_CHARS + 1)},
        {"claim": -1},
        {"method": "GET"},
        {"target": None},
        {"version": "1.1"},
        {"fields": {b"a": b"b"}},
        {"fields": [[b"a"]]},
        {"fields": [[b"a", b"b", b"c"]]},
        {"fields": [["a", b"b"]]},
        {"fields": [[b"a", "b"]]},
        {"fields": [b"ab"]},
        {"scheme": b"http"},
        {"host": None},
        {"visitor": 1},
        {"credit": None},
    ],
)
def test_wrong_open_is_refused(wrong: dict[str, object]) -> None:
    refuses(codec.read_open, tuple((GET._asdict() | wrong).values()))


@pytest.mark.parametrize("value", [(), GET[:-1], (*GET, 1), {}, None, b""])
def test_open_of_another_shape_is_refused(value: object) -> None:
    refuses(codec.read_open, value)
    refuses(codec.read_head, value)


# --- any bytes -----------------------------------------------------------------------------------


def deep(opening: bytes) -> bytes:
    return opening * (FRAME_BODY_MAX_BYTES // len(opening))


@pytest.mark.parametrize(
    "bomb",
    [
        deep(b"\x91"),
        deep(b"\x81\xa1a"),
        deep(b"\xdc\x01\x10"),
        deep(b"\xdd\xff\xff\xff\xff"),
        deep(b"\xdf\xff\xff\xff\xff"),
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\xc7\x00\xff",
        b"\xd7\xff" + bytes(8),
        b"\x81\xc0\xc0",
        b"\x81\x90\xc0",
        b"\xc1",
        b"\xa1\xff",
        b"\xc0\xc0",
    ],
)
@pytest.mark.parametrize("reader", READERS)
def test_bomb_is_refused(reader: Callable[[bytes], object], bomb: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        reader(bomb)


def test_nested_arrays_allocate_little() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError):
            codec.unpack(deep(b"\xdc\x01\x00"))
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
VALUES = st.recursive(
    SCALARS | st.binary(max_size=8) | st.text(max_size=8) | st.sampled_from(list(HELLO._fields)),
    lambda inner: (
        st.lists(inner, max_size=12)
        | st.dictionaries(st.sampled_from([*Claim._fields, *WELCOME._fields, "x"]), inner)
    ),
    max_leaves=20,
)


@given(st.sampled_from(READERS), st.binary(max_size=100) | VALUES.map(msgpack.packb))
def test_any_body_is_read_or_refused(reader: Callable[[bytes], object], body: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        reader(body)


@given(st.integers(0, len(Open._fields) - 1), VALUES)
def test_open_with_any_value_in_any_place_is_read_or_refused(place: int, value: object) -> None:
    values: list[object] = list(GET)
    values[place] = value
    try:
        opened = codec.read_open(msgpack.packb(values))
    except RemoteProtocolError:
        return
    assert codec.read_open(codec.pack_open(opened)) == opened
