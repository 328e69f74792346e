from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies as st

from protocol.names import (
    APEX,
    MAX_DOMAIN_LENGTH,
    MAX_HOST_LENGTH,
    NAME_RANDOM_BYTES,
    generate_name,
    is_legal_domain,
    is_legal_name,
    tunnel_key,
)

LOCAL = frozenset({"localhost"})
PUBLIC = frozenset({"example.com", "tunnels.example.org"})


@pytest.mark.parametrize(
    "name", ["a", "7", "my-app", "a--b", "xn--bcher-kva", "localhost", "a" * 63]
)
def test_dns_label_is_legal(name: str) -> None:
    assert is_legal_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "a" * 64, "-a", "a-", "-", "A", "a.b", "a_b", "a b", "a\n", "bücher", "\u212a", "*", "٣"],
)
def test_anything_else_is_not_legal(name: str) -> None:
    assert not is_legal_name(name)


@pytest.mark.parametrize("domain", ["localhost", "example.com", "a.b.c", "3com.net", "1.2.x"])
def test_domain_of_labels_is_legal(domain: str) -> None:
    assert is_legal_domain(domain)


@pytest.mark.parametrize(
    "domain",
    [
        "",
        ".",
        "a..b",
        ".a",
        "a.",
        "Example.com",
        "a_b.c",
        "127.0.0.1",
        "[::1]",
        "a.7",
        "a:80",
        "a/b",
    ],
)
def test_domain_that_makes_no_hosts_is_not_legal(domain: str) -> None:
    assert not is_legal_domain(domain)


def test_longest_domain_leaves_room_for_the_longest_name() -> None:
    longest = ".".join(["a" * 62] * 3)
    assert len(longest) == MAX_DOMAIN_LENGTH - 1
    longest += "a"
    assert is_legal_domain(longest)
    assert not is_legal_domain(longest + "b")
    host = "n" * 63 + "." + longest
    assert len(host) == 253
    assert tunnel_key(host, {longest}) == "n" * 63


def test_generated_name_is_made_of_the_given_bytes() -> None:
    assert generate_name(bytes(7)) == "agile-acorn-aaaaaaaa"
    assert generate_name(b"\x7f\x7f" + b"\xff" * 5) == "zesty-zebra-77777777"
    assert generate_name(b"\x80\x81" + bytes(4) + b"\x01") == "agile-alpaca-aaaaaaab"


@given(st.binary(min_size=NAME_RANDOM_BYTES, max_size=NAME_RANDOM_BYTES))
def test_generated_name_is_two_words_and_eight_base32_characters(random_bytes: bytes) -> None:
    name = generate_name(random_bytes)
    assert re.fullmatch("[a-z]{4,7}-[a-z]{4,7}-[a-z2-7]{8}", name)
    assert tunnel_key(name + ".localhost", LOCAL) == name


@given(st.sets(st.binary(min_size=5, max_size=5), min_size=2, max_size=2))
def test_names_of_different_40_bits_differ(tails: set[bytes]) -> None:
    assert len({generate_name(b"\x00\x00" + tail)[-8:] for tail in tails}) == 2


@pytest.mark.parametrize("size", [0, NAME_RANDOM_BYTES - 1, NAME_RANDOM_BYTES + 1])
def test_name_of_too_few_or_too_many_bytes_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="7 random bytes"):
        generate_name(bytes(size))


@pytest.mark.parametrize(
    "host",
    [
        b"example.com",
        b"example.com:8443",
        b"example.com.",
        b"example.com.:80",
        b"EXAMPLE.Com:",
        b"tunnels.example.org",
        b"localhost",
        b"LocalHost:1",
        b"127.0.0.1",
        b"203.0.113.9:8080",
        b"[::1]",
        b"[2001:DB8::1]:8080",
        b"[::ffff:127.0.0.1]",
    ],
)
def test_service_is_at_its_domains_at_localhost_and_at_every_address(host: bytes) -> None:
    assert tunnel_key(host, PUBLIC) == APEX
    assert tunnel_key(host.decode(), PUBLIC) == APEX


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (b"app.example.com", "app"),
        (b"app.example.com:443", "app"),
        (b"App.Example.COM.:443", "app"),
        (b"7.example.com", "7"),
        (b"_tunnel-control.example.com", None),
        (b"app.tunnels.example.org", "app"),
        (b"localhost.example.com", "localhost"),
    ],
)
def test_tunnel_is_one_label_in_front_of_a_domain(host: bytes, name: str | None) -> None:
    assert tunnel_key(host, PUBLIC) == name
    assert tunnel_key(host.decode(), PUBLIC) == name


def test_tunnel_of_a_local_server_is_in_front_of_localhost() -> None:
    assert tunnel_key(b"brave-otter-k3j2m5xq.localhost:8080", LOCAL) == "brave-otter-k3j2m5xq"
    assert tunnel_key(b"x.app.localhost", LOCAL) is None


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b".",
        b":",
        b":80",
        b"x.app.example.com",
        b".example.com",
        b"-app.example.com",
        b"a" * 64 + b".example.com",
        b"app.localhost",
        b"example.org",
        b"notexample.com",
        b"com",
        b"example.com..",
        b"example.com:http",
        b"example.com:80:80",
        b"example.com:+80",
        b" example.com",
        b"example.com ",
        b"app\x00.example.com",
        b"127.0.0.1.example",
        b"127.0.0",
        b"127.0.0.1/8",
        b"::1",
        b"[::1",
        b"[]",
        b"[127.0.0.1]",
        b"[::1]x",
        b"app.127.0.0.1",
        b"caf\xc3\xa9.example.com",
        b"\xff",
    ],
)
def test_every_other_host_is_unknown(host: bytes) -> None:
    assert tunnel_key(host, PUBLIC) is None
    assert tunnel_key(host.decode("latin-1"), PUBLIC) is None


def test_character_whose_lower_case_is_ascii_is_not_taken_for_it() -> None:
    assert "\u212a".lower() == "k"  # the Kelvin sign
    assert tunnel_key("\u212a.example.com", PUBLIC) is None


def test_host_longer_than_any_that_has_a_meaning_is_unknown() -> None:
    padded = b"example.com:" + b"0" * (MAX_HOST_LENGTH - len(b"example.com:"))
    assert tunnel_key(padded, PUBLIC) == APEX
    assert tunnel_key(padded + b"0", PUBLIC) is None


@given(st.binary(max_size=300) | st.text(max_size=300) | st.from_regex(r"[\[\].:a0 ]{0,20}"))
def test_no_host_makes_it_raise(host: bytes | str) -> None:
    key = tunnel_key(host, PUBLIC)
    assert key is None or key == APEX or is_legal_name(key)
