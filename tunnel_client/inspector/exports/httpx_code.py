"""A request as Python code for httpx."""

from __future__ import annotations

import re
from typing import Final

from tunnel_client.inspector.exports.copied_request import CopiedRequest
from tunnel_client.inspector.exports.sh_words import printable_text

_LINE_BYTES: Final = 60
# httpx resolves dots in a path, and encodes signs that other clients leave as they are.
_NORMAL: Final = re.compile(r"(?:[A-Za-z0-9/?&=:@$*+,;._~-]|%[0-9A-Fa-f]{2})*")


def httpx_code(request: CopiedRequest) -> str:
    """Return a program that sends a request to the app as this got it, with what it cannot say."""
    notes = "".join(f"# {note}\n" for note in request.notes)
    if not request.target:
        return notes
    path = "from pathlib import Path\n\n" if request.file_name else ""
    return f"{notes}{path}import httpx\n\n{_headers(request)}{_content(request)}{_sending(request)}"


def _headers(request: CopiedRequest) -> str:
    fields = request.fields
    if request.body == b"" and not request.is_chunked:
        fields = (*fields, (b"Content-Length", b"0"))
    lines = "".join(f"    ({_value(name)}, {_value(value)}),\n" for name, value in fields)
    return f"headers = [\n{lines}]\n"


def _content(request: CopiedRequest) -> str:
    if request.file_name:
        return f"content = Path({_string(request.file_name)}).read_bytes()\n"
    if not request.body:
        return ""
    text = printable_text(request.body)
    if text is not None and len(text) <= _LINE_BYTES:
        return f"content = {_string(text)}.encode()\n"
    lines = "".join(f"    {line}\n" for line in _pieces(request.body, text))
    return f"content = (\n{lines}){'.encode()' if text is not None else ''}\n"


def _pieces(body: bytes, text: str | None) -> list[str]:
    if text is None:
        return [repr(body[at : at + _LINE_BYTES]) for at in range(0, len(body), _LINE_BYTES)]
    return [
        _string(line[at : at + _LINE_BYTES])
        for line in text.splitlines(keepends=True)
        for at in range(0, len(line), _LINE_BYTES)
    ]


def _sending(request: CopiedRequest) -> str:
    url = request.base + (request.target if request.is_plain else "/")
    said = [_string(request.method), _string(url), "headers=headers"]
    if request.has_body and (request.is_chunked or request.body != b""):
        # A list is sent in chunks, bytes with their length.
        content = "content" if request.body != b"" else 'b""'
        said.append(f"content=[{content}]" if request.is_chunked else f"content={content}")
    if not (request.is_plain and _NORMAL.fullmatch(request.target)):
        target = _value(request.target.encode())
        said.append(f'extensions={{"target": {target if target[0] == "b" else "b" + target}}}')
    transport = f"httpx.HTTPTransport(uds={_string(request.unix_path)})"
    given = f"transport={transport}" if request.unix_path else "trust_env=False"
    lines = "".join(f"    {each},\n" for each in said)
    # httpx makes methods of capitals.
    named = f"request.method = {_string(request.method)}\n"
    return (
        f"request = httpx.Request(\n{lines})\n"
        f"{named if request.method != request.method.upper() else ''}"
        f"with httpx.Client({given}) as client:\n"
        f"    response = client.send(request)\n"
        f"print(response.status_code)\nprint(response.text)\n"
    )


def _value(data: bytes) -> str:
    """Return a literal: of text where it is ASCII that can be seen."""
    if data.isascii() and data.decode().isprintable():
        return _string(data.decode())
    return repr(data)


def _string(text: str) -> str:
    """Return a literal in double quotes where these need no escape."""
    said = repr(text)
    return f'"{said[1:-1]}"' if said.startswith("'") and '"' not in text else said
