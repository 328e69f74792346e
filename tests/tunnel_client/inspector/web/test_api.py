from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import trio
import trio.testing

from tests.inspector_fakes import (
    EPOCH,
    RunningInspector,
    an_inspector,
    count_tasks,
    got,
    opened_tap,
)
from tests.memory_streams import an_open
from tests.origin_fakes import SWITCHED
from tests.turns import short_turns
from tunnel_client.inspector.web.bodies import CAPTURED_POLICY
from tunnel_client.observing.events import Reconnecting
from tunnel_client.origin.socket_tally import SocketEnd

JSON = b"Content-Type: application/json"
SECRET = "sk-abcdefgh12345678"


async def ids(running: RunningInspector, query: str = "") -> list[int]:
    found = await running.get(f"/api/exchanges{query}")
    return [row["id"] for row in found["exchanges"]]


async def test_a_row_and_its_details() -> None:
    async with an_inspector() as running:
        got(running.store, b'{"a": 1}', JSON, target=b"/a?b=1&token=" + SECRET.encode())
        await running.until_sorted()
        [row] = (await running.get("/api/exchanges"))["exchanges"]
        assert row["method"] == "GET"
        assert row["status"] == 200
        assert row["state"] == "over"
        assert row["type"] == "application/json"
        assert row["bytes_out"] == 8
        assert row["visitor"] == "192.0.2.1"
        assert row["began"].startswith("2027-01-15T")
        assert row["path"].startswith("/a?b=1&token=\u2022\u2022\u2022\u2022")
        details = await running.get("/api/exchanges/1")
        assert SECRET not in json.dumps(details)
        assert details["answer"]["line"] == "HTTP/1.1 200 OK"
        assert details["answer"]["body"]["type"] == "application/json"
        assert details["request"]["fields"] == [["Host", "app", False]]
        assert details["timing"]["ended"] is not None
        assert (await running.ask("GET", "/api/exchanges/2")).status == 404
        assert (await running.ask("GET", "/api/nothing")).json["error"] == "not-found"


async def test_the_filter() -> None:
    async with an_inspector() as running:
        store = running.store
        got(store, b"needle in hay", target=b"/one")
        got(store, b"", target=b"/two/x?q", method=b"POST", status=404)
        zipped = gzip.compress(b"a Needle")
        got(store, zipped, b"Content-Encoding: gzip", target=b"/two", status=500)
        opened_tap(store, an_open("websocket", b"GET", None))
        opened_tap(store).ended("it cannot be reached")
        await running.until_sorted()
        wanted: dict[str, list[int]] = {
            "": [1, 2, 3, 4, 5],
            "?method=post": [2],
            "?status=404": [2],
            "?status=4xx": [2],
            "?path=/two": [3],
            "?path=/two*": [2, 3],
            "?failed=1": [2, 3, 5],
            "?kind=websocket": [4],
            "?text=NEEDLE": [1, 3],
            "?text=needle&status=5xx": [3],
            "?text=needle&where=row": [],
            "?text=TWO&where=row": [2, 3],
            "?text=cannot&where=row": [5],
            "?text=cannot": [5],
            "?slow_ms=86400000": [],
            "?slow_ms=0": [1, 2, 3, 5],
            "?limit=2": [4, 5],
        }
        for query, numbers in wanted.items():
            assert sorted(await ids(running, query)) == numbers, query
        for query in (
            "?status=9xx",
            "?slow_ms=x",
            "?limit=1001",
            "?limit=0",
            "?after_seq=-1",
            "?where=x",
        ):
            assert (await running.ask("GET", f"/api/exchanges{query}")).status == 400, query


async def test_a_list_goes_on_behind_what_was_read() -> None:
    async with an_inspector() as running:
        for _ in range(5):
            got(running.store)
        await running.until_sorted()
        after, seen = 0, []
        while True:
            found = await running.get(f"/api/exchanges?after_seq={after}&limit=2")
            if not found["exchanges"]:
                break
            seen += [row["id"] for row in found["exchanges"]]
            after = found["seq"]
        assert seen == [1, 2, 3, 4, 5]


