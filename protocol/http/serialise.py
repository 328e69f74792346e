"""Heads and chunks as they leave, in received order and case.

What is written here may come from the other end of the wire, which is not trusted: every method,
target, name, value and reason is held to the strict grammar again, and a length to the body that
follows. Whatever does not fit raises HttpError(`bad-request`), and nothing is written of it.

Fields are joined to one block, which one regular expression checks. That is sound because names are
known to have no byte but those of a token, and the block has as many LF as there are fields: so no
field is more than one line, and no line's name ends but where the field's does.
"""

from __future__ import annotations

from typing import Final, Literal

from protocol.errors import HttpError
from protocol.http import grammar
from protocol.http.fields import HOP_BY_HOP, BodyForm, Fields, crossing_trailers
from protocol.http.upgrades import WEBSOCKET, crossing

Framing = Literal["none", "length", "chunked", "until-close"]
"""The end of a body on this hop."""

_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"

# By (upgrade, te_trailers, close). RFC 9110 10.1.4: TE is for one hop, and Connection has to say
# so. An upgrade does not close.
_REQUEST_CONNECTION: Final = {
    (False, False, False): b"",
    (False, False, True): b"Connection: close\r\n",
    (False, True, False): b"Connection: TE\r\nTE: trailers\r\n",
    (False, True, True): b"Connection: close, TE\r\nTE: trailers\r\n",
    (True, False, False): b"Connection: Upgrade\r\nUpgrade: %b\r\n",
    (True, True, False): b"Connection: Upgrade, TE\r\nUpgrade: %b\r\nTE: trailers\r\n",
}


def request_head(
    method: bytes,
    target: bytes,
    fields: Fields,
    *,
    body: BodyForm,
    te_trailers: bool = False,
    upgrade: bytes = b"",
    close: bool = False,
) -> bytes:
    """A request in HTTP/1.1, whatever the visitor spoke.

    Args:
        method: any but CONNECT.
        target: in origin-form, or `*` with OPTIONS.
        fields: end-to-end ones, with one Host, and Content-Length if `body` is a length.
        body: None, a length or "chunked"; of a WebSocket handshake none, or 0.
        te_trailers: write `TE: trailers`.
        upgrade: the protocols to ask for; b"" for none.
        close: say that the connection ends with the answer; not with `upgrade`.

    Raises:
        HttpError: `bad-request`, or `method-not-supported` for CONNECT.
    """
    if not grammar.METHOD.fullmatch(method):
        raise _wrong("method")
    if method == b"CONNECT":
        raise HttpError("method-not-supported", "CONNECT is for forward proxies")
    if not grammar.ORIGIN_FORM.fullmatch(target) and (target, method) != (b"*", b"OPTIONS"):
        raise _wrong("target")
    if body == "until-close":
        raise _wrong("body for a request")
    hop = _REQUEST_CONNECTION[bool(upgrade), te_trailers, close]
    if upgrade:
        _check_asked(upgrade, method, body)
        hop %= upgrade
    names, block = _field_block(fields)
    _check_length(fields, names, body)
    if names.count(b"host") != 1 or not grammar.HOST.fullmatch(fields[names.index(b"host")][1]):
        raise _wrong("Host")
    return b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % (
        method,
        target,
        block,
        _CHUNKED if body == "chunked" else b"",
        hop,
    )


def response_head(
    status: int,
    reason: bytes,
    fields: Fields,
    *,
    body: BodyForm,
    visitor_version: bytes,
    method: bytes,
    close: bool | None,
    upgrade: bytes = b"",
) -> bytes:
    """The head of a final answer, or of the 101 to an upgrade, framed for this hop.

    Args:
        status: 200 to 999, or 101.
        reason: the phrase.
        fields: end-to-end ones, with Content-Length if `body` is a length.
        body: the form it has on the wire; wire_framing() says what becomes of it here.
        visitor_version: of the request, b"1.0" or b"1.1".
        method: of the request.
        close: the connection ends with this answer; None: nothing is said of that.
        upgrade: the protocol that follows, if this is the 101; else b"".

    Raises:
        HttpError: `bad-request`.
    """
    framing = wire_framing(body, visitor_version=visitor_version, method=method, status=status)
    if (status < 200 or upgrade) and not (status == 101 and upgrade):
        raise _wrong("status for a final answer")
    line, fields = _status_line(status, reason), _without_forbidden_length(status, fields)
    names, block = _field_block(fields)
    if framing != "none":
        _check_length(fields, names, body)
    elif b"content-length" in names:
        _one_length(fields, names)
    if upgrade:
        if not grammar.PROTOCOL.fullmatch(upgrade):
            raise _wrong("Upgrade")
        hop = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % upgrade
    elif close or (framing == "until-close" and close is not None):
        hop = b"Connection: close\r\n"
    else:  # RFC 9112 9.3: without it an HTTP/1.0 visitor expects the end
        kept = close is not None and visitor_version == b"1.0"
        hop = b"Connection: keep-alive\r\n" if kept else b""
    return b"%b%b%b%b\r\n" % (line, block, _CHUNKED if framing == "chunked" else b"", hop)


