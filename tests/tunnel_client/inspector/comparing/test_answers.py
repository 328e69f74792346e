from __future__ import annotations

import gzip
import json
from typing import Any

from tests.exchange_fakes import KEY, a_head, kept_exchange
from tunnel_client.inspector.capture.snapshot import snapshot_of
from tunnel_client.inspector.comparing.answers import CHANGES_MAX, compared
from tunnel_client.inspector.comparing.line_changes import LINES_MAX
from tunnel_client.inspector.shown.masking import Masks

GET = a_head(b"GET / HTTP/1.1", b"Host: app")
SECRET = b"sk-abcdefgh12345678"


async def difference(
    before: bytes, after: bytes, *fields: bytes, media_type: bytes = b"text/plain"
) -> Any:
    head = a_head(b"HTTP/1.1 200 OK", b"Content-Type: " + media_type, *fields)
    pair = [snapshot_of(await kept_exchange(GET, b"", head, body)) for body in (before, after)]
    return json.loads(json.dumps(compared(pair[0], pair[1], Masks(KEY))))


async def test_an_answer_and_itself() -> None:
    for body in (b"", b"text", b"\0\xff", b'{"a": [1]}'):
        found = await difference(body, body)
        assert found == {
            "same": True,
            "status": None,
            "fields": [],
            "folded": [],
            "body": {
                "way": "same",
                "before_bytes": len(body),
                "after_bytes": len(body),
                "cut": False,
                "problem": None,
            },
        }


async def test_status_and_fields() -> None:
    before = await kept_exchange(GET, b"", a_head(b"HTTP/1.1 200 OK", b"X-Token: " + SECRET))
    after = await kept_exchange(GET, b"", a_head(b"HTTP/1.1 500 No", b"X-Token: x" + SECRET))
    found = compared(snapshot_of(before), snapshot_of(after), Masks(KEY))
    assert found["status"] == {"before": 200, "after": 500}
    [field] = found["fields"]
    assert field["before"] != field["after"]
    assert SECRET.decode() not in json.dumps(found)
    none = await kept_exchange(None, head=None, error="nothing listens there")
    found = compared(snapshot_of(none), snapshot_of(after), Masks(KEY))
    assert found["status"] == {"before": None, "after": 500}
    assert found["body"]["way"] == "lines"


async def test_json_in_any_coding_by_path() -> None:
    before, after = b'{"a": 1, "b": [1]}', b'{"b": [1, 2], "a": 1}'
    found = (await difference(before, after, media_type=b"application/json"))["body"]
    assert (found["way"], found["more"]) == ("json", False)
    [change] = found["changes"]
    assert change == {
        "path": ["b", 1],
        "kind": "added",
        "before": None,
        "after": "2",
        "masked": False,
    }
    packed = gzip.compress(before), gzip.compress(after)
    found = await difference(*packed, b"Content-Encoding: gzip")
    assert found["body"]["changes"] == [change]


async def test_json_that_is_written_otherwise_has_no_change() -> None:
    found = await difference(b'{"a":1}', b'{ "a": 1 }', media_type=b"application/json")
    assert found["body"]["way"] == "json"
    assert found["body"]["changes"] == []
    assert found["same"] is False


async def test_secrets_in_texts_are_told_apart_and_not_shown() -> None:
    form = b"application/x-www-form-urlencoded"
    found = await difference(b"a=1&password=" + SECRET, b"a=1&password=1" + SECRET, media_type=form)
    assert found["body"]["way"] == "lines"
    assert [row[0] for row in found["body"]["rows"]] == ["-", "+"]
    assert SECRET.decode() not in json.dumps(found)


async def test_values_whose_masks_are_alike_are_told_to_differ() -> None:
    form = b"application/x-www-form-urlencoded"
    masks = Masks(KEY)
    tags: dict[str, str] = {}
    for at in range(100_000):
        value = f"value-{at}"
        if (same := tags.setdefault(masks.mask(value), value)) != value:
            break
    else:
        raise AssertionError("no two of 100,000 have the same four digits")
    pair = f"password={same}".encode(), f"password={value}".encode()
    found = await difference(*pair, media_type=form)
    assert found["body"]["hidden"] is True
    assert found["same"] is False


async def test_bytes_by_their_first_difference() -> None:
    for before, after, first in (
        (b"\0ab", b"\0ac", 2),
        (b"\0", b"\0\1", 1),
        (b"\0" * 5000 + b"a", b"\0" * 5000 + b"b" * 9, 5000),
        (b"\1", b"\2", 0),
    ):
        found = (await difference(before, after, media_type=b""))["body"]
        assert (found["way"], found["first"]) == ("bytes", first)
        assert (found["before_bytes"], found["after_bytes"]) == (len(before), len(after))


async def test_texts_of_too_many_lines_are_bytes() -> None:
    for lines, way in ((LINES_MAX, "lines"), (LINES_MAX + 1, "bytes")):
        text = b"\n".join(b"%d" % at for at in range(lines))
        found = await difference(text, text + b"!")
        assert found["body"]["way"] == way


async def test_of_many_changes_the_first_thousand_are_told() -> None:
    for count, is_more in ((CHANGES_MAX, False), (CHANGES_MAX + 1, True)):
        found = await difference(json.dumps([1] * count).encode(), json.dumps([2] * count).encode())
        assert len(found["body"]["changes"]) == CHANGES_MAX
        assert found["body"]["more"] is is_more


async def test_what_is_not_whole_is_said() -> None:
    found = await difference(b"x" * 1_100_000, b"y")
    assert found["body"]["problem"] == "not all of it is kept: over 1 MiB"
    assert found["body"]["cut"] is True
