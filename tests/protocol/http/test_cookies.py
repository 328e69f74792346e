from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from protocol.http.cookies import without_wide_domains
from protocol.http.fields import Fields

HOST = b"App.Tunnel.Example.com:8443"


def test_a_cookie_of_tens_of_thousands_of_attributes_is_one_pass() -> None:
    """Counted, not timed: what is looked at in Python are Domains."""
    value = b"a=b" + b";" * 40_000 + b"; Domain=example.com;" + b";x" * 4_000
    ((_, narrowed),) = without_wide_domains(((b"Set-Cookie", value),), b"app.example.com")
    assert narrowed == b"a=b" + b";" * 40_000 + b";" + b";x" * 4_000


def narrowed(value: bytes, host: bytes = HOST) -> bytes:
    ((_, found),) = without_wide_domains(((b"Set-Cookie", value),), host)
    return found


@pytest.mark.parametrize(
    "attribute",
    [
        b" Domain=tunnel.example.com",
        b"domain=.tunnel.example.com",
        b" DOMAIN = Tunnel.EXAMPLE.com ",
        b"\tDomain\t=\ttunnel.example.com\t",
        b" Domain=example.com",
        b" Domain=com",
        b" Domain=..tunnel.example.com..",
        b" Domain=tunnel.example.com.",
        b' Domain="tunnel.example.com"',  # some browsers take the quotes away
        b" Domain=%74unnel.example.com",  # and some unescape it
        b" Domain=tunnel\xef\xbc\x8eexample.com",  # or fold a full-width dot
    ],
)
def test_a_domain_above_the_host_is_taken_out(attribute: bytes) -> None:
    assert narrowed(b"a=b; Path=/;" + attribute + b"; Secure") == b"a=b; Path=/; Secure"
    assert narrowed(b"a=b;" + attribute) == b"a=b"


@pytest.mark.parametrize(
    "value",
    [
        b"a=b; Path=/; Secure",
        b"a=b; Domain=app.tunnel.example.com",
        b"a=b; Domain=.APP.tunnel.example.com",
        b"a=b; Domain=other.tunnel.example.com",  # a browser refuses it by itself
        b"a=b; Domain=x.app.tunnel.example.com",
        b"a=b; Domain=unnel.example.com",
        b"a=b; Domain=",
        b"a=b; Domain",
        b"Domain=example.com",  # a cookie of that name
        b"a=b; XDomain=example.com; Comment=domain",
    ],
)
def test_any_other_cookie_stays_as_it_came(value: bytes) -> None:
    assert narrowed(value) == value


def test_each_of_several_domains_is_looked_at() -> None:
    """Browsers take the last one, but for an empty one, which some pass over."""
    value = b"a=b; Domain=example.com; Domain=app.tunnel.example.com; domain=com; Domain="
    assert narrowed(value) == b"a=b; Domain=app.tunnel.example.com; Domain="


def test_other_fields_stay_and_each_cookie_is_looked_at() -> None:
    fields = (
        (b"Location", b"x; Domain=example.com"),
        (b"sET-cOOKIE", b"a=b;Domain=example.com"),
        (b"Set-Cookie", b"c=d"),
        (b"Set-Cookie2", b"e=f; Domain=example.com"),
        (b"Set-Cookie", b"g=h; Domain=com"),
    )
    assert without_wide_domains(fields, HOST) == (
        fields[0],
        (b"sET-cOOKIE", b"a=b"),
        *fields[2:4],
        (b"Set-Cookie", b"g=h"),
    )


@pytest.mark.parametrize(
    "fields", [(), ((b"Set-Cookie", b"a=b; Path=/"), (b"X-Domain", b"Domain=com"))]
)
def test_fields_without_such_a_cookie_are_handed_on_without_a_copy(fields: Fields) -> None:
    assert without_wide_domains(fields, HOST) is fields


def test_a_host_of_one_label_has_nothing_above_it() -> None:
    assert narrowed(b"a=b; Domain=localhost", b"localhost") == b"a=b; Domain=localhost"


@given(st.binary(max_size=60), st.sampled_from([b"example.com", b"tunnel.example.com", b"com"]))
def test_whatever_stands_before_it_no_wide_domain_is_left(value: bytes, domain: bytes) -> None:
    found = narrowed(value + b"; Domain=" + domain)
    for attribute in found.split(b";")[1:]:
        name, _, said = attribute.partition(b"=")
        assert (name.strip(b" \t").lower(), said.strip(b" \t.").lower()) != (b"domain", domain)


def test_a_domain_above_any_of_the_hosts_is_taken_out() -> None:
    """A proxy between may have put another Host where the browser asked for the second one."""
    hosts = (b"app.internal.example", b"app.tunnel.example.com")
    for domain, left in (
        (b"internal.example", b""),
        (b"tunnel.example.com", b""),
        (b"app.tunnel.example.com", b"; Domain=app.tunnel.example.com"),
        (b"other.example", b"; Domain=other.example"),
    ):
        value = b"a=b; Domain=" + domain
        ((_, found),) = without_wide_domains(((b"Set-Cookie", value),), *hosts)
        assert found == b"a=b" + left
