"""Tunnel names: which are legal, how one is made up, and how a Host becomes one.

A name is one DNS label (RFC 1123, 2.1) in lower case. No legal name is reserved: the service itself
lives on the domain, and every label in front of it belongs to its tunnel.
"""

from __future__ import annotations

import re
from base64 import b32encode
from collections.abc import Set
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from protocol.words import ADJECTIVES, NOUNS

NAME_RULE: Final = "1 to 63 of a-z, 0-9 and -, with no - at either end"
MAX_NAME_LENGTH: Final = 63  # RFC 1035, 2.3.4
# A host has at most 253 characters (RFC 1035's 255 bytes on the wire). A domain leaves room for the
# longest name and its dot, so that every legal name makes a legal host.
MAX_DOMAIN_LENGTH: Final = 253 - (MAX_NAME_LENGTH + 1)
# The longest Host that can mean anything: 253, a trailing dot, a colon and a generous port.
MAX_HOST_LENGTH: Final = 253 + 1 + 1 + 16

# One byte for each word and 40 random bits, which are the secret of an ungated app's URL.
NAME_RANDOM_BYTES: Final = 7

# The key of the service itself: no label stands in front of the domain.
APEX: Final = ""

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def is_legal_name(name: str) -> bool:
    """Whether a tunnel may have this name (see NAME_RULE); upper case is not legal."""
    return _LABEL.fullmatch(name) is not None


def is_legal_domain(domain: str) -> bool:
    """Whether tunnels can have names under this domain: labels in lower case, none of an address.

    A last label of digits alone is refused, since browsers read such a host as an IPv4 address
    (WHATWG URL, "ends in a number").
    """
    labels = domain.split(".")
    return (
        len(domain) <= MAX_DOMAIN_LENGTH
        and all(map(is_legal_name, labels))
        and not labels[-1].isdecimal()
    )


def generate_name(random_bytes: bytes) -> str:
    """`word-word-xxxxxxxx`, made of exactly NAME_RANDOM_BYTES random bytes.

    The last five bytes become the eight base32 characters (RFC 4648, 6, in lower case), so names of
    different ones differ.

    Raises:
        ValueError: another number of bytes; fewer would make the name easier to guess.
    """
    if len(random_bytes) != NAME_RANDOM_BYTES:
        raise ValueError(f"a name takes {NAME_RANDOM_BYTES} random bytes, not {len(random_bytes)}")
    adjective = ADJECTIVES[random_bytes[0] % len(ADJECTIVES)]
    noun = NOUNS[random_bytes[1] % len(NOUNS)]
    return f"{adjective}-{noun}-{b32encode(random_bytes[2:]).decode().lower()}"


def tunnel_key(host: bytes | str, domains: Set[str]) -> str | None:
    """Return the tunnel that a Host asks for: APEX, its name, or None for an unknown host.

    APEX are the domains, `localhost` and every IP literal; a tunnel is one legal label in front of
    a domain. The port, the case and one trailing dot do not matter. Never raises, whatever is in
    `host`, and takes about a microsecond (an IP literal three).

    Args:
        host: the value of Host (RFC 9110, 7.2), `host[:port]`.
        domains: those of the listener that took the connection, in lower case.
    """
    bare = _without_port(host)
    if bare is None:
        return None
    if bare in domains or bare == "localhost":
        return APEX
    name, _, domain = bare.partition(".")
    if domain in domains:
        return name if is_legal_name(name) else None
    return APEX if _is_ip_literal(bare) else None


def _without_port(host: bytes | str) -> str | None:
    if len(host) > MAX_HOST_LENGTH or not host.isascii():
        return None  # not ASCII: str.lower() would make an ordinary k of the Kelvin sign
    text = (host if isinstance(host, str) else host.decode("ascii")).lower()
    if not text.endswith("]"):  # the colons of a bare [::1] are no port's
        before, colon, port = text.rpartition(":")
        if colon:
            if port and not port.isdecimal():
                return None
            text = before
    return text.removesuffix(".")


def _is_ip_literal(host: str) -> bool:
    try:
        if host.startswith("[") and host.endswith("]"):
            IPv6Address(host[1:-1])
        else:
            IPv4Address(host)
    except AddressValueError:
        return False
    return True
