"""`python -m benchmarks.attacks`, from the root of the repository: what an attack costs others.

Prints Markdown on stdout, and on stderr each reading as it comes. All programs are its own, in
networks of its own as root, else on 127.0.0.1, and end with it, also on Ctrl-C.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio

from benchmarks import usage
from benchmarks.attacks import honest_run
from benchmarks.attacks.attacking import running_load
from benchmarks.attacks.catalogue import ATTACKS, Attack
from benchmarks.attacks.network import LOOPBACK, Network, can_have_addresses, made_networks
from benchmarks.attacks.probe import Probe, Seen
from benchmarks.attacks.results import Reading, Results, p99_ms
from benchmarks.attacks.site import Site, keep_off_the_servers_core, open_site
from benchmarks.attacks.ways import Way
from benchmarks.command import among, machine, positive, until_signal
from benchmarks.programs import BenchmarkError, find

ROUNDS = 3
SECONDS = 5
WARM_UP_S = 1.0
READY_S = 60.0  # for an attack to be there
NEEDED = {"taskset": "util-linux", "nsenter": "util-linux", "ip": "iproute2"}


def options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.attacks", description=__doc__)
    parser.add_argument("--rounds", type=positive, default=ROUNDS, metavar="N")
    parser.add_argument("--seconds", type=positive, default=SECONDS, help="of GETs, each time")
    for option, every in (
        ("--attacks", [attack.name for attack in ATTACKS]),
        ("--ways", [way.value for way in Way]),
    ):
        parser.add_argument(
            option,
            type=partial(among, known=every),
            default=every,
            metavar="NAME,...",
            help=f"some of {','.join(every)}",
        )
    parser.add_argument("--honest", action="store_true", help="loads that no share may meet, once")
    return parser.parse_args(argv)


async def run(chosen: argparse.Namespace, network: Network, folder: Path) -> str:
    """All rounds; returns the report. Raises BenchmarkError when nothing can be measured."""
    if chosen.honest:
        return f"{machine()}:\n\n{await honest_run.run(chosen.ways, network, folder)}"
    attacks = [attack for attack in ATTACKS if attack.name in chosen.attacks]
    results, notes = Results(), []
    for number in range(1, chosen.rounds + 1):
        for attack in attacks:
            for way in chosen.ways:
                where = folder / f"{number}-{attack.name}-{way}"
                try:
                    reading = await measured(attack, Way(way), network, where, chosen.seconds)
                except (BenchmarkError, OSError) as error:
                    notes.append(f"* round {number}, {attack.name}, {way}: {error}")
                    print(notes[-1], file=sys.stderr)
                    continue
                results.add(attack.name, way, reading)
    if not results.of:
        raise BenchmarkError("\n".join(["nothing was measured", *notes]))
    how = f"medians of {chosen.rounds} rounds, GETs for {chosen.seconds} s without and with each:"
    rates = [f"* {attack.name}: {attack.rate}" for attack in attacks]
    parts = [f"{machine()}; {how}", results.table(), "\n".join(rates), "\n".join(notes)]
    return "\n\n".join(part for part in parts if part)


async def measured(
    attack: Attack, way: Way, network: Network, folder: Path, seconds: float
) -> Reading:
    """GETs without the attack and with it, of a server that has seen no other."""
    async with open_site(folder, network, way, attack.flags) as site:
        async with Probe(site.entrance) as probe:
            await probe.run(WARM_UP_S)
            without = await watched(probe, site, seconds)
            async with running_load(attack.name, site, READY_S) as program:
                seen = await watched(probe, site, seconds)
                await program.end()
                told = await program.json_line("asked")
        peak_bytes = usage.memory(site.server.pid).peak_bytes
    print(f"{attack.name}, {way}: {told}", file=sys.stderr)
    counts = {name: count for name, count in told.items() if isinstance(count, int)}
    return Reading(
        len(without.lost) + len(seen.lost),
        p99_ms(without.latencies_s),
        p99_ms(seen.latencies_s),
        counts["asked"],
        counts["refused"] + counts["closed"],
        peak_bytes,
        counts["places"],
        attack.sessions,
    )


async def watched(probe: Probe, site: Site, seconds: float) -> Seen:
    """GETs for so long; says on stderr what the server's processor was needed for meanwhile."""
    pid = site.server.pid
    busy_s, waited_s = usage.cpu_s(pid), usage.waited_s(pid)
    seen = await probe.run(seconds)
    busy_s, waited_s = usage.cpu_s(pid) - busy_s, usage.waited_s(pid) - waited_s
    print(
        f"  p99 {p99_ms(seen.latencies_s):.1f} ms, lost {dict(Counter(seen.lost))}, sent again"
        f" {seen.again}, late {p99_ms(seen.late_s):.1f} ms; the server was busy"
        f" {busy_s / seconds:.0%}, others had its processor {waited_s / seconds:.0%}",
        file=sys.stderr,
    )
    return seen


def main(argv: Sequence[str]) -> int:
    chosen = options(argv)
    if missing := {package for program, package in NEEDED.items() if not find(program)}:
        print(f"the attacks need: sudo apt install {' '.join(missing)}", file=sys.stderr)
        return 1
    network = made_networks() if can_have_addresses() else LOOPBACK
    if network is LOOPBACK and Way.PEER in chosen.ways:
        print("peer is left out: addresses of one's own need root", file=sys.stderr)
        chosen.ways.remove(Way.PEER)
    if not keep_off_the_servers_core():
        print("there is one processor: the server shares it with the load", file=sys.stderr)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="tunnel-attacks-") as folder:
        return trio.run(until_signal, partial(run, chosen, network, Path(folder)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
