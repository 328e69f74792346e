"""The request that a replay sends, made of what was kept of one and of what somebody changed.

Where nothing of its fields was changed they are the visitor's, and go the way of all once more: the
identity makes the app's of them. Who changes fields has seen them as the app got them, so those go
as they are written. Length and chunks are made here, always: a stale Content-Length is the classic
fault of tools that send again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from protocol.errors import HttpError, TunnelError
from protocol.http.fields import Fields
from protocol.http.heads import end_to_end
from protocol.http.serialise import request_head
from protocol.mux.messages import Open
from protocol.mux.streams import HTTP
from tunnel_client.inspector.capture.exchange import KeptExchange
from tunnel_client.inspector.shown.masking import MASK, TAG_DIGITS, Masks
from tunnel_client.inspector.web.heads import head_parts, text

_MASKED: Final = re.compile(f"{MASK}[0-9a-f]{{{TAG_DIGITS}}}")
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_CODING: Final = b"content-encoding"


class ReplayRefused(TunnelError):
    """A request that cannot be sent again; its text says why, and what to do."""


class ReplayChanges(NamedTuple):
    """The parts of a request that somebody has written; None: it is as it was.

    Fields:
        fields: names and values as they were shown, masks among them.
    """

    method: str | None = None
    target: str | None = None
    fields: list[tuple[str, str]] | None = None
    body: bytes | None = None


NO_CHANGES: Final = ReplayChanges()


class ReplayedRequest(NamedTuple):
    """A request that can be sent.

    Fields:
        number: of the exchange that it repeats.
        trailers: behind its body.
        as_written: its fields are those that the app is to get.
    """

    number: int
    opened: Open
    body: bytes
    trailers: Fields
    as_written: bool


def replayed_request(exchange: KeptExchange, changes: ReplayChanges, key: bytes) -> ReplayedRequest:
    """Return the request of an exchange, changed so.

    Args:
        key: of the run's masks: values that were left masked keep what they hide.

    Raises:
        ReplayRefused: it is not kept whole, or what was written is no request.
    """
    opened = exchange.opened
    if opened.kind != HTTP:
        raise ReplayRefused("a WebSocket, or another upgrade, is not sent again")
    body = _body(exchange) if changes.body is None else changes.body
    hidden = _Hidden(exchange, key)
    fields = opened.fields if changes.fields is None else hidden.fields(changes.fields)
    if changes.body is not None:
        opened, fields = _with_body(opened, fields, body)
    elif changes.fields is not None:
        fields = _framed(fields, opened)
    opened = opened._replace(
        method=opened.method if changes.method is None else _ascii("method", changes.method),
        target=opened.target if changes.target is None else hidden.target(changes.target),
        fields=fields,
        connection=None,
        request=None,
    )
    _check(opened)
    trailers = exchange.request.trailers if opened.body == "chunked" else ()
    return ReplayedRequest(exchange.id, opened, body, trailers, changes.fields is not None)


def _body(exchange: KeptExchange) -> bytes:
    """Return the whole body as it came. Raises ReplayRefused."""
    form, body = exchange.opened.body, exchange.request.body
    if form in (None, 0):
        return b""
    if body is not None and body.why_not:
        raise ReplayRefused(
            f"its body is not kept whole ({body.why_not}): edit it, and write one, to send it"
        )
    data = b"" if body is None else body.data()
    is_short = len(data) < form if isinstance(form, int) else not exchange.is_request_whole
    if is_short:
        raise ReplayRefused("its visitor did not send all of its body: edit it, and write one")
    return data


def _with_body(opened: Open, fields: Fields, body: bytes) -> tuple[Open, Fields]:
    """Return a request with another body: without a coding, and chunked if it was."""
    fields = tuple(field for field in fields if field[0].lower() != _CODING)
    if opened.body != "chunked":
        has_none = opened.body is None and not body
        opened = opened._replace(body=None if has_none else len(body))
    return opened, _framed(fields, opened)


def _framed(fields: Fields, opened: Open) -> Fields:
    """Return the fields with the length that holds; chunks are said by whoever writes the head."""
    fields = tuple(field for field in fields if field[0].lower() not in _FRAMING)
    if isinstance(opened.body, int):
        return (*fields, (b"Content-Length", b"%d" % opened.body))
    return fields


def _check(opened: Open) -> None:
    fields = end_to_end(opened.fields)
    try:
        request_head(opened.method, opened.target, fields, body=opened.body)
    except HttpError as error:
        raise ReplayRefused(f"this is no request of HTTP: {error}") from None


def _ascii(what: str, said: str) -> bytes:
    try:
        return said.encode("ascii")
    except UnicodeEncodeError:
        raise ReplayRefused(f"{what}: it has to be ASCII; write other characters as %XX") from None


class _Recording(Masks):
    """Masks that know what they hide."""

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self.hidden: dict[str, str] = {}

    def mask(self, value: str) -> str:
        shown = super().mask(value)
        self.hidden[shown] = value
        return shown


class _Hidden:
    """The values of one request that were shown masked, or as text though they are none."""

    def __init__(self, exchange: KeptExchange, key: bytes) -> None:
        masks = _Recording(key)
        masks.query(text(exchange.opened.target))
        self._shown: dict[tuple[str, str], tuple[bytes, bytes]] = {}
        head = exchange.request.head
        parts = head_parts(head)
        masks.query(parts.line)
        for (name, value), raw in zip(parts.fields, _raw_fields(head), strict=False):
            self._shown[name, masks.field(name, value)] = raw
        self._values: Mapping[str, str] = masks.hidden

    def __repr__(self) -> str:
        return f"<_Hidden {len(self._values)} values>"

    def fields(self, written: list[tuple[str, str]]) -> Fields:
        """Return what fields mean; one that is as it was shown is what it was."""
        return tuple(self._shown.get(field) or self._field(*field) for field in written)

    def target(self, written: str) -> bytes:
        """Return what a target means."""
        return _ascii("path", self._unmasked(written))

    def _field(self, name: str, value: str) -> tuple[bytes, bytes]:
        return _ascii("a field's name", name), self._unmasked(value).encode()

    def _unmasked(self, written: str) -> str:
        return _MASKED.sub(self._value, written)

    def _value(self, found: re.Match[str]) -> str:
        value = self._values.get(found[0])
        if value is None:
            raise ReplayRefused(f"nothing of this request is hidden behind {found[0]}: write it")
        return value


def _raw_fields(head: bytes | None) -> Fields:
    """Return the fields of a head as bytes: the app got them, so each is one line."""
    lines = (head or b"").split(b"\r\n")[1:-2]
    parts = (line.partition(b":") for line in lines)
    return tuple((name, value.strip(b" \t")) for name, _, value in parts)
