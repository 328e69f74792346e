"""A terminal in memory, to look at what programs write to it."""

from __future__ import annotations

import pyte


class Terminal:
    """A terminal of pyte's, and its scrollback."""

    def __init__(self, columns: int = 20, rows: int = 6) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=1000)
        self.screen.set_mode(pyte.modes.LNM)  # what a tty does to each \n
        self._stream = pyte.ByteStream(self.screen)

    def show(self, data: bytes) -> None:
        self._stream.feed(data)

    @property
    def lines(self) -> list[str]:
        """All lines, the scrollback's first, without empty ones at the end."""
        above = [
            "".join(row[column].data for column in range(self.screen.columns))
            for row in self.screen.history.top
        ]
        lines = [line.rstrip() for line in [*above, *self.screen.display]]
        while lines and not lines[-1]:
            lines.pop()
        return lines
