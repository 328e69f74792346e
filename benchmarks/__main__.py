"""`python -m benchmarks`, from the root of the repository: the table of README.md beside this.

Prints Markdown on stdout, and on stderr each reading as it comes. All programs are its own, on
127.0.0.1, and end with it, also on Ctrl-C.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio

from benchmarks.command import among, machine, positive, until_signal
from benchmarks.measures import MEASURES, Tools
from benchmarks.native_programs import compiled
from benchmarks.peers.direct import DIRECT
from benchmarks.peers.localtunnel import LOCALTUNNEL
from benchmarks.peers.nginx import NGINX
from benchmarks.peers.route import Peer
from benchmarks.peers.ssh import SSH
from benchmarks.peers.trio_tunnel import TUNNEL, installed_in
from benchmarks.programs import BenchmarkError, find
from benchmarks.rounds import Rounds
from benchmarks.table import medians, ratios

PEERS = (DIRECT, NGINX, SSH, LOCALTUNNEL, TUNNEL)
NEEDED = {"cc": "gcc", "wrk": "wrk"}  # programs and their Debian packages
ROUNDS = 5
SECONDS = 3


def options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=positive, default=ROUNDS, metavar="N")
    parser.add_argument("--seconds", type=positive, default=SECONDS, help="of each load")
    for option, known in (("--peers", PEERS), ("--measures", MEASURES)):
        every = [thing.name for thing in known]
        parser.add_argument(
            option,
            type=partial(among, known=every),
            default=every,
            metavar="NAME,...",
            help=f"some of {','.join(every)}",
        )
    parser.add_argument(
        "--before", type=Path, metavar="DIR", help="another installation's scripts, a peer as well"
    )
    return parser.parse_args(argv)


def present(peers: Sequence[Peer]) -> tuple[list[Peer], list[str]]:
    """The peers that can run here, and a line for each that cannot."""
    lacking = {peer.name: peer.missing() for peer in peers}
    notes = [f"{name} is left out: missing {', '.join(of)}" for name, of in lacking.items() if of]
    return [peer for peer in peers if not lacking[peer.name]], notes


async def run(chosen: argparse.Namespace, folder: Path) -> str:
    """All rounds; returns the report. Raises BenchmarkError when nothing can be measured."""
    wanted = [peer for peer in PEERS if peer.name in chosen.peers]
    if chosen.before is not None:
        wanted.insert(0, installed_in(chosen.before, "before"))
    peers, notes = present(wanted)
    for note in notes:
        print(note, file=sys.stderr)
    if not peers:
        raise BenchmarkError("none of the chosen peers is installed")
    native = await compiled(folder)
    async with native.backend() as backend_port:
        measures = [measure for measure in MEASURES if measure.name in chosen.measures]
        rounds = Rounds(Tools(native, chosen.seconds), backend_port, peers, measures)
        for number in range(1, chosen.rounds + 1):
            await rounds.run(number, folder / f"round-{number}")
    names = [peer.name for peer in peers]
    parts = [headline(chosen), medians(rounds.readings, names)]
    if others := [name for name in names if name != TUNNEL.name]:
        parts.append(ratios(rounds.readings, TUNNEL.name, others))
    parts.append("\n".join(f"* {note}" for note in [*notes, *rounds.notes]))
    return "\n\n".join(part for part in parts if part)


def headline(chosen: argparse.Namespace) -> str:
    how = f"medians of {chosen.rounds} rounds, loads of {chosen.seconds} s"
    return f"{machine()}; {how}:"


def main(argv: Sequence[str]) -> int:
    chosen = options(argv)
    if missing := [package for program, package in NEEDED.items() if not find(program)]:
        print(f"the benchmarks need: sudo apt install {' '.join(missing)}", file=sys.stderr)
        return 1
    # Twice 500 WebSockets and more in one program; what we may have, the programs get as well.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="tunnel-bench-") as folder:
        return trio.run(until_signal, partial(run, chosen, Path(folder)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
