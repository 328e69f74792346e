from __future__ import annotations

import pytest
from hypothesis import example, given, strategies as st

from tunnel_server.visitors.proxy_protocol import (
    MAX_HEADER_BYTES,
    MAX_V1_BYTES,
    MAX_V2_LENGTH,
    ProxyHeader,
    ProxyProtocolError,
    parse_header,
)

SIGNATURE = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
ADDRESSES_4 = bytes([203, 0, 113, 9, 10, 0, 0, 1]) + b"\x9c\x40\x01\xbb"
SOURCE_6 = bytes.fromhex("20010db8000000000000000000000009")
ADDRESSES_6 = SOURCE_6 + bytes(15) + b"\x01" + b"\x9c\x40\x01\xbb"


def v2(command: int, family: int, payload: bytes, length: int | None = None) -> bytes:
    announced = len(payload) if length is None else length
    return SIGNATURE + bytes([command, family]) + announced.to_bytes(2, "big") + payload


LONGEST_V1 = (
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535".ljust(MAX_V1_BYTES - 2, b"x")
    + b"\r\n"
)
LONGEST_V2 = v2(0x21, 0x11, ADDRESSES_4.ljust(MAX_V2_LENGTH, b"t"))


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 40000 443\r\n", "203.0.113.9"),
        (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255"),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 0 0\r\n", "203.0.113.9"),
        (b"PROXY TCP6 2001:DB8::9 ::1 40000 443\r\n", "2001:db8::9"),
        (b"PROXY TCP6 2001:db8:0:0:0:0:0:9 ::1 40000 443\r\n", "2001:db8::9"),
        (b"PROXY TCP6 ::ffff:203.0.113.9 ::1 40000 443\r\n", "203.0.113.9"),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 what ever\r\n", None),
        (LONGEST_V1, None),
        (v2(0x21, 0x11, ADDRESSES_4), "203.0.113.9"),
        (v2(0x21, 0x11, ADDRESSES_4 + b"\x04\x00\x01x"), "203.0.113.9"),  # and a TLV
        (v2(0x21, 0x21, ADDRESSES_6), "2001:db8::9"),
        (v2(0x21, 0x21, bytes(10) + b"\xff\xff\xcb\x00\x71\x09" + bytes(20)), "203.0.113.9"),
        (v2(0x20, 0x00, b""), None),  # LOCAL
        (v2(0x20, 0x11, ADDRESSES_4), None),
        (v2(0x20, 0xFF, b"whatever"), None),
        (v2(0x21, 0x00, b""), None),  # UNSPEC
        (v2(0x21, 0x00, ADDRESSES_4), None),
        (v2(0x21, 0x12, ADDRESSES_4), None),  # UDP
        (v2(0x21, 0x22, ADDRESSES_6), None),
        (v2(0x21, 0x31, bytes(216)), None),  # unix
        (v2(0x21, 0x32, bytes(216)), None),
        (LONGEST_V2, "203.0.113.9"),
    ],
)
def test_header_gives_the_visitors_address_and_its_own_size(
    header: bytes, address: str | None
) -> None:
    expected = ProxyHeader(address, len(header))
    assert parse_header(header) == expected
    assert parse_header(header + b"GET / HTTP/1.1\r\n" * 100) == expected
    for end in range(len(header)):
        assert parse_header(header[:end]) is None
    assert len(header) <= MAX_HEADER_BYTES


@pytest.mark.parametrize(
    "data",
    [
        b"G",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01",
        b"\r\n\r\nGET",
        b"proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
        b"PROXY\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1  1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        b"PROXY TCP4 1.2.3.256 1.2.3.4 1 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3 1 1\r\n",
        b"PROXY TCP4 1.2.3.04 1.2.3.4 1 1\r\n",
        b"PROXY TCP4 ::1 ::1 1 1\r\n",
        b"PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n",
        b"PROXY TCP6 ::1:: ::1 1 1\r\n",
        b"PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
        b"PROXY UNKNOWNX\r\n",
        LONGEST_V1[:-2] + b"x\r\n",
        LONGEST_V1[:-2] + b"xxxx",
        v2(0x11, 0x11, ADDRESSES_4),  # version 1 in binary, version 3
        v2(0x31, 0x11, ADDRESSES_4),
        v2(0x22, 0x11, ADDRESSES_4),  # a command of no meaning
        v2(0x21, 0x41, bytes(216)),  # families and transports of no meaning
        v2(0x21, 0x13, ADDRESSES_4),
        v2(0x21, 0x11, ADDRESSES_4[:-1]),  # shorter than its addresses
        v2(0x21, 0x21, ADDRESSES_6[:-1]),
        v2(0x21, 0x31, bytes(215)),
        v2(0x21, 0x11, b"", MAX_V2_LENGTH + 1),
        v2(0x20, 0x00, b"", 65535),
    ],
)
def test_what_is_no_header_is_refused_before_more_of_it_is_awaited(data: bytes) -> None:
    with pytest.raises(ProxyProtocolError):
        parse_header(data)


@given(
    st.one_of(st.binary(), st.binary().map(SIGNATURE.__add__), st.binary().map(b"PROXY ".__add__))
)
@example(b"PROXY TCP6 \xff \xff 1 1\r\n")
def test_any_bytes_are_a_header_or_the_beginning_of_one_or_refused(data: bytes) -> None:
    try:
        header = parse_header(data)
    except ProxyProtocolError:
        return
    if header is None:
        assert len(data) < MAX_HEADER_BYTES
    else:
        assert 0 < header.size_bytes <= len(data)
