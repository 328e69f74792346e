"""Tells a tunnel's client which requests came by one connection of a visitor.

It needs that where an app authenticates connections and not requests, as with NTLM: then it keeps a
connection to the app for each of a visitor's (docs/protocol.md, 6.4).
"""

from __future__ import annotations

from tunnel_server.tunnels.registry import Carrier


class SameConnection:
    """One connection of a visitor, in whichever session carries its requests just now."""

    __slots__ = ("_bound", "_carrier", "_number", "_requests")

    def __init__(self) -> None:
        self._carrier: Carrier | None = None
        self._number: int | None = None
        self._requests = 0
        self._bound = False

    def __repr__(self) -> str:
        bound = ", bound" if self._bound else ""
        return f"<SameConnection {self._number}, {self._requests} requests{bound}>"

    def next_request(self, carrier: Carrier) -> tuple[int | None, int]:
        """The connection's number in this session, and how many requests came before this one.

        Where its requests go to another session than before, what the former has bound is given up:
        a later one there has a new number.
        """
        if carrier is not self._carrier:
            self.end()
            self._carrier, self._number = carrier, carrier.number_connection()
        self._requests += 1
        return self._number, self._requests - 1

    def bind(self) -> None:
        """The client has bound a connection of its own to this one."""
        self._bound = True

    def end(self) -> None:
        """The connection has ended: the client is told, if it has bound something to it."""
        if self._bound and self._carrier is not None and self._number is not None:
            self._carrier.gone(self._number)
        self._carrier, self._number, self._bound = None, None, False
