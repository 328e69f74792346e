from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given, strategies as st

from tunnel_client.inspector.shown.bodies import ShownBody, shown, shown_text
from tunnel_client.inspector.shown.event_stream import EVENTS_MAX, SentEvent, sent_events
from tunnel_client.inspector.shown.forms import PAIRS_MAX, form, multipart
from tunnel_client.inspector.shown.json_tree import NESTED_MAX, NODES_MAX, json_tree
from tunnel_client.inspector.shown.masking import MASK, Masks
from tunnel_client.inspector.shown.media_types import media_type
from tunnel_client.inspector.shown.texts import decoded_text, hex_rows, image_type

KEY = bytes(range(16))
SECRET = "correct-horse-battery"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def masks() -> Masks:
    return Masks(KEY)


def show(data: bytes, content_type: str = "", codings: str = "") -> ShownBody:
    return shown(data, content_type, codings, masks())


@pytest.mark.parametrize(
    ("data", "content_type", "way"),
    [
        (b"", "text/html", "none"),
        (b'{"a": 1}', "application/json", "json"),
        (b'{"a": 1}', "application/problem+json; charset=utf-8", "json"),
        (b'{"a": 1}', "", "json"),
        (b"[1]", "text/plain", "json"),
        (b"{a", "text/plain", "text"),
        (b"a=1&b=2", "application/x-www-form-urlencoded", "form"),
        (b"--x\r\n\r\na\r\n--x--", "multipart/form-data; boundary=x", "multipart"),
        (b"data: a\n\n", "text/event-stream", "sse"),
        (PNG, "image/png", "image"),
        (PNG, "", "image"),
        (b"<svg/>", "image/svg+xml", "text"),
        (b"<p>", "text/html", "text"),
        (b"hello", "application/octet-stream", "text"),
        (b"\x00\x01", "application/octet-stream", "hex"),
        (b"\x00\x01", "image/png", "hex"),
        (b"\xff\xfe\xfd", "", "hex"),
        (b"\xe4", "text/plain; charset=iso-8859-1", "text"),
    ],
)
def test_the_way_follows_from_type_and_bytes(data: bytes, content_type: str, way: str) -> None:
    found = show(data, content_type)
    assert found.form == way
    json.dumps(found)


def test_a_body_is_shown_decoded_and_masked() -> None:
    data = gzip.compress(json.dumps({"token": SECRET, "n": 1}).encode())
    found = show(data, "application/json", "gzip")
    assert found.value[1][0] == ["token", ["masked", masks().mask(SECRET)]]
    assert found.value[1][1] == ["n", ["number", "1"]]
    assert (found.masked, found.is_cut, found.problem) == (1, False, None)


def test_json_that_is_cut_off_is_text_without_its_secrets() -> None:
    found = show(b'{"token": "%s", "more": [1, ' % SECRET.encode(), "application/json")
    assert found.form == "text"
    assert SECRET not in found.value
    assert found.masked == 1
    assert found.problem is not None
    assert found.problem.startswith("line 1, column ")


def test_the_position_of_an_error_in_json() -> None:
    assert json_tree('{\n "a": 1,\n "b" 2}', masks()).problem == (
        "line 3, column 6: Expecting ':' delimiter"
    )


def test_json_keeps_what_readers_lose() -> None:
    tree = json_tree(
        '{"a": 1.10, "a": 12345678901234567890, "b": [true, false, null, NaN]}', masks()
    )
    assert tree.root == [
        "object",
        [
            *[["a", ["number", "1.10"]], ["a", ["number", "12345678901234567890"]]],
            ["b", ["array", [["true"], ["false"], ["null"], ["number", "NaN"]]]],
        ],
    ]


@pytest.mark.parametrize("more", [0, 1])
def test_json_is_shown_so_deep(more: int) -> None:
    depth = NESTED_MAX + more
    tree = json_tree("[" * depth + "1" + "]" * depth, masks())
    assert tree.is_cut == bool(more)


def test_json_is_nested_too_deep_for_a_reader() -> None:
    assert "too deep" in (json_tree("[" * 100_000, masks()).problem or "")


