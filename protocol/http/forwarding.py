"""Fields that tell the app of the visitor, and those that the app may not say for the tunnel."""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Final

from protocol.errors import HttpError
from protocol.http.fields import Fields, is_forwarding_name

# What proxies say of a visitor by their own files of configuration, or by default. Any other that
# begins so (X-Forwarded-User, -Email, -Client-Cert) most of them pass on as the visitor wrote it.
KNOWN: Final = frozenset(
    {
        *(b"forwarded", b"x-real-ip", b"x-forwarded-for"),
        *(b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port"),
    }
)


# Servers that a request has been through. A tunnel may lead to another tunnel's server, and that
# to a third; one that leads to itself would take all of its streams for one request.
HOPS_MAX: Final = 3
_HOPS: Final = b"Tunnel-Hops"


def with_forwarding(
    fields: Fields,
    *,
    visitor: str,
    scheme: str,
    host: str,
    port: int,
    trusted: bool,
    known: Set[bytes] = KNOWN,
    dropped: Callable[[bytes], None] = lambda _: None,
) -> Fields:
    """The fields with X-Forwarded-For, -Host, -Proto and -Port, and Tunnel-Hops, at their end.

    Args:
        fields: end-to-end ones, so that `Connection: X-Forwarded-For` cannot take ours away.
        visitor: its address, without a port.
        scheme: "http" or "https", as the visitor sees it.
        host: the value of Host.
        port: of the public origin.
        trusted: the visitor is a proxy of ours. Then what it said before stands: X-Forwarded-For
            grows by its own address, and a -Host, -Proto or -Port is not said again.
        known: the names that such a proxy sets itself, in lower case. Others, and spellings with
            another byte than the dash, are dropped from it as well: many let a visitor's pass.
        dropped: is told of each of those.

    Raises:
        HttpError: `bad-request`, if visitor, scheme or host is not ASCII; `loop-detected`, if the
            request has been through HOPS_MAX servers.
    """
    try:
        ours = (
            (b"X-Forwarded-For", visitor.encode("ascii")),
            (b"X-Forwarded-Host", host.encode("ascii")),
            (b"X-Forwarded-Proto", scheme.encode("ascii")),
            (b"X-Forwarded-Port", b"%d" % port),
        )
    except UnicodeEncodeError:
        raise HttpError("bad-request", "an address, scheme or host that is not ASCII") from None
    names = b"\n".join([name for name, _ in fields]).lower()
    hops = 1
    if b"tunnel-hops" in names:
        hops, fields = _one_more_hop(fields)
    hop = ((_HOPS, b"%d" % hops),)
    if b"forwarded" in names or b"real" in names:  # a part of every name in question
        if trusted:
            return _extended(fields, ours, known, dropped) + hop
        fields = tuple([field for field in fields if not is_forwarding_name(field[0])])
    return fields + ours + hop


def _one_more_hop(fields: Fields) -> tuple[int, Fields]:
    """The servers that a request has been through, this one among them, and what else it has.

    Whatever is no number is anybody's word, and none.
    """
    kept, hops = [], 0
    for field in fields:
        if field[0].lower() != b"tunnel-hops":
            kept.append(field)
        elif field[1].isdigit() and len(field[1]) < 4:
            hops = max(hops, int(field[1]))
    if hops >= HOPS_MAX:
        raise HttpError(
            "loop-detected", f"The request has been through {hops} tunnel-servers already."
        )
    return hops + 1, tuple(kept)


def _extended(
    fields: Fields, ours: Fields, known: Set[bytes], dropped: Callable[[bytes], None]
) -> Fields:
    """Return what a trusted proxy said, with its own address, and of ours what it did not say."""
    kept = []
    chain = []
    for field in fields:
        lower = field[0].lower()
        if lower == b"x-forwarded-for":
            chain.append(field[1])
        elif lower in known or not is_forwarding_name(lower):
            kept.append(field)
        else:
            dropped(lower)
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
