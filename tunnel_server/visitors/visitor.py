"""Says whose a request is, for everything that counts, limits, logs or tells the app of visitors.

An address in --trusted-proxies brings other people's requests. It appends the address that it got
each one from to X-Forwarded-For, as did the proxies before it; what stands further to the left is
anybody's word. So the visitor is the rightmost entry that is no trusted proxy's. Where there is
none, the request is nobody's in particular: it is counted among all, and with no one.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

from protocol.http.fields import Fields, elements, values_of
from tunnel_server.observing.strangers import crowd_key
from tunnel_server.settings.config import ServerConfig
from tunnel_server.visitors.proxy_protocol import ProxyHeader

# A chain of ten proxies with the longest addresses; thousands would keep everybody waiting.
_LOOKED_AT_BYTES: Final = 512

# Some proxies add the port (Azure), and then brackets (RFC 7239, 6).
_WITH_PORT: Final = re.compile(r"\[([^\]]*)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


class Source(NamedTuple):
    """The other side of a connection.

    Attributes:
        address: the visitor's, without a port.
        trusted: what its forwarding fields say is believed.
        secure: TLS ends here.
    """

    address: str
    trusted: bool = False
    secure: bool = False


def source_of(config: ServerConfig, peer: str, header: ProxyHeader | None) -> Source:
    """The other side of a connection.

    Args:
        config: says which proxies are trusted.
        peer: the address of its socket.
        header: its PROXY header, if each has one; then the peer is trusted.
    """
    if header is None:
        return Source(_address_in(peer) or peer, config.trusts(peer))
    if header.address is None:
        # The proxy does not see what passes: fields in its name may be anybody's.
        return Source(peer, trusted=False)
    return Source(header.address, config.trusts(header.address))


class Visitor(NamedTuple):
    """The visitor that a request is of.

    Attributes:
        address: of the visitor, or of the proxy where that names none.
        key: by which it is counted; None: among all alone.
        connected: the connection is its own, and brings no other visitor's requests.
        is_named: the address is the visitor's.
    """

    address: str
    key: str | None
    connected: bool
    is_named: bool = True


def visitor_of(config: ServerConfig, source: Source, fields: Fields) -> Visitor:
    """The visitor that has sent a request.

    Args:
        config: says which proxies are trusted.
        source: the other side of the connection, by its socket or its PROXY header.
        fields: of the request.
    """
    address = _address_of_visitor(config, source, fields)
    if address is None:
        return Visitor(source.address, None, connected=False, is_named=False)
    return Visitor(address, crowd_key(address), connected=not source.trusted)


def _address_of_visitor(config: ServerConfig, source: Source, fields: Fields) -> str | None:
    """The address of the visitor; None: nobody in particular."""
    if not source.trusted:
        # A trusted one here names nobody, and does not see what passes.
        is_proxy = bool(config.trusted_proxies) and config.trusts(source.address)
        return None if is_proxy else source.address
    said = b",".join(values_of(fields, b"x-forwarded-for"))
    entries = elements(said[-_LOOKED_AT_BYTES:])
    if len(said) > _LOOKED_AT_BYTES:
        del entries[0]  # a part of one
    for entry in reversed(entries):
        address = _address_in(entry.decode("latin-1"))
        if address is None or not config.trusts(address):
            return address
    return None


def _address_in(entry: str) -> str | None:
    """The address in an entry; None where it is a word, such as `unknown`, or nothing."""
    match = _WITH_PORT.fullmatch(entry)
    try:
        parsed = ip_address((match[1] or match[2]) if match else entry)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    return str(parsed)
