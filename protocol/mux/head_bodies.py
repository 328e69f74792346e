"""The bodies of `open` and `head`, in each version of the wire.

Both are arrays. From version 2 on they end with a map, whose unknown keys are ignored; a key that
is not there means what version 1 did, which has no map.
"""

from __future__ import annotations

from typing import Any, Final

from protocol import VERSION
from protocol.errors import LocalProtocolError
from protocol.limits import (
    ADDRESS_MAX_CHARS,
    CODE_MAX_CHARS,
    HEAD_BODY_MAX_BYTES,
    TEXT_MAX_CHARS,
)
from protocol.mux.codec import UINT_MAX, are_fields, is_uint, pack_bounded, unpack, wrong
from protocol.mux.messages import Head, Open


def _is_request_form(value: object) -> bool:
    return value is None or is_uint(value) or (type(value) is str and value == "chunked")


def _is_answer_form(value: object) -> bool:
    return _is_request_form(value) or (type(value) is str and value == "until-close")


_OPEN_LENGTH: Final = Open._fields.index("connection")
_HEAD_LENGTH: Final = Head._fields.index("closes")
# All but the body form, which has a type of its own.
_OPEN_TYPES: Final = (str, int, bytes, bytes, bytes, tuple, str, str, str, int)


def _read_array(body: bytes, length: int, version: int) -> tuple[tuple[Any, ...], dict[Any, Any]]:
    """An array of so many members and, from version 2 on, the map behind them."""
    value = unpack(body) if len(body) <= HEAD_BODY_MAX_BYTES else None
    if type(value) is tuple:
        if version == 1 and len(value) == length:
            return value, {}
        if version > 1 and len(value) == length + 1 and type(value[length]) is dict:
            return value[:length], value[length]
    raise wrong("array")


def read_open(body: bytes, version: int = VERSION) -> Open:
    """Read the body of `open`, as this version of the wire has it. Raises RemoteProtocolError."""
    value, more = _read_array(body, _OPEN_LENGTH, version)
    connection, request = more.get("connection"), more.get("request")
    opened = Open._make((*value, connection, request, more.get("upgrade", b"")))
    if not (
        (*map(type, value[:6]), *map(type, value[7:])) == _OPEN_TYPES
        and len(opened.kind) <= CODE_MAX_CHARS
        and 0 <= opened.claim <= UINT_MAX
        and are_fields(opened.fields)
        and _is_request_form(opened.body)
        and len(opened.scheme) <= CODE_MAX_CHARS
        and len(opened.host) <= TEXT_MAX_CHARS
        and len(opened.visitor) <= ADDRESS_MAX_CHARS
        and 0 <= opened.credit <= UINT_MAX
        and ("connection" not in more or is_uint(opened.connection))
        and ("request" not in more or is_uint(opened.request))
        and type(opened.upgrade) is bytes
    ):
        raise wrong("open")
    return opened


def read_head(body: bytes, version: int = VERSION) -> Head:
    """Read the body of `head` likewise."""
    value, more = _read_array(body, _HEAD_LENGTH, version)
    closes, bound = more.get("closes", False), more.get("bound", False)
    upgrade = more.get("upgrade", b"")
    head = Head._make((*value, closes if version > 1 else None, bound, upgrade))
    if not (
        type(head.status) is int
        and 100 <= head.status <= 999
        and type(head.reason) is bytes
        and are_fields(head.fields)
        and _is_answer_form(head.body)
        and type(closes) is bool
        and type(bound) is bool
        and type(upgrade) is bytes
    ):
        raise wrong("head")
    return head


def pack_open(opened: Open, version: int = VERSION) -> bytes:
    """Pack an `open` for this version of the wire; version 1 has no place for some of it.

    Raises:
        LocalProtocolError: a head over the limits, or facts that the peer would refuse.
    """
    if not (
        _is_request_form(opened.body)
        and len(opened.host) <= TEXT_MAX_CHARS
        and len(opened.visitor) <= ADDRESS_MAX_CHARS
    ):
        raise LocalProtocolError(f"an open of {len(opened.host)} characters of host")
    if version == 1:
        return pack_bounded(opened[:_OPEN_LENGTH], opened.fields)
    more: dict[str, int | bytes] = {}
    if opened.connection is not None:
        more["connection"] = opened.connection
    if opened.request is not None:
        more["request"] = opened.request
    if opened.upgrade:
        more["upgrade"] = opened.upgrade
    return pack_bounded((*opened[:_OPEN_LENGTH], more), opened.fields)


def pack_head(head: Head, version: int = VERSION) -> bytes:
    """Pack a `head` likewise."""
    if not (100 <= head.status <= 999 and _is_answer_form(head.body)):
        raise LocalProtocolError(f"a head with status {head.status} and body {head.body!r}")
    if version == 1:
        return pack_bounded(head[:_HEAD_LENGTH], head.fields)
    more: dict[str, bool | bytes] = {}
    if head.closes:
        more["closes"] = True
    if head.bound:
        more["bound"] = True
    if head.upgrade:
        more["upgrade"] = head.upgrade
    return pack_bounded((*head[:_HEAD_LENGTH], more), head.fields)