async def body(running: RunningInspector, query: str = "", part: str = "answer") -> Any:
    return await running.ask("GET", f"/api/exchanges/1/{part}/body{query}")


async def test_secrets_of_a_body_are_masked_until_somebody_asks_for_it() -> None:
    async with an_inspector() as running:
        got(running.store, json.dumps({"api_key": SECRET, "b": 1}).encode(), JSON)
        await running.until_sorted()
        shown = (await body(running)).json
        assert shown["form"] == "json"
        assert shown["masked"] == 1
        assert SECRET not in json.dumps(shown)
        for query in ("?as=text", "?as=hex", "?as=text&raw=1"):
            answer = await body(running, query)
            assert (answer.status, answer.json["error"]) == (403, "masked"), query
        for download in (False, True):
            said = {"part": "answer", "download": download}
            assert (await running.ask("POST", "/api/exchanges/1/page", said)).status == 403
        unmask = {"part": "answer", "what": "body"}
        assert (await running.ask("POST", "/api/exchanges/1/unmask", unmask)).status == 200
        assert SECRET in (await body(running, "?as=text")).json["text"]
        assert SECRET in json.dumps((await body(running)).json)
        assert (await body(running, "", "request")).status == 404


async def test_a_field_is_unmasked_by_itself() -> None:
    async with an_inspector() as running:
        got(running.store, b"", b"X-Api-Key: " + SECRET.encode(), target=b"/?token=12345678")
        await running.until_sorted()
        details = await running.get("/api/exchanges/1")
        [field] = details["answer"]["fields"]
        assert field[2] is True
        assert SECRET not in json.dumps(details)
        path = "/api/exchanges/1/unmask"
        said = {"part": "answer", "what": "field", "index": 0}
        assert (await running.ask("POST", path, said)).json == {"value": SECRET}
        query = {"part": "request", "what": "query"}
        assert (await running.ask("POST", path, query)).json == {"value": "/?token=12345678"}
        wrong: list[object] = [
            {},
            [],
            {"part": "answer"},
            said | {"index": 1},
            said | {"index": True},
        ]
        for each in wrong:
            assert (await running.ask("POST", path, each)).status == 400, each


async def test_bytes_as_text_and_as_rows() -> None:
    async with an_inspector() as running:
        got(running.store, gzip.compress(b"plain text"), b"Content-Encoding: gzip")
        await running.until_sorted()
        assert (await body(running, "?as=text&from=6&count=2")).json == {"text": "te", "chars": 10}
        assert (await body(running, "?as=hex")).json["size"] == 10
        assert (await body(running, "?as=hex&raw=1")).json["size"] > 10
        assert (await body(running, "?as=else")).status == 400


async def captured(running: RunningInspector, **said: object) -> Any:
    page = await running.ask("POST", "/api/exchanges/1/page", {"part": "answer", **said})
    url = page.json["url"]
    assert len(url) == len("/page/") + 32
    return await running.ask("GET", url, token=None)


async def test_a_captured_page_has_its_policy_and_no_token() -> None:
    async with an_inspector() as running:
        got(running.store, b"<script>1</script>", b"Content-Type: text/html; charset=utf-8")
        await running.until_sorted()
        page = await captured(running)
        assert page.body == b"<script>1</script>"
        assert page.fields["content-security-policy"] == CAPTURED_POLICY
        assert page.fields["content-type"] == "text/html; charset=utf-8"
        assert page.fields["x-content-type-options"] == "nosniff"
        assert page.fields["cache-control"] == "no-store"
        download = await captured(running, download=True)
        assert download.fields["content-type"] == "application/octet-stream"
        assert download.fields["content-disposition"] == 'attachment; filename="answer-1.bin"'
        assert (await running.ask("GET", "/page/" + "0" * 32, token=None)).status == 404


@pytest.mark.parametrize("said", ["application/pdf", "text/html\x00", "text/javascript", ""])
async def test_what_no_browser_should_show_is_downloaded(said: str) -> None:
    async with an_inspector() as running:
        got(running.store, b"%PDF-1.7", b"Content-Type: " + said.encode())
        await running.until_sorted()
        assert (await captured(running)).fields["content-type"] == "application/octet-stream"


