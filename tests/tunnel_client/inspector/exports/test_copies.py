from __future__ import annotations

import ast
import gzip
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.exchange_fakes import KEY, a_head, a_snapshot, kept_exchange
from tunnel_client.inspector.capture.snapshot import ExchangeSnapshot, snapshot_of
from tunnel_client.inspector.exports.copied_request import (
    BODY_MAX_BYTES,
    CopiedRequest,
    copied_request,
)
from tunnel_client.inspector.exports.curl import curl_command
from tunnel_client.inspector.exports.httpx_code import httpx_code
from tunnel_client.inspector.exports.sh_words import printf_format, sh_word
from tunnel_client.inspector.shown.masking import Masks

APP = "http://localhost:3000"
SECRET = b"sk-abcdefgh12345678"
JSON = b"Content-Type: application/json"


def copied(exchange: ExchangeSnapshot, *, secrets: bool = False) -> CopiedRequest:
    return copied_request(exchange, APP, Masks(KEY, is_on=not secrets))


async def test_a_get_is_a_short_command() -> None:
    exchange = await a_snapshot(a_head(b"GET /a%2fb?x=1 HTTP/1.1", b"Host: app", b"Accept: */*"))
    assert curl_command(copied(exchange)) == (
        "curl --globoff --path-as-is --http1.1 \\\n"
        "  -H 'Host: app' \\\n"
        "  -H 'Accept: */*' \\\n"
        "  -H 'User-Agent:' \\\n"
        "  'http://localhost:3000/a%2fb?x=1'\n"
    )


async def test_a_post_as_python() -> None:
    head = a_head(b"POST /hook HTTP/1.1", b"Host: app", JSON, b"Content-Length: 8")
    exchange = await a_snapshot(head, b'{"a": 1}')
    assert httpx_code(copied(exchange)) == (
        "import httpx\n\n"
        "headers = [\n"
        '    ("Host", "app"),\n'
        '    ("Content-Type", "application/json"),\n'
        "]\n"
        "content = '{\"a\": 1}'.encode()\n"
        "request = httpx.Request(\n"
        '    "POST",\n'
        '    "http://localhost:3000/hook",\n'
        "    headers=headers,\n"
        "    content=content,\n"
        ")\n"
        "with httpx.Client(trust_env=False) as client:\n"
        "    response = client.send(request)\n"
        "print(response.status_code)\n"
        "print(response.text)\n"
    )


async def test_secrets_are_masked_in_every_place_unless_they_are_asked_for() -> None:
    head = a_head(
        *(b"POST /hook?token=" + SECRET + b" HTTP/1.1", b"Host: app", JSON),
        *(b"Authorization: Bearer " + SECRET, b"Cookie: sid=" + SECRET, b"Content-Length: 99"),
    )
    exchange = await a_snapshot(head, b'{"api_key": "%b", "n": 1}' % SECRET)
    for said in (curl_command(copied(exchange)), httpx_code(copied(exchange))):
        assert SECRET.decode() not in said
        assert said.startswith("# Secrets are masked, 4 of them")
        assert "Authorization" in said
        assert "Bearer" in said
    for said in (
        curl_command(copied(exchange, secrets=True)),
        httpx_code(copied(exchange, secrets=True)),
    ):
        assert said.count(SECRET.decode()) == 4
        assert "#" not in said


async def test_what_cannot_be_said_is_said_to_be_missing() -> None:
    chunked = a_head(b"POST / HTTP/1.1", b"Host: app", b"Transfer-Encoding: chunked")
    exchange = await kept_exchange(chunked, b"data", trailers=((b"X-Sum", b"1"),))
    said = curl_command(copied(snapshot_of(exchange)))
    assert "# Its body came in chunks" in said
    assert "# It had 1 fields behind its body" in said
    assert "-H 'Transfer-Encoding: chunked'" in said
    socket = a_head(b"GET /live HTTP/1.1", b"Host: app", b"Upgrade: websocket")
    exchange = await kept_exchange(socket, kind="websocket", head=None)
    for form in (curl_command, httpx_code):
        said = form(copied(snapshot_of(exchange)))
        assert said == "# Request 1 is a WebSocket: this cannot say its messages.\n"
    exchange = await kept_exchange(None, head=None, error="nothing listens there")
    assert curl_command(copied(snapshot_of(exchange))).startswith("# Request 1 has not reached")


