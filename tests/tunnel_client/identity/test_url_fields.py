"""The table of fields, and what holds for each of its grammars."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from protocol.http.fields import Fields
from protocol.http.limits import HEAD_MAX_BYTES
from tunnel_client.identity import url_fields
from tunnel_client.identity.own_urls import OwnUrls, ToOwn, ToPublic
from tunnel_client.identity.url_fields import (
    ANSWERED,
    ASKED,
    URL_FIELDS,
    VALUE_MAX_BYTES,
    HeadRoom,
)
from tunnel_client.settings.target import Target

ROOT = Path(__file__).resolve().parents[3]
PUBLIC = b"https://name.example.com:8443"
OWN = b"http://localhost:3000"
TO_PUBLIC = ToPublic(OwnUrls(Target.parse("3000")), PUBLIC)
TO_OWN = ToOwn(OwnUrls(Target.parse("3000")), PUBLIC)
# The way back of an answer: as if the public origin were an app's, and the app's the public one.
BACK = ToPublic(OwnUrls(Target.parse(PUBLIC.decode())), OWN)

# --- docs/identity.md ---


def documented() -> list[tuple[str, bool, bool, str]]:
    """The rows: the field, whether it is one of requests, of answers, and what is translated."""
    text = (ROOT / "docs" / "identity.md").read_text()
    table = text.partition("| field | requests | answers |")[2].partition("\n\n")[0]
    found = re.findall(r"^\| `([^`]+)` \| (yes|) ?\| (yes|) ?\| ([^|]+) \|$", table, re.MULTILINE)
    assert len(found) == table.count("\n") - 1
    return [(name, bool(asked), bool(answered), what) for name, asked, answered, what in found]


def test_the_documents_have_the_table() -> None:
    written = [(name, asked, answered) for name, asked, answered, _ in documented()]
    assert written == [(f.name, f.asked is not None, f.answered is not None) for f in URL_FIELDS]


def test_fields_of_one_grammar_are_said_to_have_one() -> None:
    said: dict[object, set[str]] = {}
    for field, (_, _, _, what) in zip(URL_FIELDS, documented(), strict=True):
        said.setdefault(field.asked or field.answered, set()).add(what)
    assert [words for words in said.values() if len(words) > 1] == []
    assert len(set().union(*said.values())) == len(said)


def test_a_field_stands_there_once_and_has_one_grammar() -> None:
    names = [field.name.lower() for field in URL_FIELDS]
    assert names == sorted(set(names))
    for field in URL_FIELDS:
        grammars: set[object] = {field.asked, field.answered}
        assert len(grammars - {None}) == 1, field.name


def test_an_authorization_is_nobodys_to_change() -> None:
    assert b"authorization" not in ASKED.keys() | ANSWERED.keys()


# --- there and back ---

REST = st.text("abz09/?#=&%.-~:@!$'*+_", max_size=12).map(lambda text: b"/" + text.encode())
FOREIGN = st.sampled_from(
    [b"https://other.example:8443", b"http://localhost:3001", b"//other.example", b"", b"/a"]
)
TOKENS = st.sampled_from([b"rel", b"next", b"a", b"max-age", b"x1"])
QUOTED = st.sampled_from([b'""', b'"a, b; c"', b'"<%b/a>"' % OWN, b'"<%b/a>"' % PUBLIC, b'"\\""'])


def urls(origin: bytes) -> st.SearchStrategy[bytes]:
    """URLs under this origin, under others, and relative ones."""
    return st.builds(bytes.__add__, st.one_of(st.just(origin), FOREIGN), REST)


def joined(
    separator: bytes, members: st.SearchStrategy[bytes], first: bytes = b""
) -> st.SearchStrategy[bytes]:
    return st.lists(members, min_size=1, max_size=4).map(lambda many: first + separator.join(many))


def filled(template: bytes, *parts: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.tuples(*parts).map(lambda values: template % values)


def links(origin: bytes) -> st.SearchStrategy[bytes]:
    parameter = st.one_of(
        filled(b"; %b=%b", TOKENS, TOKENS),
        filled(b";%b=%b", TOKENS, QUOTED),
        filled(b'; anchor="%b"', urls(origin)),
    )
    return joined(b", ", filled(b"<%b>%b", urls(origin), joined(b"", parameter)))


def ifs(origin: bytes) -> st.SearchStrategy[bytes]:
    state = st.sampled_from([b"<urn:uuid:1>", b"Not <DAV:no-lock>", b'["a)"]', b"<%b/t>" % origin])
    lists = filled(b"(%b)", joined(b" ", state))
    return joined(b" ", filled(b"<%b> %b", urls(origin), joined(b" ", lists)))


def challenges(origin: bytes) -> st.SearchStrategy[bytes]:
    one = st.one_of(
        filled(b'Bearer realm="%b"', urls(origin)),
        filled(b'Bearer error=%b, resource_metadata="%b"', TOKENS, urls(origin)),
        filled(b'DPoP realm="%b", resource_metadata="%b"', FOREIGN, urls(origin)),
        filled(b'Digest realm="%b", nonce=%b', urls(origin), QUOTED),
        st.sampled_from([b"Negotiate", b"Basic", b"NTLM abc=="]),
    )
    return joined(b", ", one)


def permissions(origin: bytes) -> st.SearchStrategy[bytes]:
    allowed = st.one_of(st.sampled_from([b"self", b"*"]), filled(b'"%b"', urls(origin)))
    lists = filled(b"(%b)", joined(b" ", allowed))
    endpoint = st.sampled_from([b"", b";report-to=a", b';report-to="%b"' % OWN])
    return joined(b", ", filled(b"%b=%b%b", TOKENS, st.one_of(allowed, lists), endpoint))


def features(origin: bytes) -> st.SearchStrategy[bytes]:
    source = st.sampled_from([origin, origin.partition(b"//")[2], b"'self'", b"https://a.example"])
    return joined(b"; ", filled(b"%b %b", TOKENS, joined(b" ", source)))


def policies(origin: bytes) -> st.SearchStrategy[bytes]:
    scheme, _, host = origin.partition(b"://")
    sockets = scheme.replace(b"http", b"ws") + b"://" + host
    any_port = host.partition(b":")[0] + b":*"
    source = st.sampled_from(
        [origin, sockets, host, any_port, scheme + b"://" + any_port, b"'self'"]
    )
    path = st.text("ab/-.", max_size=5).map(lambda text: b"/" + text.encode())
    one = st.one_of(source, filled(b"%b%b", st.sampled_from([origin, host, sockets]), path))
    name = st.sampled_from([b"script-src ", b"connect-src ", b"frame-ancestors ", b"sandbox "])
    sources = filled(b"%b%b", name, joined(b" ", one))
    reports = filled(b"report-uri %b", urls(origin))
    return joined(b"; ", st.one_of(sources, reports))


def locations(origin: bytes) -> st.SearchStrategy[bytes]:
    escaped = urls(origin).map(lambda url: url.replace(b"/", b"\\/"))
    url = st.one_of(urls(origin), escaped)
    return st.one_of(urls(origin), filled(b'{"path": "%b","values":{"path":"%b"}}', url, url))


VALUES: dict[str, Callable[[bytes], st.SearchStrategy[bytes]]] = {
    "whole_url": urls,
    "refresh": lambda origin: filled(b"5; url=%b", urls(origin).filter(lambda u: b"'" not in u)),
    "link": links,
    "if_tagged": ifs,
    "upload_concat": lambda origin: joined(b" ", urls(origin), b"final;"),
    "endpoints": lambda origin: joined(b", ", filled(b'%b="%b"', TOKENS, urls(origin))),
    "challenges": challenges,
    "policy": policies,
    "features": features,
    "permissions": permissions,
    "rule_sets": lambda origin: joined(b", ", filled(b'"%b"', urls(origin))),
    "hx_location": locations,
    "report_to": lambda origin: joined(
        b", ", filled(b'{"endpoints":[{"url":"%b"}],"max_age":1}', urls(origin))
    ),
    "cookie": lambda origin: filled(
        b"a=%b; Domain=%b; Path=/",
        TOKENS,
        st.sampled_from([b"other.example", origin.partition(b"://")[2].partition(b":")[0]]),
    ),
}


def test_each_grammar_has_values_here() -> None:
    used = {field.asked or field.answered for field in URL_FIELDS}
    assert {getattr(url_fields, name) for name in VALUES} == used


@pytest.mark.parametrize("name", VALUES)
@given(data=st.data())
def test_there_and_back_an_answer_is_the_first(name: str, data: st.DataObject) -> None:
    grammar = getattr(url_fields, name)
    value = data.draw(VALUES[name](OWN))
    public = grammar(value, TO_PUBLIC)
    assert grammar(public, BACK) == value


ASKED_BY = [name for name in VALUES if getattr(url_fields, name) in ASKED.values()]


@pytest.mark.parametrize("name", ASKED_BY)
@given(data=st.data())
def test_there_and_back_a_request_is_the_first(name: str, data: st.DataObject) -> None:
    grammar = getattr(url_fields, name)
    value = data.draw(VALUES[name](PUBLIC))
    own = grammar(value, TO_OWN)
    assert grammar(own, TO_PUBLIC) == value


# Their values above hold nothing that only looks like an URL.
URLS_ALONE = ("whole_url", "refresh", "upload_concat", "endpoints", "report_to", "rule_sets")


@pytest.mark.parametrize("name", URLS_ALONE)
@given(data=st.data())
def test_each_url_is_translated(name: str, data: st.DataObject) -> None:
    value = data.draw(VALUES[name](OWN))
    assert getattr(url_fields, name)(value, TO_PUBLIC) == value.replace(OWN, PUBLIC)


# --- anything else ---

PIECES = st.sampled_from(
    [
        *(
            OWN,
            PUBLIC,
            b"//localhost:3000/",
            b"localhost:*",
            b"Bearer ",
            b"DPoP ",
            b"realm=",
            b'anchor="',
        ),
        *(b'"', b"<", b">", b"(", b")", b"[", b"]", b"{", b"}", b",", b";", b" ", b"=", b":"),
        *(b"\\", b"a", b'"path":', b'"url":', b"script-src ", b"report-uri ", b"\t", b"\xff"),
        *(b"5; url=", b"final;", b"self", b"resource_metadata="),
    ]
)


@pytest.mark.parametrize("name", VALUES)
@given(many=st.lists(PIECES, max_size=30))
def test_any_value_crosses_with_all_but_its_origins(name: str, many: list[bytes]) -> None:
    value = b"".join(many)
    grammar = getattr(url_fields, name)
    changed = grammar(value, TO_PUBLIC)
    if b"localhost" not in value:
        assert changed == value
    for names in (b"https://", b"http://", b"wss://", b"ws://", b"//"):
        changed, value = changed.replace(names, b""), value.replace(names, b"")
    for host in (
        b"localhost:3000",
        b"localhost:*",
        b"name.example.com:8443",
        b"name.example.com:*",
    ):
        changed, value = changed.replace(host, b""), value.replace(host, b"")
    assert changed == value


def translated(fields: Fields) -> Fields:
    """The Links of an answer's head."""
    room = HeadRoom(fields)
    return tuple([(n, room.translated(ANSWERED[b"link"], v, TO_PUBLIC)) for n, v in fields])


