"""A request as a copy of it says it: masked, and with what the copy cannot have said in words."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from protocol.http.fields import Fields
from protocol.mux.streams import HTTP
from tunnel_client.inspector.capture.snapshot import ExchangeSnapshot, HalfSnapshot
from tunnel_client.inspector.shown.masked_bodies import masked_body
from tunnel_client.inspector.shown.masking import Masks
from tunnel_client.inspector.web.heads import text

# A longer one is no text to paste; it is in a file that the inspector's page makes.
BODY_MAX_BYTES: Final = 64 * 1024

# What all URL parsers leave as it is: no dots that they resolve, no signs that they encode.
_PLAIN_TARGET: Final = re.compile(r"(?!//)/(?!.*/\.)[A-Za-z0-9/?&=%:@!$'()*+,;._~-]*")


class CopiedRequest(NamedTuple):
    """A request to the app itself, as that got it.

    Fields:
        base: scheme and authority of the URL; the app's.
        unix_path: of the socket that it listens at; "": it listens at a port.
        target: "" where the copy cannot be made; `notes` say why.
        is_plain: any client sends the target as it is in a URL.
        fields: without those by which the body is framed.
        body: None: it has none, or it is in the file.
        file_name: that has the body; "": none has.
        notes: for people, each a line of letters, digits and few signs: a shell may read them.
    """

    base: str
    unix_path: str
    method: str
    target: str
    version: str
    is_plain: bool
    fields: Fields
    is_chunked: bool
    body: bytes | None
    file_name: str
    notes: list[str]

    @property
    def has_body(self) -> bool:
        """Whether there is a body, be it in the copy or in a file."""
        return self.body is not None or bool(self.file_name)


def copied_request(exchange: ExchangeSnapshot, target: str, masks: Masks) -> CopiedRequest:
    """Return the request of an exchange.

    Args:
        target: of the tunnel: the app.
    """
    unix_path = target.removeprefix("unix:") if target.startswith("unix:") else ""
    base = "http://localhost" if unix_path else target.rstrip("/")
    request = exchange.request
    if request is None:
        return _none(base, f"Request {exchange.id} has not reached the app.")
    if exchange.opened.kind != HTTP:
        kind = "a WebSocket" if exchange.opened.kind == "websocket" else "no HTTP behind its head"
        return _none(base, f"Request {exchange.id} is {kind}: this cannot say its messages.")
    return _copied(exchange.id, request, base, unix_path, masks)


def _copied(
    number: int, request: HalfSnapshot, base: str, unix_path: str, masks: Masks
) -> CopiedRequest:
    method, said_target, version = (text(word) for word in request.line.split(b" ", 2))
    body = _body(number, request, masks)
    target = masks.query(said_target)
    fields = _fields(request, masks, drops_coding=body.is_decoded)
    notes = [*body.notes, *_notes(request)]
    if masks.count:
        notes.insert(0, f"Secrets are masked, {masks.count} of them: the app will not know these.")
    elif body.is_unseen:
        notes.insert(0, "Secrets that the body may have are not masked.")
    is_plain = _PLAIN_TARGET.fullmatch(target) is not None
    return CopiedRequest(
        *(base, unix_path, method, target, version, is_plain, fields),
        *(request.is_chunked, body.data, body.file_name, notes),
    )


def _none(base: str, note: str) -> CopiedRequest:
    return CopiedRequest(base, "", "", "", "", False, (), False, None, "", [note])


class _CopiedBody(NamedTuple):
    data: bytes | None
    file_name: str
    is_decoded: bool
    is_unseen: bool
    notes: list[str]


def _body(number: int, request: HalfSnapshot, masks: Masks) -> _CopiedBody:
    """Return the body; as it came where nothing in it is masked."""
    is_framed = request.is_chunked or bool(request.all(b"content-length"))
    if not request.size_bytes:
        return _CopiedBody(b"" if is_framed else None, "", False, False, [])
    coding = request.joined(b"content-encoding")
    is_cut = request.why_not is not None
    found = masked_body(request.data, request.content_type, coding, masks, is_cut=is_cut)
    notes: list[str] = []
    if request.why_not:
        kept = f"the first {len(request.data)} of {request.size_bytes} bytes"
        notes.append(f"Its body is not whole, {request.why_not}: here are {kept}.")
    name = f"request-{number}.bin"
    if coding and found.is_cut and not is_cut and not found.masked and masks.is_on:
        notes.append(f"Its body is longer than is looked through for secrets: download {name}.")
        return _CopiedBody(None, name, True, False, notes)
    data = found.data if found.masked else request.data
    is_decoded = bool(found.masked and coding)
    if is_decoded:
        notes.append("Its body is decoded, as secrets in it are masked.")
    if len(data) <= BODY_MAX_BYTES:
        return _CopiedBody(data, "", is_decoded, found.problem is not None, notes)
    notes.append(f"Its body has {len(data)} bytes: download it in the inspector, as {name}.")
    if coding and not is_decoded:
        notes.append("A download is decoded: so there is no Content-Encoding here.")
    return _CopiedBody(None, name, bool(coding), False, notes)


def _fields(request: HalfSnapshot, masks: Masks, *, drops_coding: bool) -> Fields:
    dropped = {b"content-length", b"transfer-encoding"}
    if drops_coding:
        dropped.add(b"content-encoding")
    return tuple(
        (name, _masked(name, value, masks))
        for name, value in request.fields
        if name.lower() not in dropped
    )


def _masked(name: bytes, value: bytes, masks: Masks) -> bytes:
    """Return a value as it came where it is no secret: it may be no UTF-8."""
    said = text(value)
    shown = masks.field(text(name), said)
    return value if shown == said else shown.encode()


def _notes(request: HalfSnapshot) -> list[str]:
    notes = []
    if request.is_chunked:
        notes.append("Its body came in chunks: where they ended is not kept.")
    if request.trailers:
        notes.append(f"It had {len(request.trailers)} fields behind its body, which are left out.")
    return notes
