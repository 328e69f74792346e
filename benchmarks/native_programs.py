"""The C programs in native/: compiled for each run, then the backend and the load."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.route import Route
from benchmarks.programs import BenchmarkError, Program, output, path_of, running

SOURCES = Path(__file__).parent / "native"
COMPILE_S = 30.0
# Bytes of one body. Long enough that the heads do not count; short enough that the last ones,
# which are finished after the time is up, do not take long on a slow peer.
BODY_BYTES = 32 * 1024 * 1024
GRACE_S = 30.0  # over the time asked for, to finish bodies


@dataclass(frozen=True)
class NativePrograms:
    """The folder that the compiled programs are in."""

    folder: Path

    @asynccontextmanager
    async def backend(self) -> AsyncIterator[int]:
        """The web app that every peer leads to; gives its port."""
        async with running("backend", [str(self.folder / "backend")], self.folder) as program:
            port = (await program.json_line("port"))["port"]
            assert isinstance(port, int)
            yield port

    async def load(self, mode: str, route: Route, connections: int, seconds: int) -> float:
        """Bytes ("download", "upload") or messages ("echo") in a second.

        Raises BenchmarkError when anything fails.
        """
        argv = [*self._argv(mode, route, connections), str(seconds), str(BODY_BYTES)]
        found = json.loads(await output(argv, seconds + GRACE_S))
        return float(found["count"]) / float(found["seconds"])

    def idle_websockets(self, route: Route, count: int) -> AbstractAsyncContextManager[Program]:
        """A program that opens WebSockets, prints a line with "held", and keeps them."""
        return running("hold", self._argv("hold", route, count), self.folder)

    def _argv(self, mode: str, route: Route, connections: int) -> list[str]:
        return [str(self.folder / "load"), mode, str(route.port), route.host, str(connections)]


async def compiled(folder: Path) -> NativePrograms:
    """Compiles both programs into the folder. Raises BenchmarkError when that fails."""
    for name in ("backend", "load"):
        argv = [path_of("cc"), "-O2", "-Wall", "-pthread", "-o", str(folder / name)]
        try:
            await output([*argv, str(SOURCES / f"{name}.c")], COMPILE_S)
        except BenchmarkError as error:
            raise BenchmarkError(f"{name}.c does not compile: {error}") from error
    return NativePrograms(folder)
