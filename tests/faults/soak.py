"""Repeats the faults at random, with a seed, under a load that never pauses.

    python -m tests.faults.soak MINUTES SEED

`make soak` does it for 20 minutes. It prints the totals each minute and at the end, and exits 1 if
something was lost that no fault allows. Ctrl-C ends it with the totals. The seed settles what is
done and in what order; the machine settles at which byte.
"""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import trio

from tests.faults.load import Mixed, large_ones
from tests.faults.site import TIMEOUT_S, Baseline, Site, open_site

# Faults come in bursts, so that one may find the ends still busy with the last, with calm between.
BURST_MAX, PAUSE_S_MAX = 3, 1.0
# Longer than LIVED_S of protocol/backoff.py, which makes the client's next pause short again.
CALM_S = 12.0
LARGE_EVERY_S = 15.0  # one large exchange of each kind
REPORT_EVERY_S = 60.0
VISIT_EVERY_S = 0.04
HOLD_S = 30  # longer than a burst lasts, shorter than the patience of the exchanges
# How what meets a killed program may fail.
KILLED = (
    *("cut", "end without Close", "Close 1014", "502 tunnel-lost"),
    *("404 tunnel-not-found", "503 tunnel-offline"),
)

Fault = Callable[[Site, Random], Awaitable[None]]


async def reset(site: Site, random: Random) -> None:
    site.middlebox.reset()


async def reset_in_a_message(site: Site, random: Random) -> None:
    for crossing in site.middlebox.whole:
        pipe = random.choice([crossing.up, crossing.down])
        pipe.after(random.randrange(1, 200_000), crossing.reset)


async def half_open(site: Site, random: Random) -> None:
    for crossing in site.middlebox.whole:
        crossing.reset_one(random.choice([crossing.client, crossing.server]))


async def silence(site: Site, random: Random) -> None:
    """Shorter or longer than the timeout."""
    site.middlebox.silence()
    await trio.sleep(random.uniform(0, 2 * TIMEOUT_S))
    site.middlebox.restore()


async def one_way(site: Site, random: Random) -> None:
    for crossing in site.middlebox.whole:
        random.choice([crossing.up, crossing.down]).stand()


async def stop(site: Site, random: Random) -> None:
    program = random.choice([site.client, site.server])
    program.process.send_signal(signal.SIGSTOP)
    try:
        await trio.sleep(random.uniform(0, 2 * TIMEOUT_S))
    finally:
        program.process.send_signal(signal.SIGCONT)


async def kill_server(site: Site, random: Random) -> None:
    with site.ledger.lossy():
        await site.server.kill()
        await site.start_server()
        await site.client.event("ready", within_s=HOLD_S)


async def kill_client(site: Site, random: Random) -> None:
    with site.ledger.lossy():
        await site.client.kill()
        site.client = await site.start_client()
        await site.client.event("ready", within_s=HOLD_S)


FAULTS: dict[str, Fault] = {
    "reset": reset,
    "reset in a message": reset_in_a_message,
    "half-open": half_open,
    "silence": silence,
    "one way": one_way,
    "stopped": stop,
}
LOSSY: dict[str, Fault] = {"killed server": kill_server, "killed client": kill_client}
LOSSY_SHARE = 0.15  # of the bursts


class Soak:
    """A run: its faults and totals."""

    def __init__(self, site: Site, seed: int) -> None:
        self.site = site
        self.faults: Counter[str] = Counter()
        self._random = Random(seed)
        self._mixed = Mixed(site, seed, every_s=VISIT_EVERY_S)
        self._began_at = trio.current_time()

    def __repr__(self) -> str:
        return f"<Soak {self.faults.total()} faults, {self._mixed!r}>"

    async def run(self, seconds: float) -> None:
        """All of it, to the end of the last exchange."""
        async with trio.open_nursery() as load:
            load.start_soon(self._mixed.run)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._large_ones, load)
                nursery.start_soon(self._report)
                nursery.start_soon(self._end_on_signal, nursery.cancel_scope)
                with trio.move_on_after(seconds):
                    await self._break_things()
                nursery.cancel_scope.cancel()
            self._mixed.stop()
            self.site.middlebox.restore()

    async def _break_things(self) -> None:
        random = self._random
        while True:
            if random.random() < LOSSY_SHARE:
                await self._break(random.choice(list(LOSSY)))
            else:
                for _ in range(random.randint(1, BURST_MAX)):
                    await self._break(random.choice(list(FAULTS)))
                    await trio.sleep(random.uniform(0, PAUSE_S_MAX))
            await trio.sleep(CALM_S)

    async def _break(self, name: str) -> None:
        self.faults[name] += 1
        with trio.CancelScope(shield=True):  # no program stays stopped; each takes some seconds
            await (FAULTS | LOSSY)[name](self.site, self._random)

    async def _large_ones(self, load: trio.Nursery) -> None:
        while True:
            await trio.sleep(LARGE_EVERY_S)
            large_ones(self.site, load, self._random)

    async def _report(self) -> None:
        while True:
            await trio.sleep(REPORT_EVERY_S)
            print(self.totals(), flush=True)

    async def _end_on_signal(self, scope: trio.CancelScope) -> None:
        with trio.open_signal_receiver(signal.SIGINT) as signals:
            await anext(aiter(signals))
            print("stopping", flush=True)
            scope.cancel()

    def totals(self) -> str:
        """What was done, and what came of it."""
        ledger = self.site.ledger
        seconds = trio.current_time() - self._began_at
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        told = [event["event"] for program in self.site.programs.all for event in program.events]
        lines = [
            f"after {seconds:.0f} s: {self.faults.total()} faults ({faults})",
            f"{told.count('resumed')} resumes, {told.count('ready')} sessions",
            *ledger.lines(),
            f"{ledger.checked_bytes / 1e6:.0f} MB checked, {ledger.echoes} echoes",
        ]
        if ledger.unexcused:
            lines.append(f"LOST: {dict(ledger.unexcused)}")
        return "\n  ".join(lines)

    async def check(self, before: Baseline) -> None:
        """Raise AssertionError if something was lost that no fault allows, or is left over."""
        ledger = self.site.ledger
        ledger.check(may_fail=KILLED)
        assert not ledger.unexcused, f"without a fault that allows it: {ledger.unexcused}"
        self.site.check_posts()
        await before.check()


async def main(minutes: float, seed: int) -> int:
    """The exit code: 0 if nothing was lost."""
    print(f"{minutes:g} minutes, seed {seed}", flush=True)
    lost = ""
    with TemporaryDirectory() as folder:
        async with open_site(Path(folder), hold_s=HOLD_S) as site:
            before = Baseline(site)
            soak = Soak(site, seed)
            await soak.run(minutes * 60)
            try:
                await soak.check(before)
            except AssertionError as error:
                lost = f"{error}"
    print(soak.totals())
    print(f"LOST (seed {seed}): {lost}" if lost else "nothing was lost that no fault allows")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(trio.run(main, float(sys.argv[1]), int(sys.argv[2])))