@pytest.mark.slow
@pytest.mark.parametrize("more", [0, 1])
def test_json_is_shown_with_so_many_nodes(more: int) -> None:
    tree = json_tree(json.dumps([1] * (NODES_MAX - 1 + more)), masks())
    assert tree.is_cut == bool(more)
    assert tree.root is not None
    assert len(tree.root[1]) == NODES_MAX - 1 + more


@pytest.mark.parametrize("more", [0, 1])
def test_a_form_is_shown_with_so_many_fields(more: int) -> None:
    found = form("&".join(["a=b"] * (PAIRS_MAX + more)), masks())
    assert (len(found.pairs), found.is_cut) == (PAIRS_MAX, bool(more))


def test_a_form_is_decoded_and_masked() -> None:
    found = form(f"na%20me=a+b&pass_word=1&password={SECRET}&&x", masks())
    assert [(pair.name, pair.value, pair.is_masked) for pair in found.pairs] == [
        *[("na me", "a b", False), ("pass_word", "1", False)],
        *[("password", masks().mask(SECRET), True), ("x", "", False)],
    ]


def test_json_in_a_field_is_masked() -> None:
    found = form(f'payload=%7B"token":"{SECRET}","n":1}}', masks())
    [pair] = found.pairs
    assert pair.is_masked
    assert pair.value == f'{{"token":"{masks().mask(SECRET)}","n":1}}'
    part = (
        b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n"
        + b'{"token":"%s"}' % SECRET.encode()
    )
    assert multipart(part, "multipart/form-data; boundary=b", masks()).parts[0].is_masked


def test_an_event_that_is_cut_off_shows_no_code() -> None:
    whole = f'data: {{"code": "{SECRET}"}}'
    assert SECRET in (sent_events(whole + "\n\n", masks()).events[0].data or "")
    assert SECRET not in (sent_events(whole, masks()).events[0].data or "")


MULTIPART = (
    b'preamble\r\n--b d\r\nContent-Disposition: form-data; name="token"\r\n\r\n%s\r\n'
    b'--b d\r\nContent-Disposition: form-data; name="f"; filename="a;b.png"\r\n'
    b"Content-Type: image/png\r\n\r\n%s\r\n--b d\r\n\r\nplain\r\n--b d--\r\n"
) % (SECRET.encode(), PNG)


def test_multipart_is_shown_by_its_parts() -> None:
    found = multipart(MULTIPART, 'multipart/form-data; boundary="b d"', masks())
    assert [tuple(part) for part in found.parts] == [
        ("token", None, "", len(SECRET), masks().mask(SECRET), True),
        ("f", "a;b.png", "image/png", len(PNG), None, False),
        ("", None, "", 5, "plain", False),
    ]
    assert (found.is_cut, found.problem) == (False, None)


def test_multipart_without_its_end_or_its_boundary() -> None:
    said = 'multipart/form-data; boundary="b d"'
    assert multipart(MULTIPART[:-20], said, masks()).problem == "its end is missing"
    assert multipart(b"abc", said, masks()).problem == "the boundary is not in it"
    assert multipart(b"abc", "multipart/mixed", masks()).problem is not None


@pytest.mark.parametrize("more", [0, 1])
def test_multipart_is_shown_with_so_many_parts(more: int) -> None:
    data = b"\r\n".join([b"--b\r\n\r\nx"] * (PAIRS_MAX + more)) + b"\r\n--b--"
    found = multipart(data, "multipart/form-data; boundary=b", masks())
    assert (len(found.parts), found.is_cut) == (PAIRS_MAX, bool(more))


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_an_event_stream_is_split_at_blank_lines(end: str) -> None:
    lines = [
        "\ufeff: hello",
        "",
        "event: a",
        "id: 7",
        "data: one",
        "data:two",
        "retry: 5",
        "",
        "",
        "data: x",
    ]
    found = sent_events(end.join(lines), masks())
    assert found.events == [
        SentEvent("", None, None, None, "hello", True),
        SentEvent("a", "7", "5", "one\ntwo", None, True),
        SentEvent("", None, None, "x", None, False),
    ]


