"""The look of output for people: colour, and a footer that is redrawn in place.

| where | colour | footer |
| --- | --- | --- |
| a terminal | yes | yes |
| a terminal, CI set | yes | no |
| a terminal, TERM=dumb | no | no |
| a pipe or a file | no | no |

NO_COLOR takes the colour away, FORCE_COLOR gives it everywhere; where both are set, there is none.
`--plain` is as in a pipe, whatever the environment says, and so is `--json`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, NamedTuple


class Look(NamedTuple):
    """The look of lines.

    Fields:
        colour: statuses and the like have one.
        footer: there is one; the cursor moves.
    """

    colour: bool = False
    footer: bool = False


PLAIN = Look()


_IS_WINDOWS: Final = os.name == "nt"


def look_of(environ: Mapping[str, str], *, is_terminal: bool) -> Look:
    """Return the look by the environment; a variable that is empty is as if it were not set."""
    capable = is_terminal and environ.get("TERM") != "dumb"
    if _IS_WINDOWS and "WT_SESSION" not in environ:
        capable = False  # the old console shows escape sequences as they are
    forced = environ.get("FORCE_COLOR", "") not in ("", "0")
    colour = (capable or forced) and not environ.get("NO_COLOR")
    return Look(colour, capable and not environ.get("CI"))


def is_terminal(descriptor: int) -> bool:
    """Whether it is one; False for one that is closed."""
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def is_same_terminal(one: int, other: int) -> bool:
    """Whether both are, and the same one."""
    if not (is_terminal(one) and is_terminal(other)):
        return False
    return os.fstat(one).st_rdev == os.fstat(other).st_rdev
