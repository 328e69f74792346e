"""Whose a request is: the table of docs/behind-a-proxy.md, each row by the connection's source."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from protocol.http.fields import Fields
from tunnel_server.observing.strangers import crowd_key
from tunnel_server.settings.config import ServerConfig
from tunnel_server.settings.values import parse_networks
from tunnel_server.visitors.proxy_protocol import ProxyHeader
from tunnel_server.visitors.visitor import Source, source_of, visitor_of

_DOCS = Path(__file__).resolve().parents[3] / "docs/behind-a-proxy.md"
_ROW = re.compile(r"\| (\S+) \| (?:(\S+) )?\| (?:(.*?) )?\| (.*?) \|")
_NOBODY = "nobody in particular"

PROXIES = parse_networks("10.0.0.0/8", "")
CONFIG = ServerConfig(trusted_proxies=PROXIES)


def whose(source: Source, fields: Fields) -> str | None:
    """The visitor's address; None: nobody in particular, where it is the other side's."""
    visitor = visitor_of(CONFIG, source, fields)
    if visitor.key is None:
        assert visitor.address == source.address
        return None
    assert visitor.key == crowd_key(visitor.address)
    return visitor.address


def table() -> list[str]:
    """The lines of the table, without its head."""
    section = _DOCS.read_text().partition("### Whose a request is")[2].partition("\nA request")[0]
    return [line for line in section.splitlines() if line.startswith("|")][2:]


def rows() -> list[tuple[str, str, str, str]]:
    matches = [_ROW.fullmatch(line) for line in table()]
    return [(m[1], m[2] or "", m[3] or "", m[4]) for m in matches if m]


def test_each_line_of_the_table_is_a_row() -> None:
    assert len(rows()) == len(table()) > 15


@pytest.mark.parametrize(("peer", "header", "said", "visitor"), rows())
def test_each_row_of_the_docs_holds(peer: str, header: str, said: str, visitor: str) -> None:
    address = None if header == "LOCAL" else header
    source = source_of(CONFIG, peer, ProxyHeader(address, 0) if header else None)
    fields: Fields = ((b"X-Forwarded-For", said.encode()),) if said else ()
    assert (whose(source, fields) or _NOBODY) == visitor


@pytest.mark.parametrize(
    ("peer", "header", "own"),
    [
        ("203.0.113.9", None, True),
        ("127.0.0.1", None, True),  # it is not counted, and yet its own
        ("10.0.0.1", None, False),
        ("10.0.0.1", ProxyHeader("203.0.113.9", 0), True),
        ("10.0.0.1", ProxyHeader("10.0.0.2", 0), False),
        ("10.0.0.1", ProxyHeader(None, 0), False),
    ],
)
def test_a_connection_is_the_visitors_own_where_no_proxy_speaks_http(
    peer: str, header: ProxyHeader | None, own: bool
) -> None:
    source = source_of(CONFIG, peer, header)
    fields: Fields = ((b"X-Forwarded-For", b"198.51.100.7"),)
    assert visitor_of(CONFIG, source, fields).connected is own


def test_of_a_chain_without_an_end_the_last_entries_are_looked_at() -> None:
    """Each costs time, and the visitor may have written it."""
    source = source_of(CONFIG, "10.0.0.1", None)
    near = b"203.0.113.9" + b", 10.0.0.2" * 45
    far = b"203.0.113.9" + b", 10.0.0.2" * 5_000
    assert whose(source, ((b"X-Forwarded-For", near),)) == "203.0.113.9"
    assert whose(source, ((b"X-Forwarded-For", far),)) is None
    for cut in range(12):  # nor is a part of an address one
        chain = b"203.0.113.9" + b"," * cut + b",10.0.0.2" * 56
        assert whose(source, ((b"X-Forwarded-For", chain),)) in (None, "203.0.113.9")


def test_fields_of_one_name_are_one_list() -> None:
    source = source_of(CONFIG, "10.0.0.1", None)
    fields = ((b"x-forwarded-for", b"198.51.100.7"), (b"X-FORWARDED-FOR", b"203.0.113.9"))
    assert whose(source, fields) == "203.0.113.9"
    assert whose(source, fields[::-1]) == "198.51.100.7"


@pytest.mark.parametrize(
    "said",
    [b"\xff", b"[", b"[]", b"[2001:db8::1", b"1.2.3", b"1.2.3.4:", b"1.2.3.4:x", b"1.2.3.4:123456"],
)
def test_what_is_no_address_is_nobody_in_particular(said: bytes) -> None:
    source = source_of(CONFIG, "10.0.0.1", None)
    assert whose(source, ((b"X-Forwarded-For", said),)) is None


@given(st.binary(max_size=60))
def test_whatever_a_proxy_passes_on_it_is_an_address_or_nobody(said: bytes) -> None:
    source = source_of(CONFIG, "10.0.0.1", None)
    visitor = whose(source, ((b"X-Forwarded-For", said),))
    assert visitor is None or str(ip_address(visitor)) == visitor


@given(st.binary(max_size=60))
def test_a_visitor_cannot_say_who_it_is(said: bytes) -> None:
    source = source_of(CONFIG, "203.0.113.9", None)
    assert whose(source, ((b"X-Forwarded-For", said),)) == "203.0.113.9"
