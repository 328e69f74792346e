"""What the inspector makes of a request is run, and sends the request once more, byte for byte."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from protocol.http.fields import Fields
from tests.exchange_fakes import KEY, a_head, kept_exchange
from tests.origin_fakes import App, RawOrigin, listen, listen_unix
from tests.programs import Programs
from tests.system.origin import Origin
from tests.system.visitor import fetch
from tunnel_client.inspector.capture.snapshot import snapshot_of
from tunnel_client.inspector.exports.copied_request import copied_request
from tunnel_client.inspector.exports.curl import curl_command
from tunnel_client.inspector.exports.httpx_code import httpx_code
from tunnel_client.inspector.shown.masking import Masks

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
EVERY_BYTE = bytes(range(256))
SIGNS = b'it\'s "$HOME" `id` !! \\n %s \\\n*~#'


class Sent(NamedTuple):
    line: bytes
    fields: Fields
    body: bytes


async def sent_again(program: list[str], text: str, origin: RawOrigin, size: int) -> Sent:
    """Run a program with this text as its input; return what the app gets of it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(trio.run_process, program, stdin=text.encode(), capture_stdout=True)
        )
        app = await origin.accept()
        line, *lines = (await app.request())[:-4].split(b"\r\n")
        pairs = (each.partition(b":") for each in lines)
        fields = tuple((name, value.strip()) for name, _, value in pairs)
        is_chunked = (b"Transfer-Encoding", b"chunked") in fields
        body = await chunks(app) if is_chunked else await app.exactly(size)
        await app.send(ANSWER if line.startswith(b"HEAD") else ANSWER + b"ok")
        await app.close()
    await origin.end()
    return Sent(line, fields, body)


async def chunks(app: App) -> bytes:
    body = b""
    while True:
        size = b""
        while not size.endswith(b"\r\n"):
            size += await app.exactly(1)
        length = int(size, 16)
        body += (await app.exactly(length + 2))[:-2]
        if not length:
            return body


CASES: dict[str, tuple[bytes, tuple[bytes, ...], bytes]] = {
    "plain": (b"GET /a?b=1&c=%20 HTTP/1.1", (b"User-Agent: test/1", b"Accept: */*"), b""),
    "target": (b"GET /a%2fb/../%zz/./x?q='[]{}|^`<>\"\\ HTTP/1.1", (), b""),
    "two slashes": (b"GET //a//b? HTTP/1.1", (), b""),
    "star": (b"OPTIONS * HTTP/1.1", (), b""),
    "head": (b"HEAD /a HTTP/1.1", (b"Accept: text/html",), b""),
    "delete": (b"DELETE /a HTTP/1.1", (), b""),
    "method": (b"qu'ery$x /a HTTP/1.1", (b"Content-Length: 1",), b"x"),
    "doubled": (b"GET / HTTP/1.1", (b"X-A: 1", b"Cookie: a=b", b"x-a: 2", b"X-A: 1"), b""),
    "fields": (
        b"GET / HTTP/1.1",
        (b"X-Empty:", b"X-Signs: " + SIGNS.replace(b"\n", b""), b"X-Latin: caf\xe9 \xff"),
        b"",
    ),
    "utf-8": (b"GET / HTTP/1.1", ("X-A: \u202egnp \u20ac".encode(),), b""),
    "packed": (b"GET / HTTP/1.1", (b"Accept-Encoding: gzip, br", b"Accept: @file"), b""),
    "empty body": (b"POST / HTTP/1.1", (b"Content-Length: 0",), b""),
    "text": (
        b"POST / HTTP/1.1",
        (b"Content-Type: text/plain", b"Content-Length: 0"),
        b"@/etc/passwd\n" + SIGNS * 3 + b"\n\n",
    ),
    "unicode": (b"PUT / HTTP/1.1", (b"Content-Length: 0",), "\u2603 \U0001f600".encode()),
    "binary": (b"POST / HTTP/1.1", (b"Content-Length: 0",), b"-n" + EVERY_BYTE * 4),
    "carriage": (b"POST / HTTP/1.1", (b"Content-Length: 0",), b"a\r\nb\r\n\x1b[2J%d"),
    "octal": (b"POST / HTTP/1.1", (b"Content-Length: 0",), b"\x001\x012\xff3" * 30),
    "long": (b"POST / HTTP/1.1", (b"Content-Length: 0",), EVERY_BYTE * 256),
    "long text": (b"POST / HTTP/1.1", (b"Content-Length: 0",), b"0123456'" * 8192),
    "chunked": (b"POST / HTTP/1.1", (b"Transfer-Encoding: chunked",), b"\0some\r\ndata"),
    "chunked, empty": (b"POST / HTTP/1.1", (b"Transfer-Encoding: chunked",), b""),
    "1.0": (b"GET /old HTTP/1.0", (), b""),
}
HTTP_1_0_BY_HTTPX = ("httpx", "1.0")  # it knows 1.1 alone
PROGRAMS = {"curl": ["sh"], "httpx": [sys.executable, "-W", "error", "-"]}