def test_event_data_is_masked() -> None:
    found = sent_events(f'data: {{"token": "{SECRET}"}}\n\n', masks())
    assert found.events[0].data == f'{{"token": "{masks().mask(SECRET)}"}}'


@pytest.mark.parametrize("more", [0, 1])
def test_an_event_stream_is_shown_with_so_many_events(more: int) -> None:
    found = sent_events("data: x\n\n" * (EVENTS_MAX + more), masks())
    assert (len(found.events), found.is_cut) == (EVENTS_MAX, bool(more))


@pytest.mark.parametrize(
    ("data", "charset", "text", "used"),
    [
        (b"\xc3\xa4", "", "ä", "utf-8"),
        (b"\xe4", "", "\ufffd", "utf-8"),
        (b"\xe4", "latin1", "ä", "iso8859-1"),
        (b"\xff\xfea\0", "iso-8859-1", "a", "utf-16"),
        (b"\xef\xbb\xbfa", "", "a", "utf-8"),
        (b"\x82\xa0", "Shift_JIS", "あ", "shift_jis"),
        (b"ab", "rot13", "ab", "utf-8"),
        (b"ab", "idna", "ab", "utf-8"),
        (b"ab", "no\0thing", "ab", "utf-8"),
    ],
)
def test_text_by_its_charset(data: bytes, charset: str, text: str, used: str) -> None:
    found = decoded_text(data, charset)
    assert (found.text, found.charset) == (text, used)


def test_hex_by_rows() -> None:
    data = bytes(range(40))
    assert hex_rows(data, 1, 5) == [
        (16, "10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f", "." * 16),
        (32, "20 21 22 23 24 25 26 27", " !\"#$%&'"),
    ]
    assert hex_rows(data, 3, 5) == []


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\1\2\3\nWEBPVP8 ", "image/webp"),
        (b"\0\0\0\x1cftypavif", "image/avif"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", None),
        (b"%PDF-1.7", None),
        (b"BM is how a sentence may begin", None),
    ],
)
def test_an_image_is_known_by_its_first_bytes(data: bytes, name: str | None) -> None:
    assert image_type(data) == name


@pytest.mark.parametrize(
    ("value", "name", "parameters"),
    [
        ('Text/HTML; Charset="utf-8"; a=b ;c', "text/html", {"charset": "utf-8", "a": "b"}),
        ('form-data; name="a\\"b; c"; name=d', "form-data", {"name": 'a"b; c'}),
        ('a/b; x="open', "a/b", {"x": "open"}),
        ("", "", {}),
    ],
)
def test_media_types(value: str, name: str, parameters: dict[str, str]) -> None:
    assert media_type(value) == (name, parameters)


def test_the_text_of_a_frame_is_masked_if_it_is_json() -> None:
    assert SECRET not in shown_text(f'{{"token":"{SECRET}"}}', masks())
    assert shown_text(f'"token": "{SECRET}"', masks()) == f'"token": "{SECRET}"'
    assert MASK in shown_text(f' [{{"jwt":"{SECRET}', masks())


TYPES = st.sampled_from(
    [
        *("application/json", "application/x-www-form-urlencoded", "text/event-stream", ""),
        *("multipart/form-data; boundary=a", "image/png", "text/html"),
        *("text/plain; charset=utf-16", "text/plain; charset=iso-2022-jp"),
    ]
)


@given(
    st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)),
    st.one_of(TYPES, st.text(max_size=40)),
    st.sampled_from(["", "gzip", "br", "zstd"]),
)
def test_garbage_is_shown_in_some_way(data: bytes, content_type: str, codings: str) -> None:
    json.dumps(show(data, content_type, codings))


def test_what_is_not_decoded_to_its_end_keeps_its_bytes_to_itself() -> None:
    said = json.dumps({"a": "x" * 1_200_000, "token": SECRET}).encode()
    packed = gzip.compress(said)
    found = show(packed, "application/json", "gzip")
    assert (found.is_cut, found.masked) == (True, 1)
    assert shown(packed, "application/json", "gzip", Masks(KEY, is_on=False)).masked == 0
    assert show(gzip.compress(b'{"a": 1}'), "application/json", "gzip").masked == 0
