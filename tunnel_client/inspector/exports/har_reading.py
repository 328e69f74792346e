"""An entry of a HAR as an exchange that can be kept: believed in what can be, else refused.

HAR is written by many, so what is missing is nothing, and what is beside the format is left alone.
What is said has to be possible: an entry whose size and text differ, whose method has spaces or
whose status has letters comes from no HTTP, and would be shown as if it had.

A body is told decoded, so its Content-Encoding goes; a request's Content-Length is what it has, so
that it can be sent again.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final
from urllib.parse import quote

from protocol.http.fields import BodyForm, Fields, end_to_end
from protocol.http.grammar import HOST, METHOD, REASON
from protocol.http.limits import FIELDS_MAX, HEAD_MAX_BYTES
from protocol.mux.messages import Open
from protocol.mux.streams import HTTP, WEBSOCKET
from tunnel_client.inspector.capture.exchange import NO_CLAIM
from tunnel_client.inspector.capture.importing import (
    ImportedBody,
    ImportedExchange,
    ImportedMessage,
    ImportedTimes,
)
from tunnel_client.inspector.exports.har_messages import BINARY, TEXT
from tunnel_client.inspector.exports.har_values import HarValue

METHOD_MAX_CHARS: Final = 64
# DevTools write the time of a message in seconds since the epoch, others in milliseconds.
_EPOCH_S_MAX: Final = 1e11
_EPOCH_MS_MAX: Final = 1e13
MESSAGES_MAX: Final = 100_000

_URL: Final = re.compile(r"(?i)(https?|wss?)://([^/?#]*)([^#]*)")
_TARGET: Final = re.compile(rb"[\x21-\x7e]*")
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_VERSION: Final = re.compile(r"HTTP/1\.[01]")
# Visible ASCII stays as it is; the rest cannot stand in a request line.
_SAFE: Final = "".join(map(chr, range(0x21, 0x7F)))
_DEFLATE: Final = b"sec-websocket-extensions"


def imported_exchange(said: object) -> ImportedExchange:
    """Read an entry. Raises HarError; for a thread where it is over 64 KiB."""
    entry = HarValue(said)
    began = entry.time("startedDateTime")
    request, response = entry.object("request"), entry.object("response")
    opened, asked, posted = _request(request, entry.text("_resourceType", "") == "websocket")
    head, answered = _response(response, is_socket=opened.kind == WEBSOCKET)
    failed = ((entry, "_error"), (response, "_error"), (response, "_failureText"))
    error = next(filter(None, (place.text(name, "") for place, name in failed)), "")
    if head is None and not error:
        error = "imported without an answer"
    return ImportedExchange(
        *(began, opened, asked, posted, head, answered),
        _times(entry),
        _messages(entry, began) if opened.kind == WEBSOCKET else [],
        error or None,
    )


# --- the request ---


def _request(request: HarValue, is_socket: bool) -> tuple[Open, bytes, ImportedBody]:
    method = request.text("method").encode("utf-8", "surrogatepass")
    if len(method) > METHOD_MAX_CHARS or not METHOD.fullmatch(method):
        raise request.refusal("method", "takes a method of HTTP, of letters and no spaces")
    scheme, host, target = _url(request)
    is_socket = is_socket or scheme in ("ws", "wss")
    fields = _fields(request)
    if not any(name.lower() == b"host" for name, _ in fields):
        fields = ((b"Host", host.encode()), *fields)
    posted, is_decoded = _body(request, "postData", request.whole("bodySize", -1))
    fields, form = _framed(_without_coding(fields) if is_decoded else fields, posted)
    version = request.text("httpVersion", "").upper()
    version = version if _VERSION.fullmatch(version) else "HTTP/1.1"
    kind = WEBSOCKET if is_socket else HTTP
    sent = end_to_end(tuple(each for each in fields if each[0].lower() != b"connection"))
    opened = Open(
        *(kind, NO_CLAIM, method, target, version[5:].encode(), sent, form),
        *(scheme.replace("ws", "http"), host, "", 0),
    )
    line = b"%b %b %b" % (method, target, version.encode())
    return opened, _head(line, fields), posted


def _url(request: HarValue) -> tuple[str, str, bytes]:
    match = _URL.fullmatch(request.text("url").partition("#")[0])
    if match is None:
        raise request.refusal("url", "takes an absolute URL of http, https, ws or wss")
    host = match[2].rpartition("@")[2]
    if not HOST.fullmatch(host.encode("utf-8", "replace")):
        raise request.refusal("url", "has no host that could be asked")
    target = quote(match[3], safe=_SAFE, errors="replace").encode()
    if not _TARGET.fullmatch(target) or len(target) > HEAD_MAX_BYTES:
        raise request.refusal("url", f"takes {HEAD_MAX_BYTES} bytes at most")
    return match[1].lower(), host, target if target.startswith(b"/") else b"/" + target


def _framed(fields: Fields, body: ImportedBody) -> tuple[Fields, BodyForm]:
    """Return fields that say how long the body is, and the form of it."""
    names = [name.lower() for name, _ in fields]
    if b"transfer-encoding" in names:
        return tuple(each for each in fields if each[0].lower() != b"content-length"), "chunked"
    if not body.size_bytes and b"content-length" not in names:
        return fields, None
    length = b"%d" % body.size_bytes
    others = tuple(each for each in fields if each[0].lower() != b"content-length")
    return (*others, (b"Content-Length", length)), body.size_bytes


# --- the answer ---


def _response(response: HarValue, *, is_socket: bool) -> tuple[bytes | None, ImportedBody]:
    status = response.whole("status", most=999)
    reason = response.text("statusText", "").encode("utf-8", "surrogatepass")
    if not REASON.fullmatch(reason) or len(reason) > HEAD_MAX_BYTES:
        raise response.refusal("statusText", "has signs that no line of HTTP has")
    fields = _fields(response)
    content = response.object("content") if response.has("content") else None
    size = content.whole("size", -1) if content is not None else -1
    body, is_decoded = _body(response, "content", size, is_answer=True)
    if status <= 0:  # so the writers of HAR say that there was none
        return None, ImportedBody()
    if status < 200 and not (status == 101 and is_socket):
        raise response.refusal("status", "takes that of a final answer")
    if is_socket:
        # Messages are told decoded.
        fields = tuple(each for each in fields if each[0].lower() != _DEFLATE)
    fields = _without_coding(fields) if is_decoded else fields
    line = b"HTTP/1.1 %d %b" % (status, reason)
    return _head(line, fields), ImportedBody() if status == 101 else body


# --- both ---


def _fields(half: HarValue) -> Fields:
    fields: list[tuple[bytes, bytes]] = []
    size = 0
    for said in half.objects("headers", FIELDS_MAX):
        name = said.text("name")
        if name.startswith(":"):  # HTTP/2 has no first line, but these
            continue
        if not METHOD.fullmatch(name.encode("utf-8", "surrogatepass")):
            raise said.refusal("name", "takes the name of a field")
        # Several are written as one, with line feeds between.
        for value in said.text("value").split("\n"):
            data = value.strip().encode("utf-8", "surrogatepass")
            size += len(name) + len(data) + 4
            if not _VALUE.fullmatch(data):
                raise said.refusal("value", "has signs that no field has")
            if size > HEAD_MAX_BYTES:
                raise said.refusal("value", f"a head takes {HEAD_MAX_BYTES} bytes at most")
            fields.append((name.encode(), data))
    return tuple(fields)


def _head(line: bytes, fields: Fields) -> bytes:
    return b"\r\n".join([line, *(name + b": " + value for name, value in fields), b"", b""])


def _without_coding(fields: Fields) -> Fields:
    return tuple(each for each in fields if each[0].lower() != b"content-encoding")


def _body(
    half: HarValue, name: str, size: int, *, is_answer: bool = False
) -> tuple[ImportedBody, bool]:
    """Return a body, and whether it has been decoded."""
    wire = half.whole("bodySize", -1)
    if not half.has(name):
        return ImportedBody(b"", max(wire, 0)), False
    said = half.object(name)
    if not said.has("text"):
        # The browser did not keep it, or it is a form that is said by its fields alone.
        return ImportedBody(b"", max(wire, size, 0)), False
    data = said.body(said.text("mimeType", ""))
    said_by, size_name = (said, "size") if is_answer else (half, "bodySize")
    # Of a request that was cut the size is the true one.
    is_less = not is_answer and (size > len(data) or said.has("_cut"))
    if size >= 0 and not is_less and size not in _sizes(data, said.text("encoding", "")):
        told = f"says {size} bytes, and the text has {len(data)}"
        raise said_by.refusal(size_name, told)
    true_size = max(wire, len(data) + 1) if said.has("_cut") else len(data)
    return ImportedBody(data, true_size), bool(data) and not said.has("_coded")


def _sizes(data: bytes, encoding: str) -> Container[int]:
    """Return the sizes that a body may have had whose text has these bytes here.

    Its charset may stand in the page itself, and is not known here: a text may have had a mark
    before it, or more or less bytes for each character that is no ASCII.
    """
    size = len(data)
    if encoding:
        return (size,)
    if data.isascii():
        return (size, size + 3, 2 * size, 2 * size + 2)
    characters = len(data.decode("utf-8", "replace"))
    return range(characters, 4 * characters + 5)


# --- beside them ---


def _times(entry: HarValue) -> ImportedTimes:
    entry.number("time", -1)
    if not entry.has("timings"):
        return ImportedTimes(None)
    timings = entry.object("timings")
    names = ("blocked", "dns", "connect", "send", "wait", "receive", "ssl")
    ms = {name: timings.number(name, -1) for name in names}
    blocked, connect, send, wait, receive = (
        max(0.0, ms[name]) / 1000 for name in ("blocked", "connect", "send", "wait", "receive")
    )
    blocked += max(0.0, ms["dns"]) / 1000
    asked = blocked + connect
    return ImportedTimes(
        blocked if ms["connect"] >= 0 else None,
        *(asked, asked, asked + send, asked + send + wait, asked + send + wait + receive),
    )


def _messages(entry: HarValue, began: float) -> list[ImportedMessage]:
    found = []
    for said in entry.objects("_webSocketMessages", MESSAGES_MAX):
        kind, opcode = said.text("type"), said.whole("opcode", TEXT)
        if kind not in ("send", "receive") or opcode not in (TEXT, BINARY):
            continue  # an error, or a frame that is no message
        data = said.text("data")
        payload = (
            said.base64("data", data) if opcode == BINARY else data.encode("utf-8", "surrogatepass")
        )
        time = said.number("time", most=_EPOCH_MS_MAX)
        at_s = max(0.0, (time / 1000 if time > _EPOCH_S_MAX else time) - began)
        found.append(ImportedMessage(at_s, kind == "send", opcode, payload))
    return found
