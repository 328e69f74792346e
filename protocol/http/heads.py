"""Heads of requests and answers: raw bytes in, checked records out.

Every head is judged three times, each for what it does best. A regular expression holds the raw
bytes to the strict grammar and takes them apart, in received order, case and repeats: h11's own
parser takes bare LF, obs-fold and control bytes. Then h11 judges the parts that decide about route,
framing and connection, as the fields of an event of its own. Then come the rules that h11 does not
have: one Content-Length, Host and target, what Connection may list, what an upgrade is.

h11 gets an event and no connection, and of its fields only the notable ones. A connection would
split once more what is split already, and costs three times as much (13 us against 4 for a head
with Host alone, 38 against 4 for one with twelve more fields). A test compares what is read here
with what a connection reads.
"""

from __future__ import annotations

from typing import NamedTuple

import h11

from protocol.errors import HttpError
from protocol.http import grammar
from protocol.http.fields import (
    BodyForm,
    Fields,
    connection_options,
    elements,
    end_to_end,
)
from protocol.http.framing import announced_body, joined, keeps_alive, notable, read_fields
from protocol.http.head_buffer import HeadBuffer
from protocol.http.upgrades import WEBSOCKET, asked_by, check_accept, check_no_framing, choice

__all__ = [
    "HeadBuffer",
    "RequestHead",
    "ResponseHead",
    "end_to_end",
    "parse_request",
    "parse_response",
]


class RequestHead(NamedTuple):
    """A visitor's request, all of it checked."""

    method: bytes
    target: bytes  # in origin-form, or b"*"
    version: bytes  # b"1.0" or b"1.1"
    fields: Fields  # as received, hop-by-hop ones included
    host: bytes  # the value of Host
    body: BodyForm  # None, a length or "chunked"
    keep_alive: bool  # the visitor lets the connection live on
    upgrade: bytes  # the protocols that the app is asked for; b"" for none
    te_trailers: bool  # it sent `TE: trailers`


class ResponseHead(NamedTuple):
    """An origin's answer, informational or final, all of it checked."""

    status: int
    reason: bytes
    version: bytes  # b"1.0" or b"1.1"
    fields: Fields  # as received, hop-by-hop ones included
    body: BodyForm  # None for 1xx, 204, 304 and to HEAD, whatever the fields announce
    keep_alive: bool  # the connection may be used again when the body has ended
    upgrade: bytes  # the protocol that follows a 101; b"" behind any other status


# --- requests ------------------------------------------------------------------------------------


def parse_request(raw: bytes) -> RequestHead:
    """Read a whole head with its empty line, as HeadBuffer cuts it.

    Raises:
        HttpError: `bad-request`; `version-not-supported` for any HTTP but 1.0 and 1.1;
            `method-not-supported` for CONNECT; `unknown-host` for 1.0 without Host.
    """
    parts = grammar.REQUEST_HEAD.fullmatch(raw)
    if parts is None:
        raise _why_no_request(raw)
    method, target, version, lines = parts.groups()
    if method == b"CONNECT":
        raise HttpError("method-not-supported", "CONNECT is for forward proxies")
    fields = read_fields(lines)
    judged = notable(fields)
    seen = joined(judged)
    body = announced_body(seen, version)
    try:
        h11.Request(method=method, target=target, headers=judged, http_version=version)
    except h11.LocalProtocolError as error:
        raise _refused_by_h11(error) from None
    host = _host(seen)
    if not target.startswith(b"/"):
        target = _origin_form(method, target, host)
    options = connection_options(seen[b"connection"]) if b"connection" in seen else []
    current = version == b"1.1"
    return RequestHead(
        method,
        target,
        version,
        fields,
        host,
        body,
        keeps_alive(options, current),
        asked_by(method, seen[b"upgrade"], options, body)
        if current and b"upgrade" in seen
        else b"",
        b"te" in seen and current and b"trailers" in elements(seen[b"te"]),
    )


def _refused_by_h11(error: h11.LocalProtocolError) -> HttpError:
    # The grammar leaves it only errors that quote nothing of the head: Host and framing.
    return HttpError("bad-request", str(error))


