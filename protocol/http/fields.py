"""Header fields: those that go on, and those of one connection alone (RFC 9110 7.6.1)."""

from __future__ import annotations

from typing import Final, Literal

from protocol.errors import HttpError

BodyForm = int | Literal["chunked", "until-close"] | None
"""The end of a body on the wire it came from: its length, chunked, by closing; or there is none."""

Fields = tuple[tuple[bytes, bytes], ...]
"""Header fields in received order and case, repeats included."""

HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"http2-settings",  # RFC 7540 3.2.1: Connection has to list it, and not all who send it do
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)

# What Connection must not take away: without them a message has another meaning, or another end.
_NEVER_LISTED: Final = frozenset({b"host", b"content-length"})

# In trailers they would come too late, or reach a program that joins trailers to the head
# (RFC 9110 6.5.1): framing, routing, authentication, cookies, and what only the tunnel may say.
_NOT_IN_TRAILERS: Final = HOP_BY_HOP | {
    b"content-length",
    b"trailer",
    b"host",
    b"authorization",
    b"www-authenticate",
    b"authentication-info",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-authentication-info",
    b"cookie",
    b"cookie2",
    b"set-cookie",
    b"set-cookie2",
    b"tunnel-error",
}

# CGI, and WSGI after it, makes one name of all that differ in such bytes alone (RFC 3875 4.1.18).
_FOLDED: Final = bytes(
    ord(char) if (char := chr(code).lower()).isascii() and char.isalnum() else ord("-")
    for code in range(256)
)


def elements(value: bytes) -> list[bytes]:
    """The members of a comma-separated value, in lower case; empty ones may be among them."""
    return [member.strip(b" \t") for member in value.lower().split(b",")]


def values_of(fields: Fields, lower_name: bytes) -> list[bytes]:
    """The values of every field with this name, in order."""
    return [value for name, value in fields if name.lower() == lower_name]


def connection_options(value: bytes) -> list[bytes]:
    """Return the options that Connection lists, in lower case.

    Raises:
        HttpError: `bad-request`, if it lists Host or Content-Length.
    """
    options = elements(value)
    if not _NEVER_LISTED.isdisjoint(options):
        raise HttpError("bad-request", "Connection lists Host or Content-Length")
    return options


def end_to_end(fields: Fields) -> Fields:
    """The fields that go on: all but the hop-by-hop ones and those that Connection lists.

    Forwarding fields go on though they are listed: a visitor whose Connection a proxy passes on
    would take away what that proxy says of it.

    Raises:
        HttpError: `bad-request`, if Connection lists Host or Content-Length.
    """
    names = [name.lower() for name, _ in fields]
    if HOP_BY_HOP.isdisjoint(names):
        return fields
    dropped = HOP_BY_HOP
    if b"connection" in names:
        listed = frozenset().union(*map(connection_options, values_of(fields, b"connection")))
        dropped = HOP_BY_HOP | {name for name in listed if not is_forwarding_name(name)}
    return tuple([field for field in fields if field[0].lower() not in dropped])


def folded(name: bytes) -> bytes:
    """The name as programs behind CGI know it: in lower case, all but letters and digits as `-`."""
    return name.translate(_FOLDED)


def is_forwarding_name(name: bytes) -> bool:
    """Whether a name says who the visitor is, in any spelling: `X.Forwarded_For` does as well."""
    name = folded(name)
    return name.startswith(b"x-forwarded") or name in (b"forwarded", b"x-real-ip")


def crossing_trailers(trailers: Fields) -> Fields:
    """The trailers that go on: without those that belong in a head, in any spelling."""
    kept = []
    for name, value in trailers:
        if folded(name) not in _NOT_IN_TRAILERS and not is_forwarding_name(name):
            kept.append((name, value))
    return tuple(kept)
