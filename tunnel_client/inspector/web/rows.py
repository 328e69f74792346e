"""An exchange as one row of the list, and in full; secrets are masked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from tunnel_client.inspector.capture.body import Body
from tunnel_client.inspector.capture.exchange import NO_CLAIM, Half, KeptExchange, Marks
from tunnel_client.inspector.shown.masking import Masks
from tunnel_client.inspector.shown.signed_times import SignedTime, signed_time
from tunnel_client.inspector.web.heads import content_type, head_parts, text

Json = dict[str, Any]

PATH_CHARS: Final = 500  # of a row; the details have the rest

_KINDS: Final = frozenset({"http", "websocket", "upgrade"})


def row_of(exchange: KeptExchange, masks: Masks) -> Json:
    """Return the row, in 15 us: a page that is open asks for one of each request."""
    opened, sizes_bytes = exchange.opened, exchange.sizes_bytes
    answer, frames = exchange.answer_head, exchange.frames
    path = masks.query(text(opened.target))
    return {
        "id": exchange.id,
        "seq": exchange.seq,
        "kind": opened.kind if opened.kind in _KINDS else "http",
        "method": text(opened.method),
        "path": path if len(path) <= PATH_CHARS else f"{path[:PATH_CHARS]}\u2026",
        "status": exchange.status,
        "state": exchange.state,
        "began": utc(exchange.began),
        "ms": ms(exchange.ended_s),
        "bytes_in": sizes_bytes[0],
        "bytes_out": sizes_bytes[1],
        "type": content_type(answer),
        "visitor": opened.visitor,
        "error": exchange.error,
        "replay_of": exchange.replay_of,
        "imported": opened.claim == NO_CLAIM and exchange.replay_of is None,
        "messages_in": frames.messages[0] if frames is not None else None,
        "messages_out": frames.messages[1] if frames is not None else None,
    }


def details_of(exchange: KeptExchange, masks: Masks, now_s: float) -> Json:
    """Return all but the bodies and frames; `now_s` is in seconds since the epoch."""
    marks = exchange.marks
    return {
        **row_of(exchange, masks),
        "path": masks.query(text(exchange.opened.target)),
        "request": _half(exchange.request, masks),
        "answer": _half(exchange.answer, masks),
        "informational": [_head(head, masks) for head in exchange.informational],
        "timing": _timing(marks),
        "reused": marks.reused,
        "retried": marks.retried,
        "ended_by": exchange.ended_by,
        "ended_how": None if exchange.frames is None else exchange.frames.ended_how,
        "signature": _signature(exchange, now_s),
    }


def field_value(half: Half, index: int) -> str | None:
    """Return the value of a field as it came; None: there is no such field."""
    fields = head_parts(half.head).fields
    return fields[index][1] if 0 <= index < len(fields) else None


def ms(seconds: float | None) -> float | None:
    """Return seconds as milliseconds, to a tenth."""
    return None if seconds is None else round(seconds * 1000, 1)


def utc(epoch: float) -> str:
    """Return seconds since the epoch as `2026-01-31T10:24:03.123Z`."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def signature_of(exchange: KeptExchange) -> SignedTime | None:
    """Return the signature of a webhook; None: it has none that is known."""
    return signed_time([(text(name), text(value)) for name, value in exchange.opened.fields])


def _signature(exchange: KeptExchange, now_s: float) -> Json | None:
    found = signature_of(exchange)
    if found is None:
        return None
    return {
        "by": found.by,
        "signed": None if found.signed_s is None else utc(found.signed_s),
        "limit_s": found.limit_s,
        "message": found.message(now_s),
    }


def _half(half: Half, masks: Masks) -> Json | None:
    if half.head is None:
        return None
    trailers = [(text(name), text(value)) for name, value in half.trailers]
    return {
        **_head(half.head, masks),
        "trailers": _fields(trailers, masks),
        "body": _body(half.head, half.body),
    }


def _head(head: bytes, masks: Masks) -> Json:
    parts = head_parts(head)
    return {"line": _line(parts.line, masks), "fields": _fields(parts.fields, masks)}


def _line(line: str, masks: Masks) -> str:
    """Mask the query of a request's target, which is the word between the two others."""
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):
        return line
    return f"{words[0]} {masks.query(words[1])} {words[2]}"


def _fields(fields: list[tuple[str, str]], masks: Masks) -> list[list[str | bool]]:
    shown: list[list[str | bool]] = []
    for name, value in fields:
        masked = masks.field(name, value)
        shown.append([name, masked, masked != value])
    return shown


def _body(head: bytes, body: Body | None) -> Json | None:
    if body is None:
        return None
    parts = head_parts(head)
    return {
        "size": body.size_bytes,
        "kept": len(body.data()),
        "whole": body.is_whole,
        "why": body.why_not,
        "coding": parts.joined("content-encoding") or None,
        "type": parts.first("content-type") or None,
    }


def _timing(marks: Marks) -> dict[str, float | None]:
    return {name: ms(getattr(marks, name)) for name in _TIMES}


_TIMES: Final = (
    *("connecting", "connected", "head_sent", "body_sent"),
    *("answer_head", "first_byte", "last_byte", "ended"),
)
