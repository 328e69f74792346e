"""Apps as child processes that listen on a port that they are told."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio

from tests.e2e.dev_servers import free_port
from tests.patience import PATIENCE

START_S = 60 * PATIENCE  # Gradio imports pandas
LOOK_EVERY_S = 0.05
# No app of a test asks anybody outside.
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "NEXT_TELEMETRY_DISABLED": "1",
    "ASTRO_TELEMETRY_DISABLED": "1",
    "NUXT_TELEMETRY_DISABLED": "1",
    "NO_COLOR": "1",
}


@asynccontextmanager
async def running(
    folder: Path,
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    *,
    port: int | None = None,
) -> AsyncIterator[int]:
    """Run an app in this folder for this block; the port on which it listens.

    It is told it as PORT, and wherever `{port}` stands in its command and environment. In the end
    it is killed with everything that it started. What it printed is shown by a test that fails.
    """
    port = port or free_port()
    told = {name: value.replace("{port}", str(port)) for name, value in (env or {}).items()}
    said = folder / f"said-{port}.log"
    with said.open("wb") as out:
        process: trio.Process = await trio.lowlevel.open_process(
            [part.replace("{port}", str(port)) for part in command],
            cwd=folder,
            env={**_without_pytest(), **QUIET, **told, "PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        await _wait_listening(process, port)
        yield port
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await process.wait()
        print(said.read_text(errors="replace")[-20_000:])


def _without_pytest() -> dict[str, str]:
    """The environment of this process; NiceGUI does not start where it finds itself in a test."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}


async def _wait_listening(process: trio.Process, port: int) -> None:
    with trio.fail_after(START_S):
        while process.poll() is None:
            for host in ("127.0.0.1", "::1"):
                with suppress(OSError):
                    async with await trio.open_tcp_stream(host, port):
                        return
            await trio.sleep(LOOK_EVERY_S)
    raise AssertionError(f"the app ended with {process.returncode} before it listened")
