"""Exchanges as entries of HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/).

What is beside the format is as Chromium's DevTools write it: `_resourceType`, `_error`. A body is
told decoded, and says in `comment` what of it is missing; `_cut` says that to who reads it back.
Secrets are masked, and the size of a masked body is that of what stands there.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, quote

from protocol.mux.streams import WEBSOCKET
from tunnel_client.inspector.capture.exchange import Marks
from tunnel_client.inspector.capture.snapshot import ExchangeSnapshot, HalfSnapshot
from tunnel_client.inspector.exports.har_texts import Said, said_body
from tunnel_client.inspector.shown.masked_bodies import FORM, MaskedBody, masked_body
from tunnel_client.inspector.shown.masking import Masks
from tunnel_client.inspector.shown.media_types import media_type
from tunnel_client.inspector.web.heads import text

UNKNOWN: Final = -1  # HAR's word for a size or a time
# Of a URL: what is masked has other signs, which no URL holds.
_URL_SIGNS: Final = "".join(map(chr, range(0x21, 0x7F)))


def har_entry(exchange: ExchangeSnapshot, masks: Masks) -> Said:
    """Return one entry; for a thread where bodies are over 64 KiB.

    Args:
        masks: fresh for this one, as their count is told.
    """
    timings = _timings(exchange.marks)
    entry: Said = {
        "startedDateTime": datetime.fromtimestamp(exchange.began, UTC).isoformat(),
        "time": round(sum(each for each in timings.values() if each > 0), 3),
        "request": _request(exchange, masks),
        "response": _response(exchange, masks),
        "cache": {},
        "timings": timings,
    }
    if exchange.opened.kind == WEBSOCKET:
        entry["_resourceType"] = "websocket"
    notes = [] if exchange.is_over else ["It was under way."]
    if masks.count:
        notes.append(f"{masks.count} values are masked.")
    return entry | ({"comment": " ".join(notes)} if notes else {})


def _timings(marks: Marks) -> dict[str, float]:
    """Return the phases: `blocked` is the wait for the tunnel, `connect` that for the app."""
    asked = _first(marks.head_sent, marks.ended, 0.0)
    connect = UNKNOWN / 1000
    if marks.connecting is not None and marks.connected is not None:
        connect = max(0.0, marks.connected - marks.connecting)
    sent = max(asked, _first(marks.body_sent, asked))
    head = max(sent, _first(marks.answer_head, marks.ended, sent))
    end = max(head, _first(marks.ended, marks.last_byte, head))
    phases = {
        "blocked": max(0.0, asked - max(0.0, connect)),
        "dns": UNKNOWN / 1000,
        "connect": connect,
        "send": sent - asked,
        "wait": head - sent,
        "receive": end - head,
        "ssl": UNKNOWN / 1000,
    }
    return {name: round(seconds * 1000, 3) for name, seconds in phases.items()}


def _first(*times: float | None) -> float:
    return next(time for time in times if time is not None)


# --- the request ---


def _request(exchange: ExchangeSnapshot, masks: Masks) -> Said:
    opened, request = exchange.opened, exchange.request
    target = text(opened.target)
    version = f"HTTP/{text(opened.version)}"
    if request is not None:
        _, target, version = (text(word) for word in request.line.split(b" ", 2))
    fields = opened.fields if request is None else request.fields
    url = masks.query(f"{_scheme(exchange)}://{opened.host}{_path(target)}")
    said: Said = {
        "method": text(opened.method),
        "url": quote(url, safe=_URL_SIGNS),
        "httpVersion": version,
        "cookies": _cookies(fields, masks),
        "headers": _headers(fields, masks),
        "queryString": _query(url),
        "headersSize": _head_bytes(request),
        "bodySize": 0 if request is None else request.size_bytes,
    }
    return said if request is None or not request.size_bytes else said | _posted(request, masks)


def _scheme(exchange: ExchangeSnapshot) -> str:
    scheme = exchange.opened.scheme
    return scheme.replace("http", "ws", 1) if exchange.opened.kind == WEBSOCKET else scheme


def _path(target: str) -> str:
    """Return a target as the end of a URL: `*`, and what else is no path, stands behind a slash."""
    return target if target.startswith("/") else f"/{target}"


def _query(url: str) -> list[Said]:
    pairs = parse_qsl(url.partition("?")[2], keep_blank_values=True)
    return [{"name": name, "value": value} for name, value in pairs]


def _posted(request: HalfSnapshot, masks: Masks) -> Said:
    body = _body(request, masks)
    mime_type = request.content_type
    posted: Said = {"mimeType": mime_type, **said_body(body, mime_type), **_missing(request, body)}
    if media_type(mime_type).name == FORM and body.text is not None:
        pairs = parse_qsl(body.text, keep_blank_values=True)
        posted["params"] = [{"name": name, "value": value} for name, value in pairs]
    # As of an answer's content: the size of what stands here, but of what was cut the true one.
    size = len(body.data) if request.why_not is None else request.size_bytes
    return {"postData": posted, "bodySize": size}


# --- the answer ---


def _response(exchange: ExchangeSnapshot, masks: Masks) -> Said:
    said = dict(_NO_ANSWER) if exchange.answer is None else _answered(exchange.answer, masks)
    return said if exchange.error is None else said | {"_error": exchange.error}


_NO_ANSWER: Final = {
    "status": 0,
    "statusText": "",
    "httpVersion": "",
    "cookies": [],
    "headers": [],
    "content": {"size": 0, "mimeType": "x-unknown"},
    "redirectURL": "",
    "headersSize": UNKNOWN,
    "bodySize": UNKNOWN,
}


def _answered(answer: HalfSnapshot, masks: Masks) -> Said:
    version, status, *reason = text(answer.line).split(" ", 2)
    return {
        "status": int(status),
        "statusText": "".join(reason),
        "httpVersion": version,
        "cookies": _set_cookies(answer, masks),
        "headers": _headers(answer.fields, masks),
        "content": _content(answer, masks),
        "redirectURL": masks.beside().query(answer.joined(b"location")),
        "headersSize": _head_bytes(answer),
        "bodySize": answer.size_bytes,
    }


def _content(answer: HalfSnapshot, masks: Masks) -> Said:
    mime_type = answer.content_type or "x-unknown"
    body = _body(answer, masks)
    said: Said = {"size": len(body.data), "mimeType": mime_type}
    if answer.size_bytes:
        said |= said_body(body, answer.content_type) | _missing(answer, body)
        if answer.why_not is None and not body.masked and answer.joined(b"content-encoding"):
            said["compression"] = len(body.data) - answer.size_bytes
    return said


# --- both ---


def _body(half: HalfSnapshot, masks: Masks) -> MaskedBody:
    is_cut = half.why_not is not None
    coding = half.joined(b"content-encoding")
    return masked_body(half.data, half.content_type, coding, masks, is_cut=is_cut)


def _missing(half: HalfSnapshot, body: MaskedBody) -> Said:
    said: Said = {}
    notes = []
    if half.why_not is not None:
        notes.append(f"{half.why_not}: {len(half.data)} of {half.size_bytes} bytes are here.")
        said["_cut"] = half.why_not
    elif body.is_cut:
        notes.append("Its decoded form is longer than what stands here.")
        said["_cut"] = "decoded"
    if body.problem:
        notes.append(f"It is not decoded: {body.problem}.")
        said["_coded"] = True
    if body.masked:
        notes.append(f"{body.masked} values are masked.")
    return said | ({"comment": " ".join(notes)} if notes else {})


def _headers(fields: tuple[tuple[bytes, bytes], ...], masks: Masks) -> list[Said]:
    pairs = ((text(name), text(value)) for name, value in fields)
    return [{"name": name, "value": masks.field(name, value)} for name, value in pairs]


def _cookies(fields: tuple[tuple[bytes, bytes], ...], masks: Masks) -> list[Said]:
    quiet = masks.beside()
    values = [text(value) for name, value in fields if name.lower() == b"cookie"]
    said = [quiet.field("cookie", value).split(";") for value in values]
    return [_cookie(pair) for pairs in said for pair in pairs if pair.strip()]


def _set_cookies(answer: HalfSnapshot, masks: Masks) -> list[Said]:
    quiet = masks.beside()
    values = [quiet.field("set-cookie", text(value)) for value in answer.all(b"set-cookie")]
    return [_set_cookie(value) for value in values]


def _cookie(pair: str) -> Said:
    name, _, value = pair.strip().partition("=")
    return {"name": name, "value": value}


def _set_cookie(value: str) -> Said:
    first, *rest = value.split(";")
    given = {name.strip().lower(): said for name, _, said in (each.partition("=") for each in rest)}
    said = _cookie(first)
    for name in ("path", "domain"):
        if name in given:
            said[name] = given[name]
    return said | {"httpOnly": "httponly" in given, "secure": "secure" in given}


def _head_bytes(half: HalfSnapshot | None) -> int:
    if half is None:
        return UNKNOWN
    fields = sum(len(name) + len(value) + 4 for name, value in half.fields)
    return len(half.line) + fields + 4
