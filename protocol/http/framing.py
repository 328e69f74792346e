"""What heads of both kinds say about themselves: their fields, the body, the connection."""

from __future__ import annotations

from typing import Final

import h11

from protocol.errors import HttpError
from protocol.http import grammar
from protocol.mux.messages import BodyForm, Fields

# Fields that decide about framing, the connection or the route. No other is looked into.
_NOTABLE: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)


def h11_event(connection: h11.Connection, raw: bytes) -> object:
    """What h11 makes of a whole head that the strict grammar has passed.

    Raises:
        HttpError: `bad-request`.
    """
    connection.receive_data(raw)
    try:
        return connection.next_event()
    except h11.RemoteProtocolError as error:
        # The grammar leaves it only errors that quote nothing of the head: Host and framing.
        raise HttpError("bad-request", str(error)) from None


def notable(fields: Fields) -> dict[bytes, bytes]:
    """The notable fields by lower-case name; repeats are joined, as RFC 9110 5.3 allows."""
    seen: dict[bytes, bytes] = {}
    for name, value in fields:
        lower = name.lower()
        if lower in _NOTABLE:
            seen[lower] = seen[lower] + b"," + value if lower in seen else value
    return seen


def announced_body(seen: dict[bytes, bytes], version: bytes, raw: bytes) -> BodyForm:
    """The body form by the framing fields alone (RFC 9112 6.3).

    Args:
        seen: the notable fields.
        version: b"1.0" or b"1.1".
        raw: the head that they are from.

    Raises:
        HttpError: `bad-request`, for more than one framing, or one that is not ours.
    """
    if b"transfer-encoding" in seen:
        if b"content-length" in seen:
            raise HttpError("bad-request", "both Transfer-Encoding and Content-Length")
        # h11 0.16 lets no other coding through, but that is for us to promise.
        if version == b"1.0" or seen[b"transfer-encoding"].lower() != b"chunked":
            raise HttpError("bad-request", "Transfer-Encoding that is not chunked in HTTP/1.1")
        return "chunked"
    return _content_length(raw) if b"content-length" in seen else None


def _content_length(raw: bytes) -> int:
    """From the raw head: h11 makes one field of equal ones, and one number of `5, 5`."""
    lines = raw.lower().split(b"\r\ncontent-length:")
    length = grammar.LENGTH_LINE.match(lines[1])
    if len(lines) != 2 or length is None:
        raise HttpError("bad-request", "Content-Length is not one number of at most 18 digits")
    return int(length[1])


def keeps_alive(options: list[bytes], current: bool) -> bool:
    """Whether a connection may live on (RFC 9112 9.3).

    Args:
        options: what Connection lists, in lower case.
        current: the version is 1.1.
    """
    return b"close" not in options and (current or b"keep-alive" in options)
