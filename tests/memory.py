"""What programs hold in memory, and what is on its way when nobody reads."""

from __future__ import annotations

from collections.abc import Callable

import trio

from tests.programs import Program, Tunnel

MIB = 1 << 20
# The heap of a Python program grows by some MiB when it is busy for the first time, so it is kept
# busy with WARM_BYTES first. What then remains of much more must be windows and no more.
WARM_BYTES = 64 * MIB
GROWTH_MAX_BYTES = 16 * MIB
# The windows, and what lies in four socket buffers on the way, which the kernel lets grow to 4 MiB
# or 6 MiB each. Most often it is 2 to 6 MiB in all.
TAKEN_MAX_BYTES = 16 * MIB
# A sender on loopback that moved nothing for this long stands still. Nothing announces that.
STILL_S, STILL_WITHIN_S = 1.5, 40


async def stands_still(count_bytes: Callable[[], int]) -> int:
    """What the count stays at."""
    with trio.fail_after(STILL_WITHIN_S):
        last = -1
        while (now := count_bytes()) != last or now == 0:
            last = now
            await trio.sleep(STILL_S)
    return last


class Memory:
    """What both programs hold, against what they held at first."""

    def __init__(self, tunnel: Tunnel) -> None:
        self.programs = [tunnel.server, tunnel.client]
        self.before = {program: program.resident_bytes() for program in self.programs}

    def check(self) -> None:
        grown = {program.name: self.grown_bytes(program) for program in self.programs}
        print("grown", {name: f"{count / MIB:.1f} MiB" for name, count in grown.items()})
        assert max(grown.values()) < GROWTH_MAX_BYTES, grown

    def grown_bytes(self, program: Program) -> int:
        return program.resident_bytes() - self.before[program]
