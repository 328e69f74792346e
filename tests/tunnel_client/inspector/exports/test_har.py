"""HAR out and in: what is written is read as the same, and what lies is refused by its name."""

from __future__ import annotations

import base64
import gzip
import json
from contextlib import suppress
from typing import Any

import pytest
import trio
from hypothesis import given, settings, strategies as st

from tests.exchange_fakes import KEY, a_head, a_store, kept_exchange
from tests.inspector_fakes import EPOCH, MIB
from tests.origin_fakes import SWITCHED
from tunnel_client.inspector.capture.exchange import KeptExchange
from tunnel_client.inspector.capture.importing import add_imported
from tunnel_client.inspector.capture.snapshot import snapshot_of
from tunnel_client.inspector.capture.store import CaptureStore
from tunnel_client.inspector.exports.har_entries import har_entry
from tunnel_client.inspector.exports.har_messages import har_message
from tunnel_client.inspector.exports.har_reading import imported_exchange
from tunnel_client.inspector.exports.har_values import HarError
from tunnel_client.inspector.shown.masking import Masks

SECRET = "sk-abcdefgh12345678"
JSON = b"Content-Type: application/json"


def entry_of(exchange: KeptExchange, *, secrets: bool = True) -> dict[str, Any]:
    """The entry as a reader of JSON has it."""
    masks = Masks(KEY, is_on=not secrets)
    entry = har_entry(snapshot_of(exchange), masks)
    if frames := exchange.frames:
        epoch = exchange.began - exchange.began_at
        each = (har_message(frames, number, epoch, masks) for number in range(frames.count))
        entry["_webSocketMessages"] = [message for message in each if message is not None]
    found: dict[str, Any] = json.loads(json.dumps(entry))
    return found


async def imported(entry: object, store: CaptureStore | None = None) -> KeptExchange:
    """What the store has of an entry."""
    store = store or a_store()
    number = add_imported(store, imported_exchange(entry))
    assert number is not None
    await store.sort()
    exchange = store.get(number)
    assert exchange is not None
    return exchange


async def test_an_entry() -> None:
    head = a_head(b"HTTP/1.1 201 Created", JSON, b"Set-Cookie: a=b; Path=/; HttpOnly", b"X-A: 1")
    asked = a_head(b"POST /a%2f?b=1&c HTTP/1.1", b"Host: app", b"Cookie: x=1; y=2", JSON)
    entry = entry_of(await kept_exchange(asked, b'{"a": "\xc3\xa9"}', head, b"\xff\0"))
    request, response = entry["request"], entry["response"]
    assert entry["startedDateTime"].startswith("2027-01-15T08:00:00.001")
    assert request["method"] == "POST"
    assert request["url"] == "http://app.example/a%2f?b=1&c"
    assert request["queryString"] == [{"name": "b", "value": "1"}, {"name": "c", "value": ""}]
    assert request["cookies"] == [{"name": "x", "value": "1"}, {"name": "y", "value": "2"}]
    assert request["headers"][0] == {"name": "Host", "value": "app"}
    assert request["postData"] == {"mimeType": "application/json", "text": '{"a": "\u00e9"}'}
    assert (request["headersSize"], request["bodySize"]) == (len(asked), 11)
    assert response["status"] == 201
    assert response["statusText"] == "Created"
    assert response["cookies"][0] == {
        "name": "a",
        "value": "b",
        "path": "/",
        "httpOnly": True,
        "secure": False,
    }
    content = {"size": 2, "mimeType": "application/json", "text": "/wA=", "encoding": "base64"}
    assert response["content"] == content
    assert response["headersSize"] == len(head)
    timings = entry["timings"]
    assert timings["connect"] == timings["dns"] == timings["ssl"] == -1
    assert entry["time"] == pytest.approx(sum(each for each in timings.values() if each > 0))


async def test_no_secret_leaves_unless_it_is_asked_for() -> None:
    secret = SECRET.encode()
    asked = a_head(
        *(b"POST /?token=" + secret + b" HTTP/1.1", b"Cookie: sid=" + secret),
        *(b"Authorization: Bearer " + secret, b"Content-Type: application/x-www-form-urlencoded"),
    )
    head = a_head(
        *(b"HTTP/1.1 302 Found", b"Location: /?token=" + secret, b"Set-Cookie: sid=" + secret),
        *(JSON, b"Content-Encoding: gzip"),
    )
    body = gzip.compress(b'{"api_key": "%b", "prompt_tokens": 1}' % secret)
    exchange = await kept_exchange(asked, b"a=1&password=" + secret, head, body)
    masked = json.dumps(entry_of(exchange, secrets=False))
    assert SECRET not in masked
    entry = json.loads(masked)
    assert entry["comment"] == "7 values are masked."
    assert entry["response"]["content"]["comment"] == "1 values are masked."
    assert json.dumps(entry_of(exchange)).count(SECRET) == 12
    await imported(entry)  # a masked one can be read, too


