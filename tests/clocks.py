"""The virtual clocks' start, and what has passed since."""

from __future__ import annotations

from typing import Final

import trio

# trio's own clock starts anywhere. What takes 0 for "never" or for "long ago" works on a clock that
# starts near 0, and nowhere else.
START_S: Final = 100_000


def elapsed_s() -> float:
    """Seconds that the test's virtual clock has gone, to the microsecond.

    At 100,000 a float tells 1e-11 s apart, so that 100,000.1 less 100,000 is not quite 0.1.
    """
    return round(trio.current_time() - START_S, 6)
