from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from protocol.errors import HandshakeRefused, RemoteProtocolError
from protocol.mux import handshake
from protocol.mux.map_bodies import pack_map
from protocol.mux.messages import Goaway, Hello, Refused, Resume, Resumed, Welcome
from protocol.mux.wire import FrameType, frame

HELLO = Hello((), "tests/1", 100, 16_384)
WELCOME = Welcome((), "tests/1", b"s" * 16, b"k" * 32, 15, 30, 0)
RESUME = Resume(b"s" * 16, b"k" * 32, 1, 0)


def test_hello_and_welcome_arrive() -> None:
    assert handshake.read_first(handshake.hello_message(HELLO)) == HELLO
    assert handshake.read_answer_to_hello(handshake.welcome_message(WELCOME)) == WELCOME


def test_resume_may_come_first() -> None:
    assert handshake.read_first(frame(FrameType.RESUME, 0, pack_map(RESUME))) == RESUME


def test_resume_of_an_unknown_session_is_refused_by_name() -> None:
    with pytest.raises(HandshakeRefused, match="start a new one") as caught:
        handshake.read_answer_to_hello(handshake.unknown_session_message())
    assert caught.value.code == "unknown-session"
    assert handshake.read_answer_to_resume(handshake.unknown_session_message()) is None


def test_resume_and_resumed_arrive() -> None:
    assert handshake.read_first(handshake.resume_message(RESUME)) == RESUME
    assert handshake.read_answer_to_resume(handshake.resumed_message(7)) == Resumed(7)


def test_goaway_instead_of_welcome_says_why() -> None:
    goaway = Goaway("shutting-down", "come back", 0)
    with pytest.raises(RemoteProtocolError, match="come back") as caught:
        handshake.read_answer_to_hello(frame(FrameType.GOAWAY, 0, pack_map(goaway)))
    assert caught.value.code == "shutting-down"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        frame(FrameType.PING, 0, b"\x01"),
        frame(FrameType.HELLO, 1, pack_map(HELLO)),
        handshake.hello_message(HELLO) * 2,
        handshake.hello_message(HELLO) + frame(FrameType.PING, 0, b"\x01"),
        frame(FrameType.HELLO, 0, b""),
        handshake.welcome_message(WELCOME),
    ],
)
def test_first_message_of_another_kind_is_refused(message: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        handshake.read_first(message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        frame(FrameType.WELCOME, 9, pack_map(WELCOME)),
        handshake.welcome_message(WELCOME) + frame(FrameType.PING, 0, b"\x01"),
        handshake.hello_message(HELLO),
        frame(FrameType.RESUMED, 0, b"\x00"),
    ],
)
def test_answer_of_another_kind_is_refused(message: bytes) -> None:
    for read in (handshake.read_answer_to_hello, handshake.read_answer_to_resume):
        with pytest.raises(RemoteProtocolError):
            read(message)


def test_answer_to_the_one_is_none_to_the_other() -> None:
    with pytest.raises(RemoteProtocolError):
        handshake.read_answer_to_hello(handshake.resumed_message(7))
    with pytest.raises(RemoteProtocolError):
        handshake.read_answer_to_resume(handshake.welcome_message(WELCOME))


@given(st.sampled_from(list(FrameType)), st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(kind: FrameType, body: bytes) -> None:
    for message in (body, frame(kind, 0, body)):
        for read in (handshake.read_answer_to_hello, handshake.read_answer_to_resume):
            with pytest.raises((RemoteProtocolError, HandshakeRefused)):
                read(message)
        with pytest.raises(RemoteProtocolError):
            handshake.read_first(message)


def test_refusal_of_a_hello_is_final() -> None:
    refused = Refused(0, "overloaded", "no more sessions")
    with pytest.raises(HandshakeRefused, match="no more sessions"):
        handshake.read_answer_to_hello(frame(FrameType.REFUSED, 0, pack_map(refused)))
    with pytest.raises(HandshakeRefused, match="no more sessions"):
        handshake.read_answer_to_resume(frame(FrameType.REFUSED, 0, pack_map(refused)))