async def test_a_page_is_there_as_long_as_its_body() -> None:
    async with an_inspector() as running:
        got(running.store, b"<p>", b"Content-Type: text/html")
        await running.until_sorted()
        page = await running.ask("POST", "/api/exchanges/1/page", {"part": "answer"})
        assert (await running.ask("DELETE", "/api/exchanges")).status == 204
        assert (await running.ask("GET", page.json["url"], token=None)).status == 404
        assert await ids(running) == []


async def test_one_that_is_under_way_is_cancelled() -> None:
    async with an_inspector() as running:
        tap = opened_tap(running.store)
        await running.until_sorted()
        stream = tap.stream
        assert (await running.ask("POST", "/api/exchanges/1/cancel")).status == 204
        assert running.program.cancelled == [stream]
        tap.ended("cancelled")
        await running.until_sorted()
        assert (await running.ask("POST", "/api/exchanges/1/cancel")).status == 409


async def test_a_websocket_says_how_much_passed_and_how_it_ended() -> None:
    async with an_inspector() as running:
        tap = opened_tap(running.store, an_open("websocket", b"GET", None))
        tap.head(SWITCHED)
        tap.body_out(b"\x81\x02ok")
        await running.until_sorted()
        [row] = (await running.get("/api/exchanges"))["exchanges"]
        assert (row["state"], row["bytes_in"], row["bytes_out"]) == ("open", 0, 4)
        tap.socket = SocketEnd(0, 1, "app", None, "reset")
        tap.ended("the app reset the connection")
        await running.until_sorted()
        found = await running.get("/api/exchanges/1")
        assert (found["ended_by"], found["ended_how"]) == ("app", "reset")
        assert (found["bytes_out"], found["messages_out"]) == (4, 1)


async def test_without_bodies_a_message_cannot_be_had() -> None:
    async with an_inspector(bodies=False) as running:
        tap = opened_tap(running.store, an_open("websocket", b"GET", None))
        tap.head(SWITCHED)
        tap.body_out(b"\x81\x02ok")
        await running.until_sorted()
        [row] = (await running.get("/api/exchanges/1/frames"))["frames"]
        assert (row["opcode"], row["size"], row["fin"], row["text"]) == (1, 2, True, "")
        answer = await running.ask("GET", "/api/exchanges/1/frames/0")
        assert (answer.status, answer.json["error"]) == (404, "no-body")


async def test_the_round_trip_is_that_of_the_connection() -> None:
    async with an_inspector() as running:
        assert (await running.get("/api/run"))["connection"]["rtt_ms"] is None
        running.program.round_trip_s = 0.04123
        assert (await running.get("/api/run"))["connection"]["rtt_ms"] == 41.2
        running.inspector.tell(Reconnecting(1, 1.0, "lost"))
        assert (await running.get("/api/run"))["connection"]["rtt_ms"] is None


async def test_the_next_one_that_matches_is_waited_for() -> None:
    async with an_inspector() as running:
        got(running.store, target=b"/hook", method=b"POST")
        await running.until_sorted()
        seq = (await running.get("/api/run"))["seq"]
        found: list[Any] = []

        async def wait() -> None:
            path = f"/api/next?method=POST&path=/hook&after={seq}"
            found.append(await running.get(path))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            got(running.store, target=b"/other", method=b"POST")
            got(running.store, target=b"/hook?x", method=b"POST")
        assert found[0]["id"] == 3
        assert (await running.get("/api/next?path=/hook&after=0"))["id"] == 1
        assert (await running.ask("GET", "/api/next?timeout=0")).status == 204
        assert (await running.ask("GET", "/api/next?timeout=301")).status == 400