def framed(fields: tuple[bytes, ...], body: bytes) -> tuple[bytes, ...]:
    """Fields as they were captured: with the length of the body."""
    length = b"Content-Length: %d" % len(body)
    return tuple(length if each.startswith(b"Content-Length") else each for each in fields)


def by_name(fields: Fields) -> list[tuple[bytes, list[bytes]]]:
    """Order counts within one name alone; curl has Host first and the length last."""
    names = sorted({name.lower() for name, _ in fields})
    return [(name, [value for each, value in fields if each.lower() == name]) for name in names]


@pytest.mark.needs("curl", "sh")
@pytest.mark.parametrize(
    ("form", "case"),
    [(form, case) for form in PROGRAMS for case in CASES if (form, case) != HTTP_1_0_BY_HTTPX],
)
async def test_a_copy_sends_the_same(form: str, case: str) -> None:
    line, plain, body = CASES[case]
    fields = framed(plain, body)
    asked = a_head(line, b"Host: app.example:8080", *fields)
    origin = await listen()
    exchange = snapshot_of(await kept_exchange(asked, body))
    request = copied_request(exchange, str(origin.target), Masks(KEY))
    text = curl_command(request) if form == "curl" else httpx_code(request)
    sent = await sent_again(PROGRAMS[form], text, origin, len(body))
    assert sent.line == line
    assert sent.body == body
    pairs = (each.partition(b":") for each in fields)
    given = tuple((name, value.strip()) for name, _, value in pairs)
    assert by_name(sent.fields) == by_name(((b"Host", b"app.example:8080"), *given))


@pytest.mark.needs("curl", "sh")
@pytest.mark.parametrize("form", ["curl", "httpx"])
async def test_a_copy_goes_to_a_unix_socket(form: str, tmp_path: Path) -> None:
    origin = await listen_unix(tmp_path)
    exchange = snapshot_of(await kept_exchange(a_head(b"GET /a HTTP/1.1", b"Host: app")))
    request = copied_request(exchange, str(origin.target), Masks(KEY))
    text = curl_command(request) if form == "curl" else httpx_code(request)
    sent = await sent_again(PROGRAMS[form], text, origin, 0)
    assert (sent.line, sent.fields) == (b"GET /a HTTP/1.1", ((b"Host", b"app"),))


@pytest.mark.needs("curl", "sh")
async def test_a_request_of_a_real_client_is_copied_and_compared(
    programs: Programs, origin: Origin
) -> None:
    """What the app says to the copy is what it said to the visitor."""
    tunnel = await programs.tunnel(origin.port, "--inspect", "127.0.0.1:0")
    inspector = next(each["inspector"] for each in tunnel.client.events if each["event"] == "ready")
    token = (programs.folder / "home/state/trio-tunnel/inspector-token").read_text().strip()

    async def asked(path: str) -> bytes:
        auth = f"Authorization: Bearer {token}"
        command = ["curl", "--silent", "--fail", "-H", auth, f"{inspector}{path}"]
        done = await trio.run_process(command, capture_stdout=True)
        return bytes(done.stdout)

    first = await fetch(tunnel.address, "/fields?a=%2f..")
    seq = json.loads(await asked("/api/next?after=0"))["seq"]
    text = await asked("/api/exchanges/1/curl")
    again = await trio.run_process(["sh"], stdin=text, capture_stdout=True)
    assert json.loads(again.stdout) == json.loads(first.body)
    await fetch(tunnel.address, "/fields?a=%2f..")
    await asked(f"/api/next?after={seq}&path=/fields")
    found = json.loads(await asked("/api/diff?a=1&b=2"))
    assert found["status"] is None
    log = json.loads(await asked("/api/har"))["log"]
    assert [entry["request"]["url"] for entry in log["entries"]] == [
        f"http://{tunnel.address.authority}/fields?a=%2f.."
    ] * 2
