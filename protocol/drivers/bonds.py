"""A client keeps something for one connection of a visitor each, and ends it when that has ended.

The server says `gone` with the connection's number (docs/protocol.md, 6.4). When the session ends
no request of any of its connections can come any more, so all of them count as ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Bonds:
    """The bonds of one session."""

    def __init__(self) -> None:
        self._ends: dict[int, Callable[[], None]] = {}
        self._over = False

    def __repr__(self) -> str:
        return f"<Bonds {'over' if self._over else len(self._ends)}>"

    def bind(self, connection: int, on_gone: Callable[[], None]) -> bool:
        """Have `on_gone` called, once, when the connection has ended; false: all of them have.

        It is called in the session's reader, and must neither raise nor block. A second call for a
        connection takes the place of the first.
        """
        if not self._over:
            self._ends[connection] = on_gone
        return not self._over

    def unbind(self, connection: int) -> None:
        """Nothing is kept for the connection any more."""
        self._ends.pop(connection, None)

    def gone(self, connection: int) -> None:
        """The connection has ended; nothing where nothing is bound to it."""
        on_gone = self._ends.pop(connection, None)
        if on_gone is not None:
            on_gone()

    def end(self) -> None:
        """The session has ended."""
        self._over = True
        for connection in tuple(self._ends):
            self.gone(connection)


class VisitorConnection(NamedTuple):
    """One connection of a visitor, as the client knows it: two of the same are equal."""

    bonds: Bonds
    number: int

    def bind(self, on_gone: Callable[[], None]) -> bool:
        """See Bonds."""
        return self.bonds.bind(self.number, on_gone)

    def unbind(self) -> None:
        """See Bonds."""
        self.bonds.unbind(self.number)
