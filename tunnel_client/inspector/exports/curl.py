"""A request as a command of curl, for a POSIX shell."""

from __future__ import annotations

import re
from typing import Final

from tunnel_client.inspector.exports.copied_request import CopiedRequest
from tunnel_client.inspector.exports.sh_words import (
    printable_text,
    printf_format,
    quoted,
    sh_word,
)

# Fields that curl adds by itself; one that was not there is taken away by its bare name.
_ADDED: Final = (b"User-Agent", b"Accept")
_ADDED_TO_BODIES: Final = (b"Content-Type", b"Expect")
_WORD_MAX_BYTES: Final = 64 * 1024  # Linux takes no longer one than 128 KiB (MAX_ARG_STRLEN)
_PLAIN_METHODS: Final = ("GET", "HEAD")
_UNPACKED: Final = re.compile(rb"(?i)\b(?:gzip|deflate)\b")
_NEXT: Final = " \\\n  "


def curl_command(request: CopiedRequest) -> str:
    """Return a command that sends a request to the app as this got it, with what it cannot say."""
    notes = list(request.notes)
    if not request.target:
        return _said(notes)
    is_head = request.method == "HEAD"
    if is_head and request.has_body:
        notes.append("curl sends no body with HEAD: it is left out.")
        request = request._replace(body=None, file_name="")
    parts = ["curl --globoff --path-as-is " + _version(request)]
    if is_head:
        parts.append("--head")
    elif request.method not in _PLAIN_METHODS or request.has_body:
        parts.append(f"-X {sh_word(request.method.encode())}")
    parts += _fields(request)
    before, body = _body(request)
    parts += body
    if request.unix_path:
        parts.append(f"--unix-socket {sh_word(request.unix_path.encode())}")
    parts += _url(request)
    return _said(notes) + before + _NEXT.join(parts) + "\n"


def _said(notes: list[str]) -> str:
    return "".join(f"# {note}\n" for note in notes)


def _version(request: CopiedRequest) -> str:
    return "--http1.0" if request.version == "HTTP/1.0" else "--http1.1"


def _fields(request: CopiedRequest) -> list[str]:
    there = {name.lower() for name, _ in request.fields}
    words = [
        f"-H {sh_word(name + b': ' + value if value else name + b';')}"
        for name, value in request.fields
    ]
    added = (*_ADDED, *(_ADDED_TO_BODIES if request.has_body else ()))
    words += [f"-H {quoted(name.decode() + ':')}" for name in added if name.lower() not in there]
    if request.is_chunked:
        words.append("-H 'Transfer-Encoding: chunked'")
    # The field is sent as it is; with this curl unpacks what it gets.
    if any(
        name.lower() == b"accept-encoding" and _UNPACKED.search(v) for name, v in request.fields
    ):
        words.append("--compressed")
    return words


def _body(request: CopiedRequest) -> tuple[str, list[str]]:
    """Return what stands before the command, and its words."""
    if request.file_name:
        return "", [f"--data-binary @{request.file_name}"]
    if request.body is None:
        return "", []
    text = printable_text(request.body)
    if text is not None and len(request.body) <= _WORD_MAX_BYTES:
        return "", [f"--data-raw {quoted(text)}"]
    return f"printf {printf_format(request.body)} |\n", ["--data-binary @-"]


def _url(request: CopiedRequest) -> list[str]:
    if request.is_plain:
        return [quoted(request.base + request.target)]
    return [f"--request-target {sh_word(request.target.encode())}", quoted(request.base + "/")]
