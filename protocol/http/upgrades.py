"""Upgrade: the protocols that a request asks for, and the one that a 101 names (RFC 9110 7.8).

WebSocket is one of them and has rules of its own: it is asked for by a GET without a body, with a
key that the 101 answers (RFC 6455 4). Any other protocol crosses on which visitor and app agree,
and nobody here knows it. Two never do: HTTP, of any version and by any name, is requests once more,
for which an intermediary has to answer itself, and TLS would be ours to end (RFC 2817).
"""

from __future__ import annotations

from typing import Final

from protocol.errors import HttpError
from protocol.http import grammar
from protocol.http.fields import BodyForm, Fields, elements, values_of
from protocol.http.websocket import accept_for

WEBSOCKET: Final = b"websocket"

# Of an Upgrade, empty ones too; one or two are usual. Of more none is asked for: Upgrade may be
# ignored (RFC 9110 7.8), and no list has to be read to its end (5.6.1.2). 31 KiB of commas took
# 17 ms of the processor.
MEMBERS_MAX: Final = 16

# By the name before the version, in lower case. WebSocket without its rules is none.
_NEVER: Final = frozenset({b"h2", b"http", b"tls", WEBSOCKET})

# `h2c` (RFC 7540 3.1), and what drafts and servers of their time call it: `h2c-14`, `h2-14`.
_HTTP_2: Final = (b"h2c", b"h2-")


def asked_by(method: bytes, value: bytes, options: list[bytes], body: BodyForm) -> bytes:
    """The protocols that a request of HTTP/1.1 asks for, as its app gets them; b"" for none.

    Args:
        method: of the request.
        value: of its Upgrade, joined if there were several.
        options: what its Connection lists, in lower case.
        body: of the request. A length of 0 is none.

    Raises:
        HttpError: `bad-request`: a WebSocket handshake with a body.
    """
    if b"upgrade" not in options or _is_too_long(value):
        return b""
    if method != b"GET" or WEBSOCKET not in elements(value):
        return crossing(value)
    if body not in (None, 0):
        raise HttpError("bad-request", "a WebSocket handshake with a body")
    return WEBSOCKET


def crossing(value: bytes) -> bytes:
    """Those protocols of an Upgrade that may cross, in their order and spelling; not WebSocket."""
    if _is_too_long(value):
        return b""
    members = [member.strip(b" \t") for member in value.split(b",")]
    return b", ".join([member for member in members if _may_cross(member)])


def _is_too_long(value: bytes) -> bool:
    return value.count(b",") >= MEMBERS_MAX


def _may_cross(protocol: bytes) -> bool:
    name = protocol.lower().partition(b"/")[0]
    if name in _NEVER or name.startswith(_HTTP_2):
        return False
    return grammar.PROTOCOL.fullmatch(protocol) is not None


def choice(asked: bytes, named: bytes) -> bytes:
    """The protocol that a 101 names, which must be one of those that were asked for.

    Args:
        asked: as `asked_by` returned them.
        named: the value of the 101's Upgrade.

    Raises:
        HttpError: `bad-request`: it is none of them, or more than one.
    """
    if not named or named.lower() not in elements(asked):
        raise HttpError("bad-request", "a 101 that does not switch to what was asked for")
    return named


def check_accept(key: bytes, fields: Fields) -> None:
    """Raises HttpError, `bad-request`: a 101 that does not answer this key (RFC 6455 4.1)."""
    if values_of(fields, b"sec-websocket-accept") != [accept_for(key)]:
        raise HttpError("bad-request", "a 101 with a wrong Sec-WebSocket-Accept")


def check_no_framing(names: list[bytes]) -> None:
    """Raises HttpError, `bad-request`: a 101 whose fields say something of a body.

    Readers differ in what is that body, and what the other protocol (RFC 9110 8.6, RFC 9112 6.1).

    Args:
        names: of its fields, in lower case.
    """
    if b"content-length" in names or b"transfer-encoding" in names:
        raise HttpError("bad-request", "a 101 with Content-Length or Transfer-Encoding")