async def test_a_body_that_is_too_long_to_paste_is_in_a_file() -> None:
    for size, is_file in ((BODY_MAX_BYTES, False), (BODY_MAX_BYTES + 1, True)):
        head = a_head(b"POST / HTTP/1.1", b"Host: app", b"Content-Length: %d" % size)
        exchange = await a_snapshot(head, b"x" * size)
        said = curl_command(copied(exchange))
        assert ("--data-binary @request-1.bin" in said) is is_file
        assert ("download it in the inspector, as request-1.bin" in said) is is_file
        said = httpx_code(copied(exchange))
        assert ('content = Path("request-1.bin").read_bytes()' in said) is is_file


async def test_a_packed_body_that_is_not_looked_through_to_its_end_is_left_to_a_download() -> None:
    packed = gzip.compress(b'{"a": "' + b"x" * 1_200_000 + b'", "token": "%b"}' % SECRET)
    fields = (JSON, b"Content-Encoding: gzip", b"Content-Length: %d" % len(packed))
    exchange = await a_snapshot(a_head(b"POST / HTTP/1.1", b"Host: app", *fields), packed)
    said = curl_command(copied(exchange))
    assert "--data-binary @request-1.bin" in said
    assert "longer than is looked through for secrets: download request-1.bin" in said
    assert "Content-Encoding" not in said.partition("curl")[2]
    assert "printf" in curl_command(copied(exchange, secrets=True))


async def test_a_body_that_was_not_kept_whole_says_so() -> None:
    size = 1024 * 1024 + 1
    head = a_head(b"POST / HTTP/1.1", b"Host: app", b"Content-Length: %d" % size)
    exchange = await a_snapshot(head, b"x" * size)
    assert "# Its body is not whole, over 1 MiB" in curl_command(copied(exchange))


@pytest.mark.parametrize("form", [curl_command, httpx_code])
async def test_notes_hold_nothing_that_a_shell_would_read(form: object) -> None:
    """zsh knows no comments where a person types."""
    assert callable(form)
    head = a_head(b"POST /?token=" + SECRET + b" HTTP/1.1", b"Transfer-Encoding: chunked")
    exchange = await kept_exchange(head, b"x" * 1_100_000, trailers=((b"`id`", b"1"),))
    notes = [line for line in form(copied(snapshot_of(exchange))).split("\n") if line[:1] == "#"]
    assert len(notes) >= 4
    for note in notes:
        assert not set("'\"`$()&|;<>*?[]{}!\\~") & set(note)


@given(st.binary())
def test_a_format_of_printf_is_printable_and_one_word(data: bytes) -> None:
    said = printf_format(data)
    assert said.isprintable()
    assert "'" not in said[1:-1]
    assert said[0] == said[-1] == "'"


@given(st.binary().filter(lambda data: b"\0" not in data and not data.endswith(b"\n")))
def test_a_word_of_the_shell_is_printable(data: bytes) -> None:
    assert sh_word(data).isprintable()


@given(st.binary(min_size=1, max_size=300), st.sampled_from(["POST", "get"]))
def test_python_code_says_the_bytes(data: bytes, method: str) -> None:
    fields = ((b"X-Data", data.replace(b"\n", b"").strip()),)
    request = CopiedRequest(
        APP, "", method, "/\u2022", "HTTP/1.1", False, fields, False, data, "", []
    )
    code = ast.parse(httpx_code(request)).body
    found: dict[str, Any] = {}
    exec(compile(ast.Module(code[1:3], []), "copied", "exec"), found)
    assert found["content"] == data
    [(name, value)] = found["headers"]
    assert name == "X-Data"
    assert (value.encode() if isinstance(value, str) else value) == fields[0][1]
