"""The program that makes a load, as the benchmark runs it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.attacks.site import ROOT, Site
from benchmarks.programs import Program, running


@asynccontextmanager
async def running_load(name: str, site: Site, within_s: float) -> AsyncIterator[Program]:
    """An attack, all of which is there when the block begins, or an honest load that is over.

    Raises BenchmarkError where that takes longer than `within_s`.
    """
    entrance = site.entrance
    argv = [sys.executable, "-m", "benchmarks.attacks.attacker", name, entrance.way]
    argv += [entrance.host, str(entrance.port), entrance.ours]
    async with running("attacker", argv, site.folder, {"PYTHONPATH": str(ROOT)}) as program:
        await program.line('"ready"', within_s)
        yield program