async def test_who_waits_and_goes_leaves_no_task() -> None:
    async with an_inspector() as running:
        await running.get("/api/run")
        before = count_tasks()
        stream = await trio.open_tcp_stream("127.0.0.1", running.port)
        head = f"GET /api/next HTTP/1.1\r\nHost: localhost:{running.port}\r\n"
        await stream.send_all(f"{head}Authorization: Bearer {running.token}\r\n\r\n".encode())
        while count_tasks() <= before:
            await trio.testing.wait_all_tasks_blocked(0.01)
        await stream.aclose()
        with trio.fail_after(1):
            while count_tasks() > before:
                await trio.testing.wait_all_tasks_blocked(0.01)


async def test_frames_of_a_websocket() -> None:
    async with an_inspector() as running:
        tap = opened_tap(running.store, an_open("websocket", b"GET", None))
        tap.asked(b"GET / HTTP/1.1\r\n\r\n")
        tap.head(SWITCHED)
        text = json.dumps({"token": SECRET}).encode()
        tap.body_out(bytes([0x81, len(text)]) + text)
        tap.body_out(b"\x88\x04\x03\xe8ok")
        await running.until_sorted()
        found = await running.get("/api/exchanges/1/frames")
        assert (found["total"], found["first"]) == (2, 0)
        first, last = found["frames"]
        assert (first["from"], first["opcode"], first["fin"], first["json"]) == (
            "app",
            1,
            True,
            True,
        )
        assert SECRET not in json.dumps(found)
        assert last["close"] == {"code": 1000, "reason": "ok"}
        message = await running.get("/api/exchanges/1/frames/0")
        assert message["form"] == "json"
        assert SECRET not in json.dumps(message)
        assert (await running.ask("GET", "/api/exchanges/1/frames/9")).status == 404


def frame_of(text: bytes, opcode: int = 0x81) -> bytes:
    return bytes([opcode, 126]) + len(text).to_bytes(2, "big") + text


async def test_rows_of_frames_that_are_no_whole_message_have_no_secret() -> None:
    async with an_inspector() as running:
        tap = opened_tap(running.store, an_open("websocket", b"GET", None))
        tap.asked(b"GET / HTTP/1.1\r\n\r\n")
        tap.head(SWITCHED)
        tap.body_out(
            frame_of(b'{"a": 1, "token": ', 0x01) + frame_of(b'"%b"}' % SECRET.encode(), 0x80)
        )
        far = json.dumps({"code": SECRET, "filler": "x" * 300, "state": "y"}).encode()
        tap.body_out(frame_of(far))
        await running.until_sorted()
        found = await running.get("/api/exchanges/1/frames")
        assert [(row["opcode"], row["text"] != "") for row in found["frames"]] == [
            *((1, True), (0, False), (1, True))
        ]
        assert SECRET not in json.dumps(found)
        for number in range(3):
            message = await running.get(f"/api/exchanges/1/frames/{number}")
            assert (message["form"], message["masked"]) == ("json", 1)
            assert SECRET not in json.dumps(message)


@pytest.mark.alone
async def test_a_large_message_is_shown_by_a_thread() -> None:
    async with an_inspector() as running:
        tap = opened_tap(running.store, an_open("websocket", b"GET", None))
        tap.asked(b"GET / HTTP/1.1\r\n\r\n")
        tap.head(SWITCHED)
        said = json.dumps(
            [{"name": "x" * 20, "number": number} for number in range(10_000)]
        ).encode()
        tap.body_out(bytes([0x81, 127]) + len(said).to_bytes(8, "big") + said)
        await running.until_sorted()
        with short_turns():
            message = await running.get("/api/exchanges/1/frames/0")
        assert message["form"] == "json"


async def test_a_signature_that_is_too_old_is_said_with_the_details() -> None:
    async with an_inspector() as running:
        for age_s in (300, 720):
            signed = (b"Stripe-Signature", b"t=%d,v1=abcdefgh" % int(EPOCH - age_s))
            tap = opened_tap(running.store, an_open("http", b"POST", None, signed))
            tap.ended(None)
        await running.until_sorted()
        fresh, old = [(await running.get(f"/api/exchanges/{each}"))["signature"] for each in (1, 2)]
        assert (fresh["by"], fresh["message"]) == ("Stripe", None)
        assert old["message"] == "signed 12 min ago; Stripe's libraries refuse after 5 min"
