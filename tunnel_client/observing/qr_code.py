"""The public URL as a QR code, two rows of modules in one of text.

It is as small as it can be (error correction L: a screen has no scratches). With colours it is
black on white, as scanners want it; without, its light modules are the terminal's text colour,
which is right on a dark background.
"""

from __future__ import annotations

from typing import Final

from tunnel_client.observing.styles import painted

_BORDER_MODULES: Final = 2  # half of what the norm asks for; scanners have long made do with it
_BLACK_ON_WHITE: Final = "\x1b[30;107m"
# By whether the upper and the lower module are drawn.
_HALVES: Final = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}


def qr_lines(url: str, *, colour: bool, columns: int | None) -> list[str]:
    """Return the lines of its code.

    Args:
        colour: draw black on white.
        columns: of the terminal; None: any width will do.
    """
    # Takes 30 ms to load, and nobody else needs it.
    import segno

    code = segno.make(url, error="l", micro=False, boost_error=False)
    drawn = [
        [bool(module) is colour for module in row]
        for row in code.matrix_iter(border=_BORDER_MODULES)
    ]
    needed = len(drawn[0])
    if columns is not None and needed >= columns:
        return [f"  (no QR code: it is {needed} columns wide)"]
    drawn += [[False] * needed] * (len(drawn) % 2)
    lines = (
        "".join(_HALVES[upper, lower] for upper, lower in zip(*pair, strict=True))
        for pair in zip(drawn[::2], drawn[1::2], strict=True)
    )
    return [painted(line, _BLACK_ON_WHITE if colour else "") for line in lines]
