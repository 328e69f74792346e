from __future__ import annotations

import pytest

from tunnel_client.identity.json_urls import hx_location, report_to
from tunnel_client.identity.own_urls import OwnUrls, ToPublic
from tunnel_client.settings.target import Target

PUBLIC = b"https://name.example.com"
OWN = b"http://localhost:3000"
TO = ToPublic(OwnUrls(Target.parse("3000")), PUBLIC)


@pytest.mark.parametrize(
    "template",
    [
        b"%s/a",
        b'{"path":"%s/a"}',
        b'{ "target" : "#path", "path" : "%s/a\\u00e9\\"", "n": 1e400 }',
        b'{"values":{"path":"http://localhost:3000/"},"path":"%s/","list":["path","http://localhost:3000/"]}',
        b'{"headers":{"a":"}"},"path":"%s/"}',
    ],
)
def test_the_path_of_a_location_of_htmx_is_translated(template: bytes) -> None:
    assert hx_location(template % OWN, TO) == template % PUBLIC


def test_slashes_stay_escaped() -> None:
    value = rb'{"path":"http:\/\/localhost:3000\/a?b=\/"}'
    assert hx_location(value, TO) == rb'{"path":"https:\/\/name.example.com\/a?b=\/"}'


@pytest.mark.parametrize(
    "value",
    [
        b"/a",
        b"{}",
        b'{"path":"http://localhost:3000/"',
        b'{"path":"http://localhost:3000/",}',
        b'{"path":["http://localhost:3000/"]}',
        b'{"Path":"http://localhost:3000/"}',
        b'{"target":"path"}',
        rb'{"path":"http:\/\/localhost:3000/"}',
        rb'{"path":"http:\/\/localhost:3000\\\/"}',
        rb'{"path":"http:\u002f/localhost:3000/"}',
        b'{"path":"\xff"}',
        b'{"path":"http://localhost:3000/","a":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"path":"http://localhost:3000/","a":' + b"9" * 5_000 + b"}",
        b'{"path":"http://other.example/"}',
    ],
)
def test_any_other_location_of_htmx_stays(value: bytes) -> None:
    assert hx_location(value, TO) == value


def test_the_endpoints_of_report_to_are_translated() -> None:
    template = (
        b'{"group":"url","max_age":1,"endpoints":[{"url":"%s/a"},{"priority":1, "url": "%s/b"}],'
        b'"url":"http://localhost:3000/"} , {"endpoints":[{"url":"%s/c"}]}'
    )
    assert report_to(template % ((OWN,) * 3), TO) == template % ((PUBLIC,) * 3)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"http://localhost:3000/",
        b'{"endpoints":[{"url":"http://localhost:3000/"}]',
        b'{"endpoints":[{"url":"http://localhost:3000/"}]}]',
        b'{"endpoints":[{"a":{"url":"http://localhost:3000/"}}]}',
        b'"url":"http://localhost:3000/"',
    ],
)
def test_any_other_report_to_stays(value: bytes) -> None:
    assert report_to(value, TO) == value
