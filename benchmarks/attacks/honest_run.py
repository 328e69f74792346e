"""Runs the honest loads against servers with the defaults, and counts what was refused."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks import usage
from benchmarks.attacks.attacking import running_load
from benchmarks.attacks.honest import HONEST, HonestLoad
from benchmarks.attacks.network import Network
from benchmarks.attacks.results import formula_bytes
from benchmarks.attacks.site import Site, open_server, open_site
from benchmarks.attacks.ways import Way
from benchmarks.programs import BenchmarkError, Program
from benchmarks.table import markdown
from protocol.limits import MIB

LOAD_S = 240.0  # 10,000 WebSockets take a minute and a half
BACK_S = 90.0  # for forty clients to come back on one processor
FARM = tuple(f"machine{number}" for number in range(40))
HEAD = ("load", "by", "asked", "refused", "VmHWM, MiB", "formula, MiB")

# What the server logs where somebody has met a share.
COMPLAINTS = ("overloaded", "--max-connections allows more")


def complaints(log: str) -> list[str]:
    """The lines of a server's log that tell of a share."""
    return [line for line in log.splitlines() if any(said in line for said in COMPLAINTS)]


async def run(ways: Sequence[str], network: Network, folder: Path) -> str:
    """All loads by all ways; the table, and a note for each that went wrong."""
    lines: list[Sequence[str]] = [HEAD]
    notes = []
    for way in map(Way, ways):
        for load in HONEST:
            where = folder / f"{load.name}-{way}"
            try:
                lines.append(await loaded(load, way, network, where))
            except (BenchmarkError, OSError) as error:
                notes.append(f"* {load.name}, {way}: {error}")
        try:
            lines.append(await farmed(way, network, folder / f"farm-{way}"))
        except (BenchmarkError, OSError) as error:
            notes.append(f"* farm, {way}: {error}")
    return "\n\n".join([markdown(lines), "\n".join(notes)]).rstrip()


async def loaded(load: HonestLoad, way: Way, network: Network, folder: Path) -> list[str]:
    async with open_site(folder, network, way, tunnels=load.tunnels) as site:
        async with running_load(load.name, site, LOAD_S) as program:
            await program.end()
            told = await program.json_line("asked")
        peak_bytes = usage.memory(site.server.pid).peak_bytes
    counts = {name: number for name, number in told.items() if isinstance(number, int)}
    print(f"{load.name}, {way}: {told}", file=sys.stderr)
    refused = counts["refused"] + counts["closed"] + logged(site.server)
    cells = [load.says, str(way), f"{counts['asked']:,}", str(refused)]
    return [*cells, f"{peak_bytes / MIB:.0f}", f"{formula_bytes(counts['places'], 0) / MIB:.0f}"]


async def farmed(way: Way, network: Network, folder: Path) -> list[str]:
    """Forty clients of one token that start at once, and come back to a server that restarts."""
    async with open_site(folder, network, way, tunnels=FARM) as site:
        async with restarted(site, network) as server:
            refused = logged(site.server)
            peak_bytes = usage.memory(server.pid).peak_bytes
        refused += logged(server)
    cells = ["40 clients of one token, and again after a restart", str(way), "80", str(refused)]
    return [*cells, f"{peak_bytes / MIB:.0f}", f"{formula_bytes(0, 0) / MIB:.0f}"]


@asynccontextmanager
async def restarted(site: Site, network: Network) -> AsyncIterator[Program]:
    """The server of a farm that was stopped and started again, when all clients have come back.

    Raises BenchmarkError where one of them has not within BACK_S.
    """
    await site.server.end()
    async with open_server("again", site.folder, network, site.entrance) as (server, _):
        await server.lines_with("is online", len(FARM), BACK_S)
        yield server


def logged(server: Program) -> int:
    said = complaints("\n".join(server.lines()))
    for line in said:
        print(line, file=sys.stderr)
    return len(said)