async def test_what_failed_says_why() -> None:
    entry = entry_of(await kept_exchange(None, head=None, error="nothing listens there"))
    assert entry["response"]["_error"] == "nothing listens there"
    assert entry["response"]["status"] == 0
    exchange = await imported(entry)
    assert exchange.error == "nothing listens there"
    assert exchange.status is None
    del entry["response"]["_error"]
    assert (await imported(entry)).error == "imported without an answer"


async def test_a_body_that_was_cut_is_told_as_cut() -> None:
    head = a_head(b"HTTP/1.1 200 OK", b"Content-Type: text/plain")
    entry = entry_of(await kept_exchange(a_head(b"GET / HTTP/1.1"), head=head, answered=b"x" * MIB))
    assert "comment" not in entry["response"]["content"]
    exchange = await kept_exchange(a_head(b"GET / HTTP/1.1"), head=head, answered=b"x" * (MIB + 1))
    entry = entry_of(exchange)
    content = entry["response"]["content"]
    assert content["size"] == MIB
    assert content["comment"] == "over 1 MiB: 1048576 of 1048577 bytes are here."
    assert entry["response"]["bodySize"] == MIB + 1
    body = (await imported(entry)).answer.body
    assert body is not None
    assert (body.size_bytes, body.kept_bytes, body.why_not) == (MIB + 1, MIB, "over 1 MiB")


async def test_messages_of_a_websocket_as_chromium_writes_them() -> None:
    store = a_store()
    asked = a_head(b"GET /live HTTP/1.1", b"Host: app", b"Upgrade: websocket")
    token = b'{"token": "%b"}' % SECRET.encode()
    frames = b"\x82\x02\0\xff" + b"\x89\0" + b"\x01\x01a\x80\x01b" + bytes([0x81, len(token)])
    exchange = await kept_exchange(
        asked, b"", SWITCHED, frames + token, kind="websocket", store=store
    )
    entry = entry_of(exchange, secrets=False)
    assert entry["_resourceType"] == "websocket"
    assert entry["request"]["url"] == "ws://app.example/live"
    said = [(each["type"], each["opcode"], each["data"]) for each in entry["_webSocketMessages"]]
    assert said[:2] == [("receive", 2, base64.b64encode(b"\0\xff").decode()), ("receive", 1, "ab")]
    assert said[2][2].startswith('{"token": "\u2022\u2022\u2022\u2022')
    assert abs(entry["_webSocketMessages"][0]["time"] - EPOCH) < 5
    again = entry_of(await imported(entry_of(exchange)))
    assert again["_webSocketMessages"] == entry_of(exchange)["_webSocketMessages"]
    assert (await imported(entry)).opened.claim == 0


# --- the round trip ---

_TOKENS = st.from_regex(r"[A-Za-z!#$%&'*+.^_`|~0-9-]{1,12}", fullmatch=True)
_VALUES = st.one_of(
    st.text(
        st.characters(min_codepoint=0x20, exclude_characters="\x7f", codec="utf-8"), max_size=20
    ),
    st.just(SECRET),
).map(str.strip)
_TYPES = st.sampled_from(
    ["", "application/json", "text/plain; charset=latin-1", "text/html", "application/x-y"]
)
_BODIES = st.one_of(
    st.binary(max_size=60), st.text(max_size=40).map(lambda text: text.encode("utf-8"))
)


@st.composite
def fields(draw: st.DrawFn) -> list[bytes]:
    reserved = {"content-type", "content-encoding", "transfer-encoding", "content-length", "host"}
    names = _TOKENS.filter(lambda name: name.lower() not in reserved)
    pairs = draw(st.lists(st.tuples(names, _VALUES), max_size=4))
    found = [f"{name}: {value}".encode() for name, value in pairs]
    if media_type := draw(_TYPES):
        found.append(f"Content-Type: {media_type}".encode())
    return found


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[bytes, bytes, bytes | None, bytes]:
    target = "/" + draw(st.from_regex(r"[!-\x22$-~]{0,20}", fullmatch=True))
    posted, answered = draw(_BODIES), draw(_BODIES)
    asked_fields = [b"Host: app", *draw(fields())]
    if posted:
        asked_fields.append(b"Content-Length: %d" % len(posted))
    line = f"{draw(_TOKENS)} {target} HTTP/1.1".encode()
    asked = a_head(line, *asked_fields)
    if draw(st.integers(0, 5)) == 0:
        return asked, posted, None, b""
    answer_fields = draw(fields())
    if draw(st.booleans()) and answered:
        answer_fields.append(b"Content-Encoding: gzip")
        answered = gzip.compress(answered, mtime=0)
    status = draw(st.sampled_from([200, 204, 302, 404, 500, 999]))
    return asked, posted, a_head(b"HTTP/1.1 %d Said" % status, *answer_fields), answered


