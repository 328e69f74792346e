"""Replays by the API of a running inspector, to apps on sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from starlette.requests import Request

from protocol.mux.messages import Open
from tests.inspector_fakes import (
    CONFIG,
    EPOCH,
    MIB,
    Events,
    RunningInspector,
    an_inspector,
    opened_tap,
)
from tests.memory_streams import an_open
from tests.origin_fakes import App, RawOrigin, listen
from tunnel_client.identity.rewriting import Identity
from tunnel_client.inspector.capture.store import CaptureStore
from tunnel_client.inspector.replaying.replay_apps import ConfiguredApps
from tunnel_client.inspector.replaying.replays import UNDER_WAY_MAX, Replays
from tunnel_client.inspector.web.answers import ApiError
from tunnel_client.inspector.web.replays import ReplaysApi
from tunnel_client.inspector.web.run_facts import ProgramFacts, RunFacts
from tunnel_client.inspector.web.view import InspectorView
from tunnel_client.observing.events import RequestEnded
from tunnel_client.origin.dial import Dialer

PROGRAM = ProgramFacts("1", "http://localhost:3000", EPOCH)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def a_running_one() -> AsyncIterator[tuple[RunningInspector, RawOrigin]]:
    """An inspector of an app that listens."""
    origin = await listen()
    async with an_inspector() as running:
        identity = Identity(origin.target)
        running.inspector.replays.apps = ConfiguredApps(
            CONFIG, Dialer(origin.target), identity, None
        )
        yield running, origin
    await origin.end()


async def kept(running: RunningInspector, opened: Open, body: bytes = b"") -> None:
    tap = opened_tap(running.store, opened)
    lines = [b"%b: %b" % field for field in opened.fields]
    tap.asked(b"\r\n".join([b"%b %b HTTP/1.1" % (opened.method, opened.target), *lines, b"", b""]))
    if body:
        tap.body_in(body)
    tap.head(b"HTTP/1.1 500 No\r\n\r\n")
    tap.ended(None)
    await running.until_sorted()


async def replay(running: RunningInspector, number: int = 1, **said: object) -> Any:
    answer = await running.ask("POST", f"/api/exchanges/{number}/replay", said)
    assert answer.status == 201, answer
    return answer.json["id"]


async def refusal(running: RunningInspector, path: str, **said: object) -> tuple[int, str]:
    answer = await running.ask("POST", path, said)
    return answer.status, answer.json["error"]


async def answered(app: App, raw: bytes = OK) -> bytes:
    """The head that the app gets; it answers so."""
    head = await app.request()
    await app.send(raw)
    return head


async def over(running: RunningInspector, number: int) -> Any:
    """The row of an exchange that ends."""
    while True:
        await running.until_sorted()
        found = running.store.get(number)
        if found is not None and found.state == "over":
            return await running.get(f"/api/exchanges/{number}")
        await trio.lowlevel.checkpoint()


async def test_a_replay_goes_to_the_app_as_a_visitors_does_and_is_kept() -> None:
    opened = an_open("http", b"GET", None, (b"X-A", b"1"), (b"x-a", b"2"))
    async with a_running_one() as (running, origin):
        await kept(running, opened._replace(target=b"/a%2fb"))
        number = await replay(running)
        head = await answered(await origin.accept())
        assert head.startswith(b"GET /a%2fb HTTP/1.1\r\n")
        assert b"X-A: 1\r\nx-a: 2\r\n" in head
        assert b"Host: " + origin.target.authority.encode() + b"\r\n" in head
        row = await over(running, number)
        assert (row["replay_of"], row["status"], row["bytes_out"]) == (1, 200, 2)
        (told,) = [event for event in running.events.told if isinstance(event, RequestEnded)]
        assert (told.id, told.replay, told.status) == (None, True, 200)


async def test_what_may_do_harm_twice_is_asked_about_first() -> None:
    async with a_running_one() as (running, origin):
        await kept(running, an_open("http", b"POST", 3), b"abc")
        path = "/api/exchanges/1/replay"
        assert await refusal(running, path) == (409, "not-idempotent")
        assert not origin.is_asked
        number = await replay(running, confirm=True)
        app = await origin.accept()
        head = await app.request()
        assert b"Content-Length: 3\r\n" in head
        assert await app.exactly(3) == b"abc"
        await app.send(OK)
        assert (await over(running, number))["status"] == 200


@pytest.mark.parametrize(("age_s", "asked"), [(300, False), (720, True)])
async def test_a_signature_that_is_too_old_is_asked_about_first(age_s: int, asked: bool) -> None:
    async with a_running_one() as (running, origin):
        signed = (b"Stripe-Signature", b"t=%d,v1=abcdefgh" % int(EPOCH - age_s))
        await kept(running, an_open("http", b"GET", None, signed))
        answer = await running.ask("POST", "/api/exchanges/1/replay", {})
        assert answer.status == (409 if asked else 201)
        if asked:
            assert "signed 12 min ago; Stripe's libraries refuse after 5" in answer.json["message"]
            await replay(running, confirm=True)
        await answered(await origin.accept())


async def test_fields_that_are_edited_reach_the_app_as_they_are() -> None:
    async with a_running_one() as (running, origin):
        await kept(running, an_open("http", b"GET", None))
        fields = [["Host", "else.example"], ["X-Forwarded-Host", "a"]]
        number = await replay(running, method="PUT", target="/b", fields=fields)
        head = await answered(await origin.accept())
        assert head.startswith(b"PUT /b HTTP/1.1\r\nHost: else.example\r\nX-Forwarded-Host: a\r\n")
        assert (await over(running, number))["method"] == "PUT"


async def test_a_replay_may_go_to_another_port_of_this_machine() -> None:
    async with a_running_one() as (running, origin):
        await kept(running, an_open("http", b"GET", None))
        other = await listen()
        number = await replay(running, to=f"127.0.0.1:{other.target.port}")
        head = await answered(await other.accept())
        assert b"Host: " + other.target.authority.encode() + b"\r\n" in head
        assert (await over(running, number))["status"] == 200
        assert not origin.is_asked
        await other.end()


async def test_a_replay_goes_nowhere_else() -> None:
    async with a_running_one() as (running, _):
        await kept(running, an_open("http", b"GET", None))
        path = "/api/exchanges/1/replay"
        for to in ("192.0.2.1:80", "http://example.com", str(running.port), "x y"):
            assert await refusal(running, path, to=to) == (409, "no-replay")


@pytest.mark.parametrize(
    "said",
    [
        {"method": 1},
        {"fields": [["a"]]},
        {"fields": "a"},
        {"body": "a"},
        {"body": {"text": 1}},
        {"to": 1},
    ],
)
async def test_what_is_said_wrong_is_a_bad_request(said: dict[str, object]) -> None:
    async with a_running_one() as (running, _):
        await kept(running, an_open("http", b"GET", None))
        path = "/api/exchanges/1/replay"
        assert await refusal(running, path, **said) == (400, "bad-request")
        assert (await refusal(running, "/api/exchanges/9/replay"))[0] == 404


async def test_a_long_answer_fills_no_memory_and_may_be_cancelled() -> None:
    async with a_running_one() as (running, origin):
        await kept(running, an_open("http", b"GET", None))
        number = await replay(running)
        app = await origin.accept()
        await answered(app, b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(64):
            await app.send(b"x" * (1 << 20))
        await running.until_sorted()
        assert running.store.counts.used_bytes <= running.store.counts.memory_bytes
        answer = await running.ask("POST", f"/api/exchanges/{number}/cancel")
        assert answer.status == 204
        assert await app.is_reset()
        assert (await over(running, number))["error"]


async def test_as_many_as_there_may_be_are_under_way_and_not_one_more() -> None:
    async with a_running_one() as (running, _):
        await kept(running, an_open("http", b"GET", None))
        for _ in range(UNDER_WAY_MAX):
            await replay(running)
        assert await refusal(running, "/api/exchanges/1/replay") == (409, "no-replay")


async def test_many_go_in_order_and_are_counted() -> None:
    async with a_running_one() as (running, origin):
        for number in range(3):
            await kept(running, an_open("http", b"GET", None)._replace(target=b"/%d" % number))
        answer = await running.ask("POST", "/api/replay-all", {"ids": [3, 9, 1]})
        job = f"/api/jobs/{answer.json['job']}"
        assert await refusal(running, "/api/replay-all", ids=[1]) == (409, "job-runs")
        app = await origin.accept()
        assert (await answered(app)).startswith(b"GET /2 ")
        assert (await answered(app, OK.replace(b"200", b"500"))).startswith(b"GET /0 ")
        while not (state := await running.get(job))["over"]:
            await running.until_sorted()
        assert state == {"total": 3, "done": 3, "failed": 2, "over": True}


async def test_many_end_between_two_when_somebody_says_so() -> None:
    async with a_running_one() as (running, origin):
        await kept(running, an_open("http", b"GET", None))
        answer = await running.ask("POST", "/api/replay-all", {"ids": [1, 1]})
        job = f"/api/jobs/{answer.json['job']}"
        app = await origin.accept()
        head = await app.request()
        assert (await running.ask("DELETE", job)).status == 204
        await app.send(OK)
        while not (state := await running.get(job))["over"]:
            await running.until_sorted()
        assert head.startswith(b"GET ")
        assert (state["done"], state["failed"]) == (1, 0)


async def test_where_no_app_is_the_first_of_many_is_the_last() -> None:
    async with a_running_one() as (running, origin):
        await kept(running, an_open("http", b"GET", None))
        await origin.stop_listening()
        answer = await running.ask("POST", "/api/replay-all", {"ids": [1, 1, 1]})
        job = f"/api/jobs/{answer.json['job']}"
        while not (state := await running.get(job))["over"]:
            await running.until_sorted()
        assert (state["done"], state["failed"]) == (1, 1)


async def test_many_with_one_that_may_do_harm_are_asked_about() -> None:
    async with a_running_one() as (running, _):
        await kept(running, an_open("http", b"GET", None))
        await kept(running, an_open("http", b"POST", None))
        assert await refusal(running, "/api/replay-all", ids=[1, 2]) == (409, "not-idempotent")
        for ids in ([], [1] * 1001, ["1"], None):
            assert await refusal(running, "/api/replay-all", ids=ids) == (400, "bad-request")
        assert (await running.ask("GET", "/api/jobs/no")).status == 404


async def test_many_with_a_signature_that_is_too_old_are_asked_about() -> None:
    signed = b"Stripe-Signature", b"t=%d,v1=abc" % (EPOCH - 301)
    async with a_running_one() as (running, _):
        await kept(running, an_open("http", b"GET", None, signed))
        answer = await running.ask("POST", "/api/replay-all", {"ids": [1]})
        assert answer.status == 409
        assert answer.json["message"].startswith("1 of 1 were signed so long ago")


async def test_where_many_cannot_begin_the_next_try_is_no_second_job() -> None:
    store = CaptureStore(memory_bytes=MIB, now=lambda: EPOCH)
    replays = Replays(store, Events(), ("127.0.0.1", 4040))  # and nobody runs them
    api = ReplaysApi(InspectorView(store, RunFacts(PROGRAM), replays))
    for _ in range(2):
        with pytest.raises(ApiError) as refused:
            await api.replay_all(posted_request({"ids": [1]}))
        assert refused.value.why.code == "no-replay"


def posted_request(said: object) -> Request:
    body = json.dumps(said).encode()

    async def receive() -> dict[str, object]:
        await trio.lowlevel.checkpoint()
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": [], "path": "/", "query_string": b""}
    return Request(scope, receive)
