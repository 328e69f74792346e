from __future__ import annotations

import pytest

from protocol.errors import HttpError
from protocol.http.fields import (
    Fields,
    connection_options,
    crossing_trailers,
    elements,
    end_to_end,
    folded,
    is_forwarding_name,
    values_of,
)


def test_elements_of_a_list_are_in_lower_case_and_without_whitespace() -> None:
    assert elements(b"Keep-Alive,\tX-A ,, close") == [b"keep-alive", b"x-a", b"", b"close"]


def test_values_of_a_name_are_found_in_any_case_and_in_order() -> None:
    fields = ((b"A", b"1"), (b"B", b"2"), (b"a", b"3"))
    assert values_of(fields, b"a") == [b"1", b"3"]
    assert values_of(fields, b"c") == []


def test_fields_without_hop_by_hop_ones_go_on_as_they_came() -> None:
    fields = ((b"Host", b"a"), (b"cOOKIE", b"x"), (b"A", b"1"), (b"A", b"1"))
    assert end_to_end(fields) is fields


@pytest.mark.parametrize(
    "name",
    [
        b"Connection",
        b"Keep-Alive",
        b"Proxy-Connection",
        b"TE",
        b"Transfer-Encoding",
        b"Upgrade",
        b"upGRADE",
        b"HTTP2-Settings",
    ],
)
def test_hop_by_hop_field_stays_behind(name: bytes) -> None:
    assert end_to_end(((b"A", b"1"), (name, b"x"), (b"B", b"2"))) == ((b"A", b"1"), (b"B", b"2"))


def test_what_any_connection_field_lists_stays_behind() -> None:
    fields = (
        (b"x-first", b"1"),
        (b"Connection", b"close, X-First"),
        (b"X-Second", b"2"),
        (b"Content-Length", b"5"),
        (b"connection", b"x-SECOND,, x-third"),
        (b"X-Third", b"3"),
        (b"X-Fourth", b"4"),
    )
    assert end_to_end(fields) == ((b"Content-Length", b"5"), (b"X-Fourth", b"4"))


def test_connection_cannot_take_away_what_a_proxy_says_of_the_visitor() -> None:
    said = (
        (b"X-Forwarded-For", b"198.51.100.1"),
        (b"x-real-ip", b"198.51.100.1"),
        (b"Forwarded", b"for=198.51.100.1"),
    )
    connection = (b"Connection", b"close, X-Forwarded-For, forwarded,X-Real-IP, X-A")
    assert end_to_end((*said, (b"X-A", b"1"), connection)) == said


def test_every_byte_but_letters_and_digits_folds_to_the_dash() -> None:
    fold = folded(bytes(range(256)))
    kept = b"0123456789abcdefghijklmnopqrstuvwxyz"
    assert len(fold) == 256
    for code in range(256):
        lower = bytes([code]).lower()
        assert fold[code] == (lower[0] if lower in kept else ord("-"))


@pytest.mark.parametrize("listed", [b"Host", b"close, content-length", b"x,\tHOST\t,y"])
def test_connection_may_not_take_host_or_length_away(listed: bytes) -> None:
    with pytest.raises(HttpError, match="Connection lists"):
        connection_options(listed)
    with pytest.raises(HttpError, match="Connection lists"):
        end_to_end(((b"Connection", b"close"), (b"Connection", listed)))


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        (b"forwarded", True),
        (b"x-forwarded-for", True),
        (b"x_forwarded_for", True),
        (b"x-forwarded_host", True),
        (b"x-forwarded", True),
        (b"x-forwarded-anything", True),
        (b"x-real-ip", True),
        (b"x_real-ip", True),
        (b"X.Forwarded.Host", True),
        (b"x~forwarded!for", True),
        (b"X'Real`IP", True),
        (b"x-forwarded\xe4", True),
        (b"x1forwarded-for", False),
        (b"forwarded-for", False),
        (b"x-real-ips", False),
        (b"x-forward", False),
        (b"xforwarded-for", False),
        (b"host", False),
    ],
)
def test_forwarding_names_are_known_in_every_spelling(name: bytes, is_one: bool) -> None:
    assert is_forwarding_name(name) is is_one


@pytest.mark.parametrize(
    "name",
    [
        b"Connection",
        b"Transfer-Encoding",
        b"transfer_encoding",
        b"Content-Length",
        b"Trailer",
        b"TE",
        b"Host",
        b"Authorization",
        b"Proxy-Authorization",
        b"WWW-Authenticate",
        b"Authentication-Info",
        b"Proxy-Authenticate",
        b"Proxy-Authentication-Info",
        b"Cookie",
        b"Set-Cookie",
        b"Cookie2",
        b"Set-Cookie2",
        b"Forwarded",
        b"X-Forwarded-For",
        b"X_Real_IP",
        b"X.Real~IP",
        b"Set.Cookie",
        b"Tunnel-Error",
    ],
)
def test_what_belongs_in_a_head_does_not_cross_as_a_trailer(name: bytes) -> None:
    assert crossing_trailers(((b"A", b"1"), (name, b"x"), (b"B", b"2"))) == (
        (b"A", b"1"),
        (b"B", b"2"),
    )


def test_other_trailers_cross_as_they_came() -> None:
    trailers: Fields = ((b"Grpc-Status", b"0"), (b"x-SUM", b""), (b"X-Sum", b"\xe4"))
    assert crossing_trailers(trailers) == trailers
