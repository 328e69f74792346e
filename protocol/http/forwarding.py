"""Fields that tell the app of the visitor, and those that the app may not say for the tunnel."""

from __future__ import annotations

from protocol.errors import HttpError
from protocol.http.fields import Fields, folded, is_forwarding_name


def with_forwarding(
    fields: Fields, *, visitor: str, scheme: str, host: str, port: int, trusted: bool
) -> Fields:
    """The fields with X-Forwarded-For, -Host, -Proto and -Port at their end.

    Args:
        fields: end-to-end ones, so that `Connection: X-Forwarded-For` cannot take ours away.
        visitor: its address, without a port.
        scheme: "http" or "https", as the visitor sees it.
        host: the value of Host.
        port: of the public origin.
        trusted: the visitor is a proxy of ours. Then what it said before stands: X-Forwarded-For
            grows by its own address, and a -Host, -Proto or -Port is not said again. Spellings
            with another byte than the dash are dropped all the same: no proxy sends them, and
            many let a visitor's pass.

    Raises:
        HttpError: `bad-request`, if visitor, scheme or host is not ASCII.
    """
    ours = (
        (b"X-Forwarded-For", _ascii(visitor)),
        (b"X-Forwarded-Host", _ascii(host)),
        (b"X-Forwarded-Proto", _ascii(scheme)),
        (b"X-Forwarded-Port", b"%d" % port),
    )
    names = b"\n".join([name for name, _ in fields]).lower()
    if b"forwarded" in names or b"real" in names:  # a part of every name in question
        if trusted:
            return _extended(fields, ours)
        fields = tuple([field for field in fields if not is_forwarding_name(field[0])])
    return fields + ours


def _extended(fields: Fields, ours: Fields) -> Fields:
    """Return what a trusted proxy said, with its own address, and of ours what it did not say."""
    kept = []
    chain = []
    for field in fields:
        lower = field[0].lower()
        if lower == b"x-forwarded-for":
            chain.append(field[1])
        elif lower == folded(lower) or not is_forwarding_name(lower):
            kept.append(field)
    given = {name.lower() for name, _ in kept}
    name, visitor = ours[0]
    visitors = (name, b", ".join([*chain, visitor]))
    return (*kept, visitors, *[field for field in ours[1:] if field[0].lower() not in given])


def without_tunnel_error(fields: Fields) -> Fields:
    """The fields without Tunnel-Error, which only the tunnel's own answers carry."""
    for name, _ in fields:
        if len(name) == 12 and name.lower() == b"tunnel-error":
            return tuple(field for field in fields if field[0].lower() != b"tunnel-error")
    return fields


def _ascii(text: str) -> bytes:
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        raise HttpError("bad-request", "an address, scheme or host that is not ASCII") from None