def without_coding(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry but for what goes with the coding of a body that is told decoded, and the times."""
    kept: dict[str, Any] = json.loads(json.dumps(entry))
    response = kept["response"]
    response["headers"] = [
        each for each in response["headers"] if each["name"].lower() != "content-encoding"
    ]
    response["content"].pop("compression", None)
    for half in (response, kept["request"]):
        half.pop("headersSize")
        half.pop("bodySize")
    kept.pop("time")
    kept["timings"] = {name: pytest.approx(ms, abs=0.01) for name, ms in kept["timings"].items()}
    response.pop("_error", None)
    return kept


@given(exchanges())
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_as_the_same(
    case: tuple[bytes, bytes, bytes | None, bytes],
) -> None:
    async def trip() -> None:
        first = entry_of(await kept_exchange(*case))
        second = entry_of(await imported(first))
        assert without_coding(second) == without_coding(first)
        third = entry_of(await imported(second))
        assert third["request"] == second["request"]
        assert third["response"] == second["response"]
        masked = entry_of(await kept_exchange(*case), secrets=False)
        await imported(masked)

    trio.run(trip)


# --- what lies ---


async def an_entry() -> dict[str, Any]:
    head = a_head(b"HTTP/1.1 200 OK", b"Content-Type: text/plain")
    asked = a_head(b"POST /a HTTP/1.1", b"Host: app", b"Content-Length: 3")
    return entry_of(await kept_exchange(asked, b"abc", head, b"answer"))


LIES: list[tuple[str, object, str]] = [
    ("request.method", "GET /", "request.method"),
    ("request.method", "", "request.method"),
    ("request.method", "G" * 65, "request.method"),
    ("request.method", 1, "request.method"),
    ("request.url", "/a", "request.url"),
    ("request.url", "data:text/plain,x", "request.url"),
    ("request.url", "http:///a", "request.url"),
    ("request.url", "http://a b/", "request.url"),
    ("request.url", "http://a/" + "x" * 32768, "request.url"),
    ("request.headers", [{"name": "a b", "value": ""}], "request.headers[0].name"),
    ("request.headers", [{"name": "a", "value": "b\0"}], "request.headers[0].value"),
    ("request.headers", [{"name": "a", "value": "a\rb"}], "request.headers[0].value"),
    ("request.headers", [{"name": "a", "value": "x" * 32768}], "request.headers[0].value"),
    ("request.headers", [{"name": "a"}], "request.headers[0].value"),
    ("request.headers", ["a"], "request.headers[0]"),
    ("request.headers", {"a": "b"}, "request.headers"),
    ("request.headers", [{"name": "a", "value": "b"}] * 257, "request.headers"),
    ("request.bodySize", 2, "request.bodySize"),
    ("request.postData.encoding", "base64", "request.postData.text"),
    ("request.postData.encoding", "rot13", "request.postData.encoding"),
    ("request", None, "request"),
    ("response.status", "OK", "response.status"),
    ("response.status", "200", "response.status"),
    ("response.status", True, "response.status"),
    ("response.status", 20.5, "response.status"),
    ("response.status", 1000, "response.status"),
    ("response.status", 101, "response.status"),
    ("response.status", 1e400, "response.status"),
    ("response.statusText", "a\r\nb", "response.statusText"),
    ("response.content.size", 7, "response.content.size"),
    ("response.content.size", 0, "response.content.size"),
    ("response.content.size", "6", "response.content.size"),
    ("response.content.size", 2**60, "response.content.size"),
    ("response.content.text", ["x"], "response.content.text"),
    ("response.content.encoding", "base64", "response.content.text"),
    ("response.bodySize", -2, "response.bodySize"),
    ("startedDateTime", "yesterday", "startedDateTime"),
    ("startedDateTime", "2026-01-31T10:24:03", "startedDateTime"),
    ("startedDateTime", "0001-01-01T00:00:00Z", "startedDateTime"),
    ("timings.wait", -5, "timings.wait"),
    ("timings.wait", 1e300, "timings.wait"),
    ("time", "long", "time"),
]


@pytest.mark.parametrize(("field", "value", "named"), LIES)
async def test_what_lies_is_refused_by_its_name(field: str, value: object, named: str) -> None:
    entry = await an_entry()
    imported_exchange(entry)
    *way, last = field.split(".")
    place = entry
    for name in way:
        place = place[name]
    place[last] = value
    with pytest.raises(HarError) as refused:
        imported_exchange(entry)
    assert refused.value.field == named
    assert len(refused.value.message) < 200


async def test_messages_that_lie_are_refused() -> None:
    entry = await an_entry()
    entry |= {"_resourceType": "websocket"}
    entry["response"]["status"] = 101
    good = {"type": "send", "time": EPOCH, "opcode": 1, "data": "a"}
    for lie, named in (
        ({"time": "now"}, "time"),
        ({"data": 5}, "data"),
        ({"opcode": 2, "data": "no base64"}, "data"),
        ({"opcode": 1.5}, "opcode"),
    ):
        entry["_webSocketMessages"] = [good, good | lie]
        with pytest.raises(HarError) as refused:
            imported_exchange(entry)
        assert refused.value.field == f"_webSocketMessages[1].{named}"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=5,
    ),
    st.sampled_from(["", "request", "response", "timings", "response.content"]),
    st.sampled_from(["method", "url", "headers", "status", "text", "size", "content", "wait"]),
)
@settings(deadline=None)
def test_garbage_is_read_or_refused(value: object, way: str, name: str) -> None:
    entry = trio.run(an_entry)
    place = entry
    for each in filter(None, way.split(".")):
        place = place[each]
    place[name] = value
    for read in (entry, value):
        with suppress(HarError):
            imported_exchange(read)


async def test_what_browsers_write_beside_the_format_is_taken() -> None:
    chrome = {
        "_connectionId": "1",
        "startedDateTime": "2026-01-31T10:24:03.123Z",
        "time": 12.5,
        "request": {
            "method": "GET",
            "url": "https://example.com/a?b=\u00e9#c",
            "httpVersion": "h2",
            "headers": [
                {"name": ":authority", "value": "example.com"},
                {"name": "accept", "value": "*/*"},
            ],
            "headersSize": -1,
            "bodySize": 0,
        },
        "response": {
            "status": 200,
            "statusText": "",
            "headers": [
                {"name": "content-encoding", "value": "br"},
                {"name": "set-cookie", "value": "a=b\nc=d"},
            ],
            "content": {"size": 5, "mimeType": "text/html", "text": "caf\u00e9s"},
            "bodySize": 8,
        },
        "timings": {"blocked": 1.5, "dns": -1, "ssl": -1, "connect": -1, "send": 1, "wait": 10},
    }
    exchange = await imported(chrome)
    assert exchange.request.head == (
        b"GET /a?b=%C3%A9 HTTP/1.1\r\nHost: example.com\r\naccept: */*\r\n\r\n"
    )
    assert exchange.answer.head == b"HTTP/1.1 200 \r\nset-cookie: a=b\r\nset-cookie: c=d\r\n\r\n"
    assert exchange.answer.body is not None
    assert exchange.answer.body.data() == "caf\u00e9s".encode()
    assert exchange.began == pytest.approx(1769855043.123)
    marks = exchange.marks
    assert marks.reused
    assert marks.head_sent == pytest.approx(0.0015)
    assert marks.answer_head == pytest.approx(0.0125)


async def test_what_playwright_writes_beside_the_format_is_taken() -> None:
    entry = await an_entry()
    entry["response"] |= {"status": -1, "_failureText": "net::ERR_FAILED"}
    assert (await imported(entry)).error == "net::ERR_FAILED"
    entry = await an_entry() | {"_resourceType": "websocket"}
    entry["response"]["status"] = 101
    said = {"type": "send", "opcode": 1, "data": "a"}
    times = EPOCH + 1.5, (EPOCH + 1.5) * 1000
    entry["_webSocketMessages"] = [said | {"time": time} for time in times]
    exchange = await imported(entry)
    assert exchange.frames is not None
    first, second = exchange.frames.rows(0, 2)
    assert first.at == pytest.approx(second.at)
    assert first.at - exchange.began_at == pytest.approx(1.5, abs=0.1)


async def test_many_imported_ones_stay_within_the_budget() -> None:
    store = a_store(4 * MIB)
    entry = await an_entry()
    entry["response"]["content"] = {"size": 200_000, "mimeType": "", "text": "x" * 200_000}
    for _ in range(60):
        await imported(entry, store)
    assert store.counts.used_bytes <= 4 * MIB
    assert store.counts.dropped == 0
    newest = store.newest(1)[0].answer.body
    assert newest is not None
    assert newest.is_whole
