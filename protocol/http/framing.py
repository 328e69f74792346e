"""The framing that a head of either kind announces: its fields, the body, the connection."""

from __future__ import annotations

from typing import Final

from protocol.errors import HttpError
from protocol.http import grammar
from protocol.http.fields import BodyForm, Fields

# Fields that decide about framing, the connection or the route. No other is looked into.
_NOTABLE: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"host",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)


def read_fields(lines: bytes) -> Fields:
    """The fields of well-formed field lines, without the whitespace around their values.

    Args:
        lines: that match the grammar's field lines, each with its CRLF.
    """
    fields = grammar.FIELD.findall(lines)
    if b" \r\n" in lines or b"\t\r\n" in lines:
        fields = [(name, value.rstrip(b" \t")) for name, value in fields]
    return tuple(fields)


def notable(fields: Fields) -> list[tuple[bytes, bytes]]:
    """The notable fields, their names in lower case."""
    lower_names = [(name.lower(), value) for name, value in fields]
    return [field for field in lower_names if field[0] in _NOTABLE]


def joined(fields: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The fields by name; repeats are joined, as RFC 9110 5.3 allows for lists."""
    seen: dict[bytes, bytes] = {}
    for name, value in fields:
        seen[name] = seen[name] + b"," + value if name in seen else value
    return seen


def announced_body(seen: dict[bytes, bytes], version: bytes) -> BodyForm:
    """The body form by the framing fields alone (RFC 9112 6.3).

    Args:
        seen: the notable fields, joined.
        version: b"1.0" or b"1.1".

    Raises:
        HttpError: `bad-request`, for more than one framing, or one that is not ours.
    """
    if b"transfer-encoding" in seen:
        if b"content-length" in seen:
            raise HttpError("bad-request", "both Transfer-Encoding and Content-Length")
        if version == b"1.0" or seen[b"transfer-encoding"].lower() != b"chunked":
            raise HttpError("bad-request", "Transfer-Encoding that is not chunked in HTTP/1.1")
        return "chunked"
    if b"content-length" not in seen:
        return None
    if not grammar.LENGTH.fullmatch(seen[b"content-length"]):  # a repeat has put a comma there
        raise HttpError("bad-request", "Content-Length is not one number of at most 18 digits")
    return int(seen[b"content-length"])


def keeps_alive(options: list[bytes], current: bool) -> bool:
    """Whether a connection may live on (RFC 9112 9.3).

    Args:
        options: what Connection lists, in lower case.
        current: the version is 1.1.
    """
    return b"close" not in options and (current or b"keep-alive" in options)