def _why_no_request(raw: bytes) -> HttpError:
    line = grammar.REQUEST_LINE.match(raw)
    if line is None:
        return HttpError("bad-request", "the first line is not METHOD TARGET HTTP/1.1")
    if line[3] not in (b"1.0", b"1.1"):
        return HttpError("version-not-supported", "only HTTP/1.0 and HTTP/1.1 are spoken here")
    return _why_no_fields(raw)


def _why_no_fields(raw: bytes) -> HttpError:
    if raw.count(b"\r\n") != raw.count(b"\n") or raw.count(b"\r\n") != raw.count(b"\r"):
        return HttpError("bad-request", "a line of the head does not end in CR LF")
    return HttpError("bad-request", "a line of the head is not NAME: VALUE, or has control bytes")


def _host(seen: dict[bytes, bytes]) -> bytes:
    """The one Host; h11 has refused two, and none in HTTP/1.1 (RFC 9112 3.2)."""
    host = seen.get(b"host")
    if host is None:
        raise HttpError("unknown-host", "a request without Host reaches no tunnel")
    if not grammar.HOST.fullmatch(host):
        raise HttpError("bad-request", "Host is not HOST or HOST:PORT")
    return host


def _origin_form(method: bytes, target: bytes, host: bytes) -> bytes:
    """Return the origin-form of a target that does not begin with a slash (RFC 9112 3.2)."""
    if target == b"*" and method == b"OPTIONS":
        return target
    absolute = grammar.ABSOLUTE_FORM.fullmatch(target)
    if absolute is None:
        raise HttpError("bad-request", "the target is neither a path nor an http or https URL")
    authority, path = absolute.groups()
    if authority.lower() != host.lower():
        raise HttpError("bad-request", "the target names another host than Host")
    if path.startswith(b"/"):
        return bytes(path)
    # RFC 9112 3.2.4: what asks about the whole server without naming a path.
    return b"*" if method == b"OPTIONS" and not path else b"/" + path


# --- answers -------------------------------------------------------------------------------------


def parse_response(raw: bytes, method: bytes, asked: bytes = b"", key: bytes = b"") -> ResponseHead:
    """Read the whole head of an answer with its empty line, as HeadBuffer cuts it.

    Args:
        raw: the head.
        method: of the request that it answers.
        asked: the protocols that the request asked for.
        key: its Sec-WebSocket-Key, if it asked for WebSocket.

    Raises:
        HttpError: `bad-request`, for anything that HTTP/1.1 or our rules do not allow, and for a
            101 that was not asked for or does not answer what was.
    """
    parts = grammar.RESPONSE_HEAD.fullmatch(raw)
    if parts is None:
        raise _why_no_response(raw)
    version, digits, reason, lines = parts.groups(b"")
    status = int(digits)
    fields = read_fields(lines)
    judged = notable(fields)
    seen = joined(judged)
    body = announced_body(seen, version)
    event = h11.InformationalResponse if status < 200 else h11.Response
    try:
        event(status_code=status, headers=judged, http_version=version, reason=reason)
    except h11.LocalProtocolError as error:
        raise _refused_by_h11(error) from None
    if status < 200 or status in (204, 304) or method == b"HEAD":
        body = None
    elif body is None:
        body = "until-close"
    options = connection_options(seen[b"connection"]) if b"connection" in seen else []
    current = version == b"1.1"
    upgrade = b""
    if status == 101:
        upgrade = _protocol_of(fields, seen, options, asked if current else b"", key)
    return ResponseHead(
        status,
        reason,
        version,
        fields,
        body,
        body != "until-close" and keeps_alive(options, current),
        upgrade,
    )


def _why_no_response(raw: bytes) -> HttpError:
    if grammar.STATUS_LINE.match(raw) is None:
        return HttpError("bad-request", "the first line is not HTTP/1.1 STATUS REASON")
    return _why_no_fields(raw)


def _protocol_of(
    fields: Fields, seen: dict[bytes, bytes], options: list[bytes], asked: bytes, key: bytes
) -> bytes:
    """Return what a 101 switches to. Raises HttpError: it is no answer to what was asked."""
    if not asked or (asked == WEBSOCKET and not key):
        raise HttpError("bad-request", "a 101 that was not asked for")
    if b"upgrade" not in options:
        raise HttpError("bad-request", "a 101 whose Connection does not list upgrade")
    named = choice(asked, seen.get(b"upgrade", b""))
    if asked == WEBSOCKET:
        check_accept(key, fields)
    else:
        check_no_framing(list(seen))
    return named
