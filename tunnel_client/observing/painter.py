"""Plain: the bytes that put lines above a footer which is redrawn in place.

The footer stands below all lines, each of its own with an end, so that the cursor is in the first
column of the row under it: what a shell or another program writes then stands by itself. Nothing
is ever cleared but the footer, and there is no other screen: lines stay in the scrollback.

A terminal that has become narrower has wrapped what stands there, so it is counted in its columns
of now. One that cuts instead of wrapping (xterm) loses a few of the lines above that way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from tunnel_client.observing.styles import painted
from tunnel_client.observing.widths import rows

# A terminal that knows it (DEC mode 2026) shows what stands between at once; others pass it over.
_BEGIN: Final = "\x1b[?2026h"
_END: Final = "\x1b[?2026l"
_CLEAR_BELOW: Final = "\x1b[J"


class FooterLine(NamedTuple):
    """A line of the footer: printable text, and how it looks.

    Fields:
        text: it may be wider than the terminal, which wraps it then.
        style: a sequence that sets colours, or nothing.
    """

    text: str
    style: str = ""

    @property
    def painted(self) -> str:
        """The line with its look."""
        return painted(self.text, self.style)


def repaint(
    lines: str, footer: Sequence[FooterLine], columns: int, stands: Sequence[FooterLine]
) -> bytes:
    """Return what replaces the footer that stands there by lines and another one.

    Args:
        lines: whole lines, with their ends.
        footer: what is to stand there then; nothing: it is taken away.
        columns: of the terminal now.
        stands: what was drawn last, whatever the columns were then.
    """
    if not footer and not stands:
        return lines.encode()
    up = footer_rows(stands, columns)
    gone = f"\x1b[{up}A\r{_CLEAR_BELOW}" if up else ""
    drawn = "".join(f"{line.painted}\n" for line in footer)
    return f"{_BEGIN}{gone}{lines}{drawn}{_END}".encode()


def footer_rows(footer: Sequence[FooterLine], columns: int) -> int:
    """The rows that it takes."""
    return sum(rows(line.text, columns) for line in footer)
