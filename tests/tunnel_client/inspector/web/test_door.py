from __future__ import annotations

from typing import Any

import pytest

from tunnel_client.inspector.web.door import (
    BODY_MAX_BYTES,
    HEAD_MAX_BYTES,
    PAGE_POLICY,
    Door,
    Message,
    Receive,
    Scope,
    Send,
)
from tunnel_client.inspector.web.entry import EntryRules
from tunnel_client.inspector.web.token import InspectorToken

HOST = (b"host", b"localhost:4040")
TOKEN = (b"authorization", b"Bearer secret-1")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Read all, and say how much it was."""
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    fields = [(b"Cache-Control", b"max-age=1")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"%d" % size})


class Visit:
    """One request at a door, and what came of it."""

    def __init__(self, *fields: tuple[bytes, bytes], kind: str = "http", **scope: Any) -> None:
        self.scope: Scope = {
            "type": kind,
            "http_version": "1.1",
            "path": "/api/run",
            "raw_path": b"/api/run",
            "query_string": b"",
            "headers": [HOST, *fields],
            **scope,
        }
        self.sent: list[Message] = []

    async def at(self, door: Door, *pieces: bytes) -> int:
        waiting = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        waiting.append({"type": "http.request", "body": b"", "more_body": False})

        async def receive() -> Message:
            return waiting.pop(0)

        async def send(message: Message) -> None:
            self.sent.append(message)

        await door(self.scope, receive, send)
        status: int = self.sent[0]["status"]
        return status

    @property
    def fields(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        body: bytes = self.sent[1]["body"]
        return body


def a_door(app: Any = echo) -> Door:
    return Door(app, EntryRules(4040, InspectorToken("secret-1")))


async def test_what_is_let_pass_has_the_fields_of_every_answer() -> None:
    visit = Visit(TOKEN)
    assert await visit.at(a_door(), b"ab", b"c") == 200
    assert visit.body == b"3"
    assert visit.fields[b"content-security-policy"] == PAGE_POLICY
    assert visit.fields[b"x-content-type-options"] == b"nosniff"
    assert visit.fields[b"referrer-policy"] == b"no-referrer"
    assert visit.fields[b"cache-control"] == b"max-age=1"  # its own


async def test_what_is_refused_says_why_and_never_comes_to_the_app() -> None:
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    visit = Visit()
    assert await visit.at(a_door(never)) == 401
    assert b'"error": "no-token"' in visit.body
    assert visit.fields[b"content-security-policy"] == PAGE_POLICY
    assert visit.fields[b"connection"] == b"close"


async def test_a_websocket_is_refused_before_its_handshake() -> None:
    visit = Visit((b"origin", b"http://evil.example"), kind="websocket")
    assert await visit.at(a_door()) == 403
    assert visit.sent[0]["type"] == "websocket.http.response.start"


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 413)])
async def test_a_body_may_have_a_mebibyte_whatever_its_length_says(more: int, status: int) -> None:
    size = BODY_MAX_BYTES + more
    half = b"x" * (size // 2)
    assert await Visit(TOKEN).at(a_door(), half, b"x" * (size - len(half))) == status
    assert await Visit(TOKEN, (b"content-length", b"%d" % size)).at(a_door()) == status


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 431)])
async def test_a_head_may_have_32_kib(more: int, status: int) -> None:
    fields = sum(len(name) + len(value) + 4 for name, value in (HOST, TOKEN))
    left = HEAD_MAX_BYTES - fields - len(b"/api/run") - len(b"x") - 4 + more
    assert await Visit(TOKEN, (b"x", b"y" * left)).at(a_door()) == status


async def test_another_version_is_refused() -> None:
    assert await Visit(TOKEN, http_version="2").at(a_door()) == 505


async def test_a_fault_is_answered_and_goes_on_to_who_logs_it() -> None:
    async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("secret")

    visit = Visit(TOKEN)
    with pytest.raises(KeyError):
        await visit.at(a_door(faulty))
    assert visit.sent[0]["status"] == 500
    assert b"secret" not in visit.body
