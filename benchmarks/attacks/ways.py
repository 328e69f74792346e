"""The three ways by which the server learns of a visitor or a client from which address it is."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

import trio

# linux/in.h: the port is chosen by connect, so that addresses do not share one range.
IP_BIND_ADDRESS_NO_PORT = 24
FIRST_ADDRESS = IPv4Address("10.77.64.0")
ADDRESSES = 1 << 14


class Way(StrEnum):
    """The way by which addresses come."""

    PEER = "peer"  # each connection is from its own address, in a namespace
    PROXY = "proxy"  # we are a proxy that passes bytes, with PROXY headers
    FORWARDED = "forwarded"  # we are a proxy that passes requests, with X-Forwarded-For


def address_of(number: int) -> str:
    """One of 16,384 addresses, none of them loopback's."""
    return str(FIRST_ADDRESS + number % ADDRESSES)


@dataclass(frozen=True)
class Entrance:
    """The server's port, and how one comes there.

    Attributes:
        ours: the address that the server sees of our sockets, but for those of the way `peer`.
    """

    way: Way
    host: str
    port: int
    ours: str

    @property
    def flags(self) -> list[str]:
        """What the server is started with."""
        trusted = ["--trusted-proxies", self.ours]
        return {
            Way.PEER: [],
            Way.PROXY: ["--proxy-protocol", *trusted],
            Way.FORWARDED: trusted,
        }[self.way]

    async def connect(self, address: str) -> trio.SocketStream:
        """A connection of this address. Raises OSError."""
        connected = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if self.way is Way.PEER:
                connected.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                await connected.bind((address, 0))
            await connected.connect((self.host, self.port))
            stream = trio.SocketStream(connected)
            if self.way is Way.PROXY:
                await stream.send_all(self.header(address))
        except BaseException:
            connected.close()
            raise
        return stream

    def header(self, address: str) -> bytes:
        """The PROXY header of a connection, version 1."""
        return f"PROXY TCP4 {address} {self.host} 40000 {self.port}\r\n".encode()

    def fields(self, address: str) -> tuple[tuple[bytes, bytes], ...]:
        """What each request of this address has to say."""
        if self.way is Way.FORWARDED:
            return ((b"X-Forwarded-For", address.encode()),)
        return ()
