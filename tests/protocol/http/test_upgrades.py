"""Which protocols cross in Upgrade, and which 101 takes one of them."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from protocol.errors import HttpError
from protocol.http.fields import elements
from protocol.http.upgrades import MEMBERS_MAX, asked_by, choice, crossing

OPTIONS = [b"keep-alive", b"upgrade"]


@pytest.mark.parametrize(
    ("value", "crosses"),
    [
        (b"tcp", b"tcp"),
        (b"SPDY/3.1", b"SPDY/3.1"),
        # The example of RFC 9110 7.8.
        (b"websocket, IRC/6.9, RTA/x11", b"IRC/6.9, RTA/x11"),
        (b"b ,\tA/2,b", b"b, A/2, b"),
        (b"h2c", b""),
        (b"H2C, tcp", b"tcp"),
        (b"h2c-14, h2c-17, H2C/1, h2cx", b""),
        (b"h2, H2-14, h2/1, tcp, h2-", b"tcp"),
        (b"h2x, h, 2, h3, xh2c", b"h2x, h, 2, h3, xh2c"),
        (b"HTTP/2.0", b""),
        (b"hTTp/2.0, a, Http/3", b"a"),
        (b"TLS/1.0, tls/1.3,TLS", b""),
        (b"TLSX/1", b"TLSX/1"),
        (b"WebSocket", b""),
        (b"", b""),
        (b", ,", b""),
        (b"a b, /1, a/, a/b/c, \xe4, tcp", b"tcp"),
    ],
)
def test_protocols_cross_but_http_and_tls(value: bytes, crosses: bytes) -> None:
    assert crossing(value) == crosses
    assert asked_by(b"POST", value, OPTIONS, 29) == crosses


@pytest.mark.parametrize("member", [b"a", b""])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_of_more_than_16_members_none_is_asked_for(method: bytes, member: bytes) -> None:
    most = b",".join([member] * (MEMBERS_MAX - 1) + [b"tcp"])
    assert asked_by(method, most, OPTIONS, None) == crossing(most) != b""
    more = most + b"," + member
    assert asked_by(method, more, OPTIONS, None) == crossing(more) == b""


def test_websocket_may_be_one_of_16() -> None:
    most = b"," * (MEMBERS_MAX - 1) + b"websocket"
    assert asked_by(b"GET", most, OPTIONS, None) == b"websocket"
    assert asked_by(b"GET", b"," + most, OPTIONS, None) == b""


MEMBERS = st.sampled_from(
    [b"h2c", b"H2c", b"HTTP/2.0", b"tls/1.2", b"websocket", b"a/1", b"B", b""]
)


@given(st.lists(MEMBERS, max_size=8), st.sampled_from([b",", b", ", b"\t, "]))
def test_what_crosses_crosses_once_more_as_it_is(members: list[bytes], comma: bytes) -> None:
    once = crossing(comma.join(members))
    assert crossing(once) == once
    assert not {b"h2c", b"http/2.0", b"tls/1.2", b"websocket"} & set(elements(once))
    assert once == b", ".join([member for member in members if member in (b"a/1", b"B")])


def test_without_the_option_nothing_is_asked_for() -> None:
    assert asked_by(b"GET", b"tcp", [b"keep-alive"], None) == b""
    assert asked_by(b"GET", b"websocket", [], 5) == b""


@pytest.mark.parametrize("named", [b"tcp", b"TCP", b"Spdy/3.1"])
def test_a_101_names_one_of_those_in_any_case(named: bytes) -> None:
    assert choice(b"SPDY/3.1, tcp", named) == named


@pytest.mark.parametrize(
    "named", [b"", b"spdy", b"tcp/1", b"SPDY/3.1, tcp", b"tcp,", b" tcp", b"x"]
)
def test_a_101_that_names_none_or_several_is_refused(named: bytes) -> None:
    with pytest.raises(HttpError, match="a 101"):
        choice(b"SPDY/3.1, tcp", named)
    with pytest.raises(HttpError, match="a 101"):
        choice(b"", named)
