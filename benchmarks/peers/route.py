"""What a peer of the benchmark is: something that can stand between the load and the backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Route:
    """The public side of a peer that runs: where the load goes, and the programs to measure."""

    port: int  # of 127.0.0.1
    host: str  # for the Host field
    programs: Mapping[str, int]  # process ids of "server" and "client", as far as there are any


@dataclass(frozen=True)
class Peer:
    """`missing` names what has to be installed; `open` runs the peer for the length of a block.

    `open` gets the backend's port and an empty folder, and raises BenchmarkError when a program
    does not start.
    """

    name: str
    missing: Callable[[], list[str]]
    open: Callable[[int, Path], AbstractAsyncContextManager[Route]]
    most_websockets: int | None = None  # None: as many as there is memory for
