"""Fields that the person sets or removes: `--request-header` and its likes.

What is set replaces all fields of that name, at the end of the head; given twice, both stand there.
Fields that say how a message is framed, or that belong to one hop, are not to be had: a wrong one
would let two programs read two different messages out of the same bytes. Nor is Tunnel-Hops: one
request would go round for ever in a tunnel that leads to itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from protocol.errors import ConfigError
from protocol.http import grammar
from protocol.http.fields import HOP_BY_HOP, Fields

_NAME: Final = grammar.METHOD  # a token, both (RFC 9110 5.1, 9.1)
_FRAMING: Final = HOP_BY_HOP | {b"content-length", b"trailer"}
_HOPS: Final = b"tunnel-hops"  # by which a tunnel that leads to itself is noticed
_WHY_NOT: Final = "the tunnel writes it, or the app alone may"
_HANDSHAKE: Final = b"sec-websocket-"  # between the visitor and the app


@dataclass(frozen=True)
class HeaderEdits:
    """The fields to set, and those to remove. Values may be secrets."""

    set: Fields = field(default=(), repr=False)
    removed: frozenset[bytes] = frozenset()

    def apply(self, fields: Fields) -> Fields:
        """The fields as the person wants them."""
        if not (self.set or self.removed):
            return fields
        gone = self.removed.union(name.lower() for name, _ in self.set)
        return (*[field for field in fields if field[0].lower() not in gone], *self.set)


NO_EDITS: Final = HeaderEdits()


def parse_edits(
    lines: Iterable[str], set_key: str, names: Iterable[str], remove_key: str, *, forbidden: str
) -> HeaderEdits:
    """Read what was given.

    Args:
        lines: `Name: value` each.
        set_key: where they are from, for errors.
        names: what to remove.
        remove_key: where those are from.
        forbidden: one more name that may not be edited, in lower case.

    Raises:
        ConfigError: what is no field, or one that may not be edited.
    """
    fields = tuple(_field(line, set_key) for line in lines)
    removed = frozenset(_name(name, remove_key) for name in names)
    for name, _ in fields:
        _check_name(name.lower(), set_key, forbidden)
    for lower in removed:
        _check_name(lower, remove_key, forbidden)
    return HeaderEdits(fields, removed)


def _field(line: str, key: str) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(":")
    encoded = value.strip(" \t").encode("utf-8", "surrogateescape")
    if not colon or not _NAME.fullmatch(_ascii(name)) or not grammar.REASON.fullmatch(encoded):
        # The value is not shown: it may be a secret.
        raise ConfigError(key, "takes a header field as 'Name: value', on one line")
    return name.encode("ascii"), encoded


def _name(name: str, key: str) -> bytes:
    if not _NAME.fullmatch(_ascii(name)):
        raise ConfigError(key, "takes the name of a header field")
    return name.lower().encode("ascii")


def _ascii(text: str) -> bytes:
    return text.encode("ascii") if text.isascii() else b""


def _check_name(lower: bytes, key: str, forbidden: str) -> None:
    if lower == b"host":
        raise ConfigError(key, "takes any field but not Host; --host-header sets it")
    if (
        lower in _FRAMING
        or lower == _HOPS
        or lower.startswith(_HANDSHAKE)
        or lower.decode() == forbidden
    ):
        raise ConfigError(key, f"takes any field but not {lower.decode()}: {_WHY_NOT}")