def informational_head(status: int, reason: bytes, fields: Fields) -> bytes:
    """A 1xx answer other than 101, without framing.

    Raises:
        HttpError: `bad-request`.
    """
    if not 100 <= status < 200 or status == 101:
        raise _wrong("status for an informational answer")
    block = _field_block(_without_forbidden_length(status, fields))[1]
    return b"%b%b\r\n" % (_status_line(status, reason), block)


def wire_framing(body: BodyForm, *, visitor_version: bytes, method: bytes, status: int) -> Framing:
    """The framing that response_head() chooses: what the visitor's HTTP has for this body form.

    Raises:
        HttpError: `bad-request`, for an answer without a body form where HTTP has a body.
    """
    if status < 200 or status in (204, 304) or method == b"HEAD":
        return "none"
    if body is None:
        raise _wrong("body for an answer")
    if isinstance(body, int):
        return "length"
    return "until-close" if visitor_version == b"1.0" else "chunked"


def chunk(data: bytes) -> bytes:
    """One chunk. Without data it is empty, because a chunk of 0 bytes would be the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def last_chunk(trailers: Fields = ()) -> bytes:
    """The end of a chunked body, with those trailers that may cross.

    Raises:
        HttpError: `bad-request`.
    """
    if not trailers:
        return b"0\r\n\r\n"
    return b"0\r\n%b\r\n" % _field_block(crossing_trailers(trailers))[1]


def _check_asked(upgrade: bytes, method: bytes, body: BodyForm) -> None:
    """Raises HttpError, `bad-request`: this may not be asked for, or not by such a request."""
    if upgrade != WEBSOCKET and crossing(upgrade) != upgrade:
        raise _wrong("Upgrade")
    if upgrade == WEBSOCKET and (method != b"GET" or body not in (None, 0)):
        raise _wrong("body for a request")


def _field_block(fields: Fields) -> tuple[list[bytes], bytes]:
    """The names in lower case, and the lines as they leave."""
    names = [name.lower() for name, _ in fields]
    block = b"\r\n".join([*map(b": ".join, fields), b""])
    if (
        not grammar.NAME_BYTES.fullmatch(b"".join(names))
        or not grammar.LINES_TO_SEND.fullmatch(block)
        or block.count(b"\n") != len(fields)
    ):
        raise _wrong("field")
    if not HOP_BY_HOP.isdisjoint(names):
        raise _wrong("field: one for a single hop")
    return names, block


def _check_length(fields: Fields, names: list[bytes], body: BodyForm) -> None:
    """Content-Length must say what the body form says, and nothing if that has no length."""
    if isinstance(body, int):
        if _one_length(fields, names) != body:
            raise _wrong("Content-Length: not that of the body")
    elif b"content-length" in names:
        raise _wrong("Content-Length for a body without length")


def _one_length(fields: Fields, names: list[bytes]) -> int:
    if names.count(b"content-length") != 1:
        raise _wrong("Content-Length: none, or more than one")
    value = fields[names.index(b"content-length")][1]
    if not grammar.LENGTH.fullmatch(value):
        raise _wrong("Content-Length")
    return int(value)


def _without_forbidden_length(status: int, fields: Fields) -> Fields:
    """RFC 9110 8.6: 1xx and 204 have no Content-Length; apps send `0` all the same."""
    if status >= 200 and status != 204:
        return fields
    return tuple(field for field in fields if field[0].lower() != b"content-length")


def _status_line(status: int, reason: bytes) -> bytes:
    if not 100 <= status <= 999 or not grammar.REASON.fullmatch(reason):
        raise _wrong("status or reason")
    return b"HTTP/1.1 %d %b\r\n" % (status, reason)


def _wrong(what: str) -> HttpError:
    """Values are not quoted: they may be secrets."""
    return HttpError("bad-request", f"the other end of the tunnel sent a wrong {what}")
