from __future__ import annotations

import pytest

from protocol.errors import HttpError
from protocol.http.fields import Fields
from protocol.http.forwarding import KNOWN, with_forwarding, without_tunnel_error

OURS = (
    (b"X-Forwarded-For", b"203.0.113.5"),
    (b"X-Forwarded-Host", b"name.example.com:8443"),
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Port", b"8443"),
    (b"Tunnel-Hops", b"1"),
)
KEPT = ((b"Host", b"a"), (b"x-Forward", b"1"), (b"X-Realm", b"2"), (b"From", b"3"))


def forwarded(fields: Fields, *, trusted: bool = False, visitor: str = "203.0.113.5") -> Fields:
    return with_forwarding(
        fields,
        visitor=visitor,
        scheme="https",
        host="name.example.com:8443",
        port=8443,
        trusted=trusted,
    )


@pytest.mark.parametrize("trusted", [False, True])
def test_ours_stand_at_the_end_and_others_stay_as_they_came(trusted: bool) -> None:
    assert forwarded(KEPT, trusted=trusted) == KEPT + OURS
    assert forwarded((), trusted=trusted) == OURS


@pytest.mark.parametrize(
    "name",
    [
        b"Forwarded",
        b"fORWARDED",
        b"X-Forwarded-For",
        b"x-forwarded-host",
        b"X-FORWARDED-PROTO",
        b"X-Forwarded-Port",
        b"X-Forwarded-Prefix",
        b"X-Forwarded",
        b"X-Real-IP",
        b"x_real_ip",
        b"X_Forwarded_For",
        b"X-Forwarded_Proto",
        b"X.Forwarded.Host",
        b"x!forwarded*for",
    ],
)
def test_what_a_visitor_says_of_itself_is_dropped(name: bytes) -> None:
    fields = (KEPT[0], (name, b"evil"), *KEPT[1:], (name, b"evil"))
    assert forwarded(fields) == KEPT + OURS


def test_chain_of_a_trusted_proxy_grows_by_its_address() -> None:
    fields = (
        (b"x-forwarded-FOR", b"198.51.100.1"),
        (b"A", b"b"),
        (b"X-Forwarded-For", b"198.51.100.2, ::1"),
    )
    assert forwarded(fields, trusted=True) == (
        (b"A", b"b"),
        (b"X-Forwarded-For", b"198.51.100.1, 198.51.100.2, ::1, 203.0.113.5"),
        *OURS[1:],
    )


def test_what_else_a_trusted_proxy_says_stands_and_is_not_said_twice() -> None:
    said = (
        (b"x-forwarded-host", b"other"),
        (b"Forwarded", b"for=198.51.100.1"),
        (b"X-Forwarded-Port", b"1"),
        (b"X-Real-IP", b"198.51.100.1"),
    )
    assert forwarded(said, trusted=True) == (*said, OURS[0], OURS[2], OURS[4])
    proto = ((b"X-Forwarded-Proto", b"http"),)
    assert forwarded(proto, trusted=True) == (*proto, OURS[0], OURS[1], *OURS[3:])


@pytest.mark.parametrize(
    "name",
    [b"X-Forwarded-User", b"x-forwarded-EMAIL", b"X-Forwarded-Prefix", b"X-Forwarded"],
)
def test_what_proxies_pass_on_as_a_visitor_wrote_it_is_dropped_unless_it_is_asked_for(
    name: bytes,
) -> None:
    fields = (KEPT[0], (name, b"ann"), *KEPT[1:])
    dropped: list[bytes] = []
    facts = {"visitor": "203.0.113.5", "scheme": "https", "host": "name.example.com:8443"}
    for known, kept in ((KNOWN, KEPT), (KNOWN | {name.lower()}, fields)):
        told = with_forwarding(
            fields, **facts, port=8443, trusted=True, known=known, dropped=dropped.append
        )
        assert told == kept + OURS
    assert dropped == [name.lower()]


@pytest.mark.parametrize(
    "name",
    [b"X_Forwarded_For", b"X-Forwarded_Host", b"X_Real_IP", b"X.Forwarded.Host", b"X-Real~IP"],
)
def test_spelling_with_another_byte_is_dropped_even_behind_a_trusted_proxy(name: bytes) -> None:
    assert forwarded((KEPT[0], (name, b"evil"), *KEPT[1:]), trusted=True) == KEPT + OURS


@pytest.mark.parametrize("trusted", [False, True])
def test_each_server_counts_one_hop_and_the_fourth_sees_a_loop(trusted: bool) -> None:
    before: Fields = ()
    for hops in (1, 2, 3):
        fields = forwarded((*KEPT, *before), trusted=trusted)
        before = fields[-1:]
        assert before == ((b"Tunnel-Hops", b"%d" % hops),)
        assert fields[:-1] == (*KEPT, *OURS[:4])
    with pytest.raises(HttpError, match="The request has been through 3 tunnel-servers") as loop:
        forwarded((*KEPT, *before), trusted=trusted)
    assert loop.value.code == "loop-detected"


@pytest.mark.parametrize("value", [b"", b"-1", b"x", b"1000", b"1 ", b"\xb9", b"0"])
def test_a_number_of_hops_that_is_none_is_none(value: bytes) -> None:
    assert forwarded((*KEPT, (b"tunnel-hops", value))) == KEPT + OURS


def test_of_several_numbers_of_hops_the_largest_counts() -> None:
    hops = ((b"Tunnel-Hops", b"1"), (b"TUNNEL-HOPS", b"2"), (b"Tunnel-Hops", b"0"))
    assert forwarded((*hops, *KEPT))[-1] == (b"Tunnel-Hops", b"3")


def test_address_that_is_not_ascii_is_refused() -> None:
    with pytest.raises(HttpError, match="ASCII"):
        forwarded((), visitor="\xe4")


def test_tunnel_error_is_removed_from_what_apps_send() -> None:
    fields = ((b"tunnel-ERROR", b"x"), (b"A", b"b"), (b"Tunnel-Error", b"y"))
    assert without_tunnel_error(fields) == ((b"A", b"b"),)


def test_other_fields_are_handed_on_without_a_copy() -> None:
    fields = ((b"Tunnel-Errors", b"x"), (b"A", b"b"), (b"tunnel_error", b"y"), (b"x" * 12, b"z"))
    assert without_tunnel_error(fields) is fields
