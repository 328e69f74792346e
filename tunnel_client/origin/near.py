"""Connections to an app on this machine, without a wait.

Each POST makes one. The usual way there has a deadline, a scope that the visitor's going cancels,
and a turn of the scheduler until the socket is writable: a third of what the connection costs, for
a wait that there is none of by loopback. What cannot be done at once is left to the usual way, its
errors too.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from typing import Final

import trio

from protocol.drivers.sockets import keep_alive
from protocol.drivers.tcp import SocketAddress, TcpStream, connect_at_once
from tunnel_client.settings.target import Target

# After one that takes a wait. Its queue is full; or that is the rule, as in a sandbox with a kernel
# of its own, where the app would see each connection begun twice.
REST_S: Final = 1.0


class NearApp:
    """An app, as far as it is on this machine."""

    def __init__(self, target: Target) -> None:
        self._places = _places(target)
        self._rests_until = 0.0

    def __repr__(self) -> str:
        return f"<NearApp {[address for _, address in self._places]}>"

    def connect(self) -> TcpStream | None:
        """A connection; None: there is none without a wait, or for some reason none at all."""
        if self._rests_until and trio.current_time() < self._rests_until:
            return None
        for family, address in self._places:
            try:
                stream = connect_at_once(family, address)
            except BlockingIOError:
                self._rests_until = trio.current_time() + REST_S
                return None
            except OSError:
                continue
            keep_alive(stream)
            return stream
        return None


def _places(target: Target) -> tuple[tuple[int, SocketAddress], ...]:
    """The families and addresses to try; none where each connection takes a wait."""
    if target.scheme == "https":
        return ()
    if target.unix_path is not None:
        return ((socket.AF_UNIX, target.unix_path),)
    addresses = target.addresses()
    if sys.platform != "linux" or not all(_is_loopback(host) for host, _ in addresses):
        return ()
    return tuple((_family(host), (host, port)) for host, port in addresses)


def _family(host: str) -> int:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False
