from __future__ import annotations

import gzip
import json
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, strategies as st

from tunnel_client.inspector.shown.bodies import shown
from tunnel_client.inspector.shown.masked_bodies import MaskedBody, masked_body
from tunnel_client.inspector.shown.masking import Masks

KEY = b"k" * 16
SECRET = "sk-abcdefgh12345678"
MULTIPART = "multipart/form-data; boundary=B"


def masked(data: bytes, media_type: str, coding: str = "") -> MaskedBody:
    return masked_body(data, media_type, coding, Masks(KEY))


@pytest.mark.parametrize(
    ("data", "media_type", "count"),
    [
        (f'{{"a": [{{"token": "{SECRET}"}}], "b": 1}}', "application/json", 1),
        (f'{{"a": 1, "token": "{SECRET}"', "application/json", 1),
        (f'{{"token": "{SECRET}"}}', "", 1),
        (f')]}}\',\n{{"token": "{SECRET}"}}', "application/json", 1),
        (f"a=1&password={SECRET}&b=%20", "application/x-www-form-urlencoded", 1),
        (
            f"payload=%7B%22token%22%3A%22{SECRET}%22%7D&code={SECRET}&state=1",
            "application/x-www-form-urlencoded",
            2,
        ),
        (f'data: {{"token":\ndata: "{SECRET}"}}\n\n: it"s\n\n', "text/event-stream", 1),
        (f'data: it"s\r\n\r\ndata: {{"token": "{SECRET}"}}\r\n', "text/event-stream", 1),
        (
            "--B\r\nContent-Disposition: form-data; name=password\r\n\r\n"
            f'{SECRET}\r\n--B\r\nContent-Disposition: form-data; name="f"; filename="a.json"'
            f'\r\n\r\n{{"token": "{SECRET}"}}\r\n--B--\r\n',
            MULTIPART,
            2,
        ),
    ],
)
def test_secrets_leave_in_no_form(data: str, media_type: str, count: int) -> None:
    for sent, coding in ((data.encode(), ""), (gzip.compress(data.encode()), "gzip")):
        found = masked(sent, media_type, coding)
        assert SECRET.encode() not in found.data
        assert found.text is not None
        assert SECRET not in found.text
        assert found.masked == count
        open_ = masked_body(sent, media_type, coding, Masks(KEY, is_on=False))
        assert open_.data == data.encode()
        assert open_.text == data


def test_a_form_stays_a_form() -> None:
    found = masked(f"a=%2B&pwd={SECRET}&c".encode(), "application/x-www-form-urlencoded")
    assert found.text is not None
    assert found.text.startswith("a=%2B&pwd=%E2%80%A2")
    assert dict(parse_qsl(found.text))["pwd"].startswith("\u2022\u2022\u2022\u2022")


def test_bytes_are_no_text() -> None:
    for data, media_type in (
        (b"\x89PNG\r\n\x1a\n\0", "text/plain"),
        (b"\0\1\2", "application/octet-stream"),
        (b"a\xff", "text/plain; charset=utf-8"),
    ):
        assert masked(data, media_type)[:2] == (data, None)
    latin = masked(b"caf\xe9", "text/plain; charset=iso-8859-1")
    assert (latin.text, latin.data) == ("caf\u00e9", b"caf\xe9")


_TYPES = st.sampled_from(
    (
        *("", "application/json", "text/event-stream", MULTIPART, "text/html; charset=utf-16"),
        *("application/x-www-form-urlencoded", "multipart/mixed", "text/plain; charset=latin-1"),
    )
)


@given(st.binary(max_size=300), _TYPES, st.booleans())
def test_garbage_is_left_alone(data: bytes, media_type: str, is_cut: bool) -> None:
    found = masked_body(data, media_type, "", Masks(KEY), is_cut=is_cut)
    if not found.masked:
        assert found.data == data
    if found.text is not None and not found.masked:
        assert found.text.encode(found.charset) == data


_NAMES = st.sampled_from(["token", "a", "state", "code", "user[pin]", "x-api-key", "\u00e9"])


@given(
    st.recursive(
        st.text(max_size=12) | st.integers() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(_NAMES, inner),
        max_leaves=12,
    ).filter(lambda value: isinstance(value, (dict, list)))
)
def test_as_many_values_are_masked_as_are_shown_masked(value: object) -> None:
    data = json.dumps(value).encode()
    found = masked(data, "application/json")
    json.loads(found.data)
    assert found.masked >= shown(data, "application/json", "", Masks(KEY)).masked


_PAD = ", ".join(["1"] * 50_001)
_BOUNDARY = "--B\r\nContent-Disposition: form-data; "


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (f'[{_PAD}, {{"token": "{SECRET}"}}]', "application/json"),
        ("[" * 101 + f'{{"token": "{SECRET}"}}' + "]" * 101, "application/json"),
        ("a=1&" * 1000 + f"password={SECRET}", "application/x-www-form-urlencoded"),
        ("data: 1\n\n" * 10_000 + f'data: {{"token": "{SECRET}"}}\n\n', "text/event-stream"),
        (f'{_BOUNDARY}name="f"; filename="f"\r\n\r\n{{"token": "{SECRET}"}}\r\n--B--', MULTIPART),
        (f"{_BOUNDARY}name=password\r\n\r\n{SECRET * 4000}\r\n--B--", MULTIPART),
        (
            f"{_BOUNDARY}name=a\r\n\r\n1\r\n" * 1000
            + f"{_BOUNDARY}name=pwd\r\n\r\n{SECRET}\r\n--B--",
            MULTIPART,
        ),
    ],
    ids=["nodes", "nested", "pairs", "events", "file", "long part", "parts"],
)
def test_a_secret_behind_what_is_shown_is_counted(data: str, media_type: str) -> None:
    """While the count is 0 the bytes are shown to whoever asks."""
    found = shown(data.encode(), media_type, "", Masks(KEY))
    assert SECRET not in json.dumps(found.value)
    assert found.masked == 1
