from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from wsproto import ConnectionType, WSConnection, events

from examples import demo_app
from tests.clocks import elapsed_s

Stream = trio.abc.Stream

UPGRADE = b"""GET /chat HTTP/1.1\r
Host: a\r
Upgrade: websocket\r
Connection: Upgrade\r
Sec-WebSocket-Version: 13\r
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
\r
"""


@pytest.fixture
async def browser(nursery: trio.Nursery) -> Stream:
    """The browser's end of a connection to the app."""
    client, server = trio.testing.memory_stream_pair()
    nursery.start_soon(demo_app.serve_browser, server)
    return client


async def read_until(stream: Stream, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        data = await stream.receive_some()
        assert data, received
        received += data
    return received


async def ask(stream: Stream, request: bytes) -> tuple[bytes, bytes]:
    """Head and body of the answer, which must have a Content-Length."""
    await stream.send_all(request)
    received = b""
    while True:
        head, found, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        if found and length and (len(body) >= int(length[1]) or request.startswith(b"HEAD")):
            return head, body
        data = await stream.receive_some()
        assert data, received
        received += data


async def test_page_is_served_as_it_is_on_disk(browser: Stream) -> None:
    head, body = await ask(browser, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"text/html" in head
    assert b"no-store" in head
    assert body == demo_app.PAGE.read_bytes()


async def test_connection_is_kept_for_the_next_request(browser: Stream) -> None:
    for request, status in [
        (b"HEAD /?query HTTP/1.1\r\nHost: a\r\n\r\n", b"200"),
        (b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n", b"404"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", b"404"),
        (b"GET /chat HTTP/1.1\r\nHost: a\r\n\r\n", b"426"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"200"),
    ]:
        head, _ = await ask(browser, request)
        assert head.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("request_bytes", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
async def test_nonsense_ends_that_connection_alone(browser: Stream, request_bytes: bytes) -> None:
    await browser.send_all(request_bytes)
    assert await browser.receive_some() == b""


async def test_page_that_an_editor_has_away_ends_that_connection_alone(
    browser: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_app, "PAGE", tmp_path / "page.html")
    await browser.send_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert await browser.receive_some() == b""


async def test_browser_that_leaves_in_the_middle_is_no_error(nursery: trio.Nursery) -> None:
    for request in (b"", b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", UPGRADE):
        client, server = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as inner:
            inner.start_soon(demo_app.serve_browser, server)
            await client.send_all(request)
            await trio.testing.wait_all_tasks_blocked()
            await client.aclose()


# Upload


async def hooked(browser: Stream, body: str, signature: str) -> tuple[bytes, Any]:
    """Status and JSON of the answer to a webhook."""
    head = f"POST /hook HTTP/1.1\r\nHost: a\r\nStripe-Signature: {signature}\r\n"
    asked = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    said, answer = await ask(browser, asked)
    return said.split()[1], json.loads(answer)


async def test_a_signed_webhook_is_taken_and_no_other(browser: Stream) -> None:
    _, answer = await ask(browser, b"GET /payment HTTP/1.1\r\nHost: a\r\n\r\n")
    payment = json.loads(answer)
    body, signature = payment["body"], payment["signature"]
    assert json.loads(body)["type"] == "payment.succeeded"
    assert await hooked(browser, body, signature) == (b"200", {"received": True})
    assert (await hooked(browser, body.replace("4200", "4201"), signature))[0] == b"400"
    for wrong in ("", "t=x,v1=y", "v1=abc"):
        assert (await hooked(browser, body, wrong))[1] == {"error": "Stripe-Signature has no time"}


@pytest.mark.parametrize(("age_s", "wrong"), [(300, ""), (301, "more than 5 minutes"), (-301, "5")])
def test_a_webhook_is_taken_for_five_minutes(age_s: int, wrong: str) -> None:
    payment = demo_app.a_payment(1000)
    found = demo_app.wrong_with(payment["signature"], payment["body"].encode(), 1000 + age_s)
    assert wrong in found
    assert bool(found) == bool(wrong)


BODY = bytes(range(256)) * 1000


def check_upload(answer: bytes) -> None:
    assert json.loads(answer) == {"bytes": len(BODY), "sha256": hashlib.sha256(BODY).hexdigest()}


async def test_upload_is_counted_and_hashed(browser: Stream) -> None:
    head = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    _, answer = await ask(browser, head + BODY)
    check_upload(answer)


async def test_upload_may_be_chunked(browser: Stream) -> None:
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    head = b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    _, answer = await ask(browser, head + chunks)
    check_upload(answer)


async def test_upload_that_waits_for_100_gets_it(browser: Stream) -> None:
    head = b"POST /upload HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    await browser.send_all(head % len(BODY))
    assert (await read_until(browser, b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
    _, answer = await ask(browser, BODY)
    check_upload(answer)


# Server-sent events


class EventSource:
    """The browser's end of /events."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.received = b""

    async def next(self, pattern: bytes) -> re.Match[bytes]:
        while (found := re.search(pattern, self.received, re.DOTALL)) is None:
            data = await self.stream.receive_some()
            assert data, self.received
            self.received += data
        self.received = self.received[found.end() :]
        return found

    async def next_event(self) -> tuple[str, Any]:
        found = await self.next(rb"event: (\w+)\ndata: ([^\n]+)\n\n")
        return found[1].decode(), json.loads(found[2])


async def test_events_tick_each_second_and_tell_of_an_edited_page(
    browser: Stream,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
) -> None:
    page = tmp_path / "page.html"
    page.touch()
    os.utime(page, (1000, 1000))
    monkeypatch.setattr(demo_app, "PAGE", page)
    await browser.send_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
    source = EventSource(browser)
    assert b"text/event-stream" in (await source.next(rb"^HTTP/1.1 200 .*?\r\n\r\n"))[0]
    assert await source.next_event() == ("page", 1000)
    assert await source.next_event() == ("tick", 0)
    assert await source.next_event() == ("tick", 1)
    assert elapsed_s() == pytest.approx(1)
    os.utime(page, (2000, 2000))
    assert await source.next_event() == ("page", 2000)
    assert elapsed_s() == pytest.approx(1.25)
    page.unlink()
    assert await source.next_event() == ("page", 0)
    assert await source.next_event() == ("tick", 2)


# WebSocket


class Chat:
    """The browser's end of the chat."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.websocket = WSConnection(ConnectionType.CLIENT)

    async def open(self) -> None:
        await self.send(events.Request(host="a", target="/chat"))
        assert isinstance(await self.next(), events.AcceptConnection)

    async def send(self, event: events.Event) -> None:
        await self.stream.send_all(self.websocket.send(event))

    async def next(self) -> events.Event:
        while True:
            for event in self.websocket.events():
                return event
            self.websocket.receive_data(bytes(await self.stream.receive_some()) or None)


@pytest.mark.parametrize(
    "message",
    [
        events.TextMessage("grüße"),
        events.TextMessage(""),
        events.BytesMessage(b"\x00\xff"),
        events.TextMessage("first", message_finished=False),
        events.Ping(b"x"),
        events.CloseConnection(1000, "bye"),
    ],
)
async def test_message_comes_back(browser: Stream, message: events.Event) -> None:
    chat = Chat(browser)
    await chat.open()
    await chat.send(message)
    answer = await chat.next()
    if isinstance(message, events.Ping):
        assert answer == events.Pong(b"x")
    else:
        assert answer == message
    if isinstance(message, events.CloseConnection):
        assert await browser.receive_some() == b""


async def test_message_in_the_segment_of_the_handshake_comes_back(browser: Stream) -> None:
    frame = bytes([0x81, 0x82, 0, 0, 0, 0]) + b"hi"
    await browser.send_all(UPGRADE + frame)
    assert (await read_until(browser, b"hi")).endswith(b"\r\n\r\n\x81\x02hi")


# The page


def test_page_needs_nothing_from_elsewhere_and_finds_its_own_address() -> None:
    page = demo_app.PAGE.read_text()
    addresses = re.findall(r"(?:https?|wss?)://[^'\"]*", page)
    assert addresses == ["http://www.w3.org/2000/svg"]  # a name, never fetched
    assert re.findall(r'here\("(\w+)"\)', page) == [
        *("chat", "payment", "hook", "events", "upload")
    ]
    assert "prefers-color-scheme: dark" in page
    assert '"wss:"' in page


# The program


@pytest.fixture
def taken() -> Any:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_taken_port_gives_the_next_free_one(taken: int) -> None:
    listeners = await demo_app.listen(taken)
    port = listeners[0].socket.getsockname()[1]
    for listener in listeners:
        await listener.aclose()
    assert taken < port < taken + demo_app.PORTS_TRIED


async def test_no_free_port_is_told(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_app, "PORTS_TRIED", 1)
    with pytest.raises(SystemExit, match="are taken"):
        await demo_app.listen(taken)


@pytest.mark.parametrize("arguments", [["x"], ["-1"], ["3000", "x"], ["123456"]])
def test_bad_usage_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert demo_app.main(arguments) == 2
    assert capsys.readouterr().err == "usage: python examples/demo_app.py [PORT]\n"


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_program_says_where_it_is_and_ends_quietly(taken: int, stop: signal.Signals) -> None:
    command = [sys.executable, demo_app.__file__, str(taken)]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = int(re.findall(r"^demo app on http://127.0.0.1:(\d+) ", line)[0])
        with socket.create_connection(("127.0.0.1", port)) as browser:
            browser.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
            assert browser.recv(15) == b"HTTP/1.1 200 \r\n"
            process.send_signal(stop)
            rest, error = process.communicate()
    assert line.endswith(f" ({taken} is taken)\n")
    assert (rest, error, process.returncode) == ("", "", 0)
