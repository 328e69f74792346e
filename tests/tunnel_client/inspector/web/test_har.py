from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from tests.inspector_fakes import MIB, RunningInspector, an_inspector, got, opened_tap
from tests.memory_streams import an_open
from tests.origin_fakes import SWITCHED
from tunnel_client.inspector.web.har import ENTRIES_MAX, MASKED, OPEN

SECRET = "sk-abcdefgh12345678"


def read(body: bytes) -> Any:
    """What a chunked answer says."""
    found = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        found, body = found + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return json.loads(found)["log"]


async def file_of(running: RunningInspector, query: str = "") -> Any:
    answer = await running.ask("GET", f"/api/har{query}")
    assert answer.status == 200
    assert answer.fields["transfer-encoding"] == "chunked"
    return read(answer.body)


async def taken(running: RunningInspector, *entries: object, first: int = 0) -> Any:
    said = {"entries": entries, "first": first}
    answer = await running.ask("POST", "/api/har/entries", said)
    assert answer.status == 200, answer
    return answer.json


async def test_a_file_has_what_the_filter_lets_through() -> None:
    async with an_inspector() as running:
        got(running.store, b"one", target=b"/one")
        got(running.store, b'{"token": "%b"}' % SECRET.encode(), target=b"/two", status=500)
        await running.until_sorted()
        log = await file_of(running)
        assert log["version"] == "1.2"
        assert log["creator"] == {"name": "trio-tunnel", "version": "1"}
        assert log["comment"] == MASKED
        paths = [entry["request"]["url"].rpartition("/")[2] for entry in log["entries"]]
        assert paths == ["one", "two"]
        assert SECRET not in json.dumps(log)
        [entry] = (await file_of(running, "?status=5xx"))["entries"]
        assert entry["response"]["status"] == 500
        assert (await file_of(running, "?text=token&where=row"))["entries"] == []
        log = await file_of(running, "?secrets=1&text=token")
        assert log["comment"] == OPEN
        assert SECRET in json.dumps(log)
        assert (await file_of(running, "?method=PUT"))["entries"] == []
        assert (await running.ask("GET", "/api/har?status=x")).status == 400
        assert (await running.ask("GET", "/api/har", token=None)).status == 401


async def test_the_name_of_a_file_is_ours() -> None:
    async with an_inspector() as running:
        for query, end in (("", ""), ("?secrets=1", "-with-secrets")):
            answer = await running.ask("GET", f"/api/har{query}")
            said = answer.fields["content-disposition"]
            assert said.startswith('attachment; filename="inspector-2')
            assert said.endswith(f'{end}.har"')


async def test_a_file_of_large_bodies_and_many_messages() -> None:
    async with an_inspector() as running:
        got(running.store, b"\xff" * MIB)
        tap = opened_tap(running.store, an_open("websocket", b"GET", None))
        tap.asked(b"GET /live HTTP/1.1\r\nHost: app\r\n\r\n")
        tap.head(SWITCHED)
        for _ in range(1000):
            tap.body_out(b"\x81\x02hi")
        await running.until_sorted()
        first, second = (await file_of(running))["entries"]
        assert first["response"]["content"]["size"] == MIB
        assert len(second["_webSocketMessages"]) == 1000
        assert second["comment"] == "It was under way."


async def test_entries_become_rows_of_their_own() -> None:
    async with an_inspector() as running:
        got(running.store, b"answer", b"Content-Type: text/plain", posted=b"posted", method=b"POST")
        await running.until_sorted()
        log = await file_of(running)
        lie = json.loads(json.dumps(log["entries"][0]))
        lie["request"]["method"] = "GET /"
        said = await taken(running, log["entries"][0], lie, "no entry", first=10)
        assert said["ids"] == [2]
        assert [(each["entry"], each["field"]) for each in said["refused"]] == [
            (11, "log.entries[11].request.method"),
            (12, "log.entries[12]"),
        ]
        rows = (await running.get("/api/exchanges"))["exchanges"]
        assert [row["imported"] for row in rows] == [False, True]
        assert rows[1]["state"] == "over"
        assert rows[1]["path"] == rows[0]["path"]
        shown = await running.get("/api/exchanges/2/answer/body")
        assert shown["text"] == "answer"


async def test_what_is_imported_is_not_the_next_that_comes() -> None:
    async with an_inspector() as running, trio.open_nursery() as nursery:
        got(running.store)
        await running.until_sorted()
        [entry] = (await file_of(running))["entries"]
        seq = (await running.get("/api/run"))["seq"]
        await taken(running, entry)
        got(running.store, target=b"/real")
        await running.until_sorted()
        found = await running.get(f"/api/next?after={seq}")
        assert found["path"] == "/real"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"entries": {}},
        {"entries": [None] * (ENTRIES_MAX + 1)},
        {"entries": [], "first": -1},
        {"entries": [], "first": "1"},
    ],
)
async def test_what_is_no_list_of_entries_is_refused(said: object) -> None:
    async with an_inspector() as running:
        answer = await running.ask("POST", "/api/har/entries", said)
        assert (answer.status, answer.json["error"]) == (400, "bad-request")


async def test_imported_ones_give_way_as_others_do() -> None:
    async with an_inspector(memory_bytes=2 * MIB) as running:
        got(running.store, b"x" * 200_000, b"Content-Type: text/plain")
        await running.until_sorted()
        [entry] = (await file_of(running))["entries"]
        for _ in range(12):
            assert len((await taken(running, entry))["ids"]) == 1
        assert running.store.counts.used_bytes <= 2 * MIB


async def test_who_goes_away_leaves_nothing_behind() -> None:
    async with an_inspector() as running:
        for _ in range(20):
            got(running.store, b"\xff" * 500_000)
        await running.until_sorted()
        stream = await trio.open_tcp_stream("127.0.0.1", running.port)
        head = f"GET /api/har HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n"
        token = f"Authorization: Bearer {running.token}\r\n\r\n"
        await stream.send_all((head + token).encode())
        await stream.receive_some()
        await stream.aclose()
        assert (await running.get("/api/run"))["kept"]["kept"] == 20
