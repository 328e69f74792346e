"""Heads and bodies of HTTP/1.1, as visitors and apps send them, and as we write them."""

from __future__ import annotations

from typing import Final

from protocol.errors import HttpError
from protocol.http.bodies import ChunkedBody, body_reader
from protocol.http.fields import BodyForm, Fields, end_to_end
from protocol.http.forwarding import with_forwarding, without_tunnel_error
from protocol.http.heads import HeadBuffer, ResponseHead, parse_request, parse_response
from protocol.http.lenient import LenientChunkedBody, parse_lenient_response
from protocol.http.serialise import (
    informational_head,
    last_chunk,
    request_head,
    response_head,
    wire_framing,
)

WEBSOCKET: Final = b"websocket"
KEY: Final = b"dGhlIHNhbXBsZSBub25jZQ=="
FORMS: Final[tuple[BodyForm, ...]] = (0, 1, 7, 1000, "chunked", "until-close")


# --- heads ---------------------------------------------------------------------------------------


def heads(data: bytes, piece_bytes: int, *, is_request: bool) -> list[bytes | str]:
    """The raw heads in it, and the code of the error that ends them."""
    buffer = HeadBuffer(is_request)
    found: list[bytes | str] = []
    try:
        for at in range(0, len(data), piece_bytes):
            buffer.feed(data[at : at + piece_bytes])
            while (raw := buffer.next_head()) is not None:
                found.append(raw)
    except HttpError as error:
        found.append(error.code)
    return found


def request_heads(data: bytes) -> None:
    """Cut in the same places however it comes; each one read strictly."""
    whole = heads(data, len(data) or 1, is_request=True)
    if len(data) < 4096:
        assert heads(data, 1, is_request=True) == whole
    for raw in whole:
        if isinstance(raw, bytes):
            request_head_of(raw)


def request_head_of(raw: bytes) -> None:
    try:
        head = parse_request(raw)
        fields = end_to_end(head.fields)
    except HttpError:
        return
    assert head.target.startswith(b"/") or head.target == b"*"
    assert sum(name.lower() == b"host" for name, _ in head.fields) == 1
    for trusted in (False, True):
        told = with_forwarding(
            fields, visitor="::1", scheme="http", host="a", port=80, trusted=trusted
        )
        assert sum(name.lower() == b"x-forwarded-for" for name, _ in told) == 1
    again = request_head(head.method, head.target, fields, body=head.body, upgrade=head.upgrade)
    sent = parse_request(again)
    assert (sent.method, sent.target, sent.body) == (head.method, head.target, head.body)
    assert sent.upgrade == head.upgrade
    assert end_to_end(sent.fields) == fields


def answer_heads(data: bytes) -> None:
    """The same for answers, to each kind of request."""
    whole = heads(data, len(data) or 1, is_request=False)
    if len(data) < 4096:
        assert heads(data, 1, is_request=False) == whole
    for raw in whole:
        if isinstance(raw, bytes):
            for method, asked in ((b"GET", b""), (b"HEAD", b""), (b"GET", WEBSOCKET), (b"x", b"a")):
                answer_head_of(raw, method, asked)


def an_answer(raw: bytes, method: bytes, asked: bytes) -> ResponseHead:
    """As the client reads it: strictly first, and then leniently."""
    try:
        return parse_response(raw, method, asked, KEY)
    except HttpError as refusal:
        return parse_lenient_response(raw, method, refusal)


def answer_head_of(raw: bytes, method: bytes, asked: bytes) -> None:
    try:
        head = an_answer(raw, method, asked)
        fields = without_tunnel_error(end_to_end(head.fields))
        wire_framing(head.body, visitor_version=b"1.1", method=method, status=head.status)
    except HttpError:
        return
    if head.status < 200 and not head.upgrade:
        informational_head(head.status, head.reason, fields)
        return
    again = response_head(
        head.status,
        head.reason,
        fields,
        body=head.body,
        visitor_version=b"1.1",
        method=method,
        close=False,
        upgrade=head.upgrade,
    )
    sent = parse_response(again, method, asked, KEY)
    assert (sent.status, sent.reason, sent.upgrade) == (head.status, head.reason, head.upgrade)


def sent_heads(data: bytes) -> None:
    """What the other end of the wire may have us write: read again, it is one head and no more."""
    parts = data.split(b"\0")
    method, target, reason, *rest = (*parts, b"", b"", b"")
    fields = tuple(zip(rest[::2], rest[1::2], strict=False))
    for form in (None, *FORMS):
        try:
            raw = request_head(method, target, fields, body=form)
        except HttpError:
            pass
        else:
            head = parse_request(raw)
            assert (head.method, head.target, head.body) == (method, target, form)
            assert heads(raw, len(raw), is_request=True) in (
                [raw],
                ["head-too-large"],
                ["uri-too-long"],
            )
        answer_we_write(reason, fields, form)
    try:
        ended = last_chunk(fields)
    except HttpError:
        return
    reader = body_reader("chunked")
    try:
        assert reader.feed(ended) == b""
    except HttpError as error:
        if error.code != "head-too-large":
            raise
    else:
        assert reader.done
        assert reader.rest == b""


def answer_we_write(reason: bytes, fields: Fields, form: BodyForm) -> None:
    for version in (b"1.0", b"1.1"):
        try:
            raw = response_head(
                200, reason, fields, body=form, visitor_version=version, method=b"GET", close=True
            )
        except HttpError:
            continue
        head = parse_response(raw, b"GET")
        assert (head.reason, head.keep_alive) == (reason, False)
        assert len(head.fields) >= len(fields)


# --- bodies --------------------------------------------------------------------------------------


def bodies(data: bytes) -> None:
    """The same body in any split, never more than was announced."""
    form = FORMS[data[0] % len(FORMS)] if data else "chunked"
    whole = body_of(data[1:], form, len(data) or 1)
    if len(data) < 4096:
        for piece_bytes in (1, 2, 7):
            assert body_of(data[1:], form, piece_bytes) == whole


def loose_chunks(data: bytes) -> None:
    """An app's, read leniently: the same in any split, and no strict body is read otherwise."""
    loose = LenientChunkedBody
    whole = body_of(data, "chunked", len(data) or 1, loose)
    if len(data) < 4096:
        for piece_bytes in (1, 2, 7):
            assert body_of(data, "chunked", piece_bytes, loose) == whole
    strict = body_of(data, "chunked", len(data) or 1)
    assert isinstance(strict, str) or strict == whole


def body_of(
    data: bytes, form: BodyForm, piece_bytes: int, chunked: type[ChunkedBody] = ChunkedBody
) -> tuple[bytes, bool, bytes] | str:
    reader = body_reader(form, chunked)
    body = b""
    try:
        for at in range(0, len(data), piece_bytes):
            body += reader.feed(data[at : at + piece_bytes])
        if not reader.done:
            reader.eof()
    except HttpError as error:
        return error.code
    assert len(body) <= len(data)
    assert not isinstance(form, int) or len(body) == form
    assert form == "chunked" or body + reader.rest == data
    return body, reader.done, reader.rest


def trailers(data: bytes) -> None:
    """Of a chunked body."""
    reader = body_reader("chunked")
    try:
        reader.feed(b"0\r\n" + data)
    except HttpError:
        return
    if reader.done:
        assert last_chunk(reader.trailers).startswith(b"0\r\n")
