"""The PROXY protocol's header, versions 1 and 2: whose connection a proxy passes on.

Plain: bytes in, a header out. The specification is HAProxy's "The PROXY protocol, Versions 1 & 2"
of 2020/03/05 (`doc/proxy-protocol.txt`); section numbers below are its own. Nothing is guessed:
what is not one of the two headers, from its first byte on, is an error.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple

from protocol.errors import TunnelError

MAX_V1_BYTES: Final = 107  # 2.1, with its CRLF
# Behind the fixed part of version 2: 216 bytes of the longest addresses, and TLVs. Those of HAProxy
# and of the big clouds are some hundred bytes; the specification itself counts on 536 in all.
MAX_V2_LENGTH: Final = 2048

_V1_START: Final = b"PROXY "
_V2_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED_BYTES: Final = 16

# Most bytes that a header can have: what a reader has to look at, at once.
MAX_HEADER_BYTES: Final = _V2_FIXED_BYTES + MAX_V2_LENGTH

# 2.1: one space between, ports without signs or zeros in front.
_V1_LINE: Final = re.compile(
    rb"PROXY TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})"
)
_V1_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: .*)?", re.DOTALL)

_LOCAL, _PROXY = 0, 1
_STREAM: Final = 1
_INET, _INET6 = 1, 2
# 2.2: how long the addresses of each family are. UNSPEC has none.
_ADDRESS_BYTES: Final = {0: 0, _INET: 12, _INET6: 36, 3: 216}
_TRANSPORTS: Final = (0, _STREAM, 2)


class ProxyProtocolError(TunnelError):
    """The bytes that came are no header of the PROXY protocol."""


class ProxyHeader(NamedTuple):
    """A header.

    Attributes:
        address: the visitor's, without a port; IPv4 in IPv6 is IPv4. None: the proxy speaks for
            itself (LOCAL), or does not know (UNKNOWN, UNSPEC, and what is no TCP over IP).
        size_bytes: of the header; what follows is the visitor's.
    """

    address: str | None
    size_bytes: int


def parse_header(data: bytes) -> ProxyHeader | None:
    """The header that `data` begins with; None while it is not all there.

    Raises:
        ProxyProtocolError: it is none, as soon as its bytes say so.
    """
    if data.startswith(_V2_SIGNATURE):
        return _parse_v2(data)
    if data.startswith(_V1_START):
        return _parse_v1(data)
    if _V2_SIGNATURE.startswith(data) or _V1_START.startswith(data):
        return None
    raise ProxyProtocolError("it does not begin with a header of the PROXY protocol")


def _parse_v1(data: bytes) -> ProxyHeader | None:
    line, newline, _ = data[:MAX_V1_BYTES].partition(b"\n")
    if not newline:
        if len(data) >= MAX_V1_BYTES:
            raise ProxyProtocolError(f"no end of the line in {MAX_V1_BYTES} bytes")
        return None
    size_bytes = len(line) + 1
    if not line.endswith(b"\r"):
        raise ProxyProtocolError("the line does not end in CRLF")
    line = line[:-1]
    if _V1_UNKNOWN.fullmatch(line):
        return ProxyHeader(None, size_bytes)  # 2.1: whatever else the line says is to be ignored
    match = _V1_LINE.fullmatch(line)
    if match is None or max(int(match[4]), int(match[5])) > 65535:
        raise ProxyProtocolError("the line is not one of version 1")
    kind = IPv4Address if match[1] == b"4" else IPv6Address
    try:
        source, _ = (kind(match[which].decode("ascii")) for which in (2, 3))
    except AddressValueError:
        raise ProxyProtocolError("an address of the line is not one of its family") from None
    return ProxyHeader(_spelled(source), size_bytes)


def _parse_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _V2_FIXED_BYTES:
        return None
    version, command = divmod(data[12], 16)
    family, transport = divmod(data[13], 16)
    length = int.from_bytes(data[14:16], "big")
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise ProxyProtocolError(f"version and command are {data[12]:#04x}")
    if length > MAX_V2_LENGTH:
        raise ProxyProtocolError(f"{length} bytes are announced, more than {MAX_V2_LENGTH}")
    if command == _PROXY:
        _check_family(family, transport, length)
    size_bytes = _V2_FIXED_BYTES + length
    if len(data) < size_bytes:
        return None
    address = None
    if (command, transport) == (_PROXY, _STREAM):
        if family == _INET:
            address = _spelled(IPv4Address(data[16:20]))
        elif family == _INET6:
            address = _spelled(IPv6Address(data[16:32]))
    return ProxyHeader(address, size_bytes)


def _check_family(family: int, transport: int, length: int) -> None:
    if family not in _ADDRESS_BYTES or transport not in _TRANSPORTS:
        raise ProxyProtocolError(f"family and transport are {family << 4 | transport:#04x}")
    if length < _ADDRESS_BYTES[family]:
        raise ProxyProtocolError(f"{length} bytes are too few for the addresses of this family")


def _spelled(address: IPv4Address | IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
