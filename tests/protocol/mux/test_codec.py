from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import msgpack
import pytest
from hypothesis import given, strategies as st

from protocol import VERSIONS
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import (
    CODE_MAX_CHARS,
    FRAME_BODY_MAX_BYTES,
    HEAD_BODY_MAX_BYTES,
    STREAMS_MAX,
    TEXT_MAX_CHARS,
)
from protocol.mux import codec, head_bodies, map_bodies
from protocol.mux.messages import (
    Claim,
    Claimed,
    Goaway,
    Gone,
    Hello,
    Refused,
    Release,
    Resume,
    Welcome,
)
from tests.protocol.mux.pair import CLAIM, GET, OK

HELLO = Hello(("later",), "tests/1", 100, 16_384)
WELCOME = Welcome((), "tests/1", b"s" * 16, b"k" * 32, 15, 30, 0)

# Keys that came with a later version, and what their absence means.
LATER = {"default": None, "note": None}

MAPS: list[tuple[Any, Callable[[bytes], object]]] = [
    (HELLO, map_bodies.read_hello),
    (WELCOME, map_bodies.read_welcome),
    (Resume(b"s" * 16, b"k" * 32, 3, 2**40), map_bodies.read_resume),
    (CLAIM, map_bodies.read_claim),
    (Claimed(1, "app", "http://app.example", "taken"), map_bodies.read_claimed),
    (Refused(1, "name-taken", "somebody has it"), map_bodies.read_refused),
    (Release(1, "taken-over", "by another"), map_bodies.read_release),
    (Goaway("shutting-down", "until tomorrow", 8), map_bodies.read_goaway),
    (Gone(2**40), map_bodies.read_gone),
]
READERS: list[Callable[[bytes], object]] = [
    codec.read_uint,
    *(partial(head_bodies.read_open, version=version) for version in VERSIONS),
    *(partial(head_bodies.read_head, version=version) for version in VERSIONS),
    codec.read_trailers,
    codec.read_code,
    *(reader for _, reader in MAPS),
]


def refuses(reader: Callable[[bytes], object], value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        reader(msgpack.packb(value))


# --- what is written can be read -----------------------------------------------------------------


def test_trailers_arrive_as_they_left_and_none_need_no_bytes() -> None:
    trailers = ((b"Digest", b"x"), (b"Digest", b"y"))
    assert codec.read_trailers(codec.pack_trailers(trailers)) == trailers
    assert codec.pack_trailers(()) == b""
    assert codec.read_trailers(b"") == ()


@pytest.mark.parametrize(("message", "reader"), MAPS)
def test_map_arrives_as_it_left(message: Any, reader: Callable[[bytes], object]) -> None:
    assert reader(map_bodies.pack_map(message)) == message


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


@pytest.mark.parametrize("kind", ["open", "head", "trailers"])
def test_head_of_most_bytes_passes_and_one_more_does_not(kind: str) -> None:
    def body(padding: int) -> bytes:
        fields = ((b"a", b"x" * padding),)
        if kind == "open":
            return head_bodies.pack_open(GET._replace(fields=fields))
        if kind == "head":
            return head_bodies.pack_head(OK._replace(fields=fields))
        return codec.pack_trailers(fields)

    module = codec if kind == "trailers" else head_bodies
    reader: Callable[[bytes], object] = getattr(module, f"read_{kind}")
    most = HEAD_BODY_MAX_BYTES - len(body(40_000)) + 40_000
    longest = body(most)
    assert len(longest) == HEAD_BODY_MAX_BYTES
    reader(longest)
    with pytest.raises(LocalProtocolError):
        body(most + 1)
    with pytest.raises(RemoteProtocolError):
        reader(longest + b"\x00")


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
    goaway = map_bodies.read_goaway(map_bodies.pack_map(Goaway("x", "y" * 10_000, 0)))
    assert goaway.message == "y" * TEXT_MAX_CHARS


def test_text_that_is_no_utf8_is_mended() -> None:
    assert codec.read_code(codec.pack_code("x", "a\udcffb")) == ("x", "a?b")


def test_announced_streams_have_a_limit() -> None:
    refuses(map_bodies.read_hello, HELLO._replace(max_streams=STREAMS_MAX + 1)._asdict())
    most = HELLO._replace(max_streams=STREAMS_MAX)
    assert map_bodies.read_hello(map_bodies.pack_map(most)) == most


@pytest.mark.parametrize("key", ["ping_interval_s", "timeout_s"])
def test_heartbeat_without_pause_is_refused(key: str) -> None:
    refuses(map_bodies.read_welcome, WELCOME._asdict() | {key: 0})


@pytest.mark.parametrize("option", [True, 7, "x", b"x", [], [1, "x"]])
def test_options_are_plain_values(option: Any) -> None:
    claim = map_bodies.read_claim(codec.pack(CLAIM._asdict() | {"options": {"keepalive": option}}))
    assert "keepalive" in claim.options


@pytest.mark.parametrize("option", [None, 1.5, {}, [[1]], [{}]])
def test_options_nest_no_deeper(option: Any) -> None:
    refuses(map_bodies.read_claim, CLAIM._asdict() | {"options": {"keepalive": option}})
    refuses(map_bodies.read_claim, CLAIM._asdict() | {"options": {b"keepalive": 1}})


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