def test_a_value_grows_to_the_limit_and_not_past_it() -> None:
    grown = len(PUBLIC) - len(OWN)
    for size, expected in ((VALUE_MAX_BYTES, PUBLIC), (VALUE_MAX_BYTES + 1, OWN)):
        rest = b"/" * (size - grown - len(OWN) - 2)
        [(_, value)] = translated(((b"Link", b"<%b%b>" % (OWN, rest)),))
        assert value == b"<%b%b>" % (expected, rest)


def test_a_value_past_the_limit_may_shrink() -> None:
    rest, room = b"/" * VALUE_MAX_BYTES, HeadRoom(())
    assert room.translated(ASKED[b"referer"], PUBLIC + rest, TO_OWN) == OWN + rest
    own = OWN + rest
    assert room.translated(ANSWERED[b"location"], own, TO_PUBLIC) is own


@pytest.mark.parametrize("past", [0, 1])
def test_a_head_grows_to_its_limit_and_what_would_grow_it_past_that_crosses_as_it_came(
    past: int,
) -> None:
    link, grown = b"<%b/>" % OWN, len(PUBLIC) - len(OWN)
    links = ((b"Link", link),) * 2
    rest = HEAD_MAX_BYTES - 2 * (len(b"Link: \r\n") + len(link) + grown) - len(b"Link: \r\n")
    fields = (*links, (b"Link", b"x" * (rest + past)))
    sizes = [
        len(value) - len(came)
        for (_, value), (_, came) in zip(translated(fields), fields, strict=True)
    ]
    assert sizes == [grown, 0 if past else grown, 0]
    assert f"left={grown - past if past else 0}" in repr(used(fields))


def used(fields: Fields) -> HeadRoom:
    room = HeadRoom(fields)
    for _, value in fields:
        room.translated(ANSWERED[b"link"], value, TO_PUBLIC)
    return room
