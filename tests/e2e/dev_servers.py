"""Dev servers as child processes: installed from their lockfiles, started as they stand."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from tests.needs import needs
from tests.patience import PATIENCE

HERE = Path(__file__).parent
INSTALL_S, START_S = 120 * PATIENCE, 60 * PATIENCE
# What each prints of where it listens; whatever colours it has are switched off. uWSGI and puma
# have words of their own.
LISTENS = re.compile(rb"(?:https?://|bound to TCP address )(?:localhost|127\.0\.0\.1):(\d+)/?")


async def install(app: Path, *names: str) -> None:
    """Copy the project tests/e2e/NAME to `app`, and install what its lockfile says.

    Of a file in several of them the last one's stays.
    """
    for name in names:
        ignored = shutil.ignore_patterns("node_modules")
        shutil.copytree(HERE / name, app, ignore=ignored, dirs_exist_ok=True)
    (npm,) = needs("npm")
    with trio.fail_after(INSTALL_S):
        await trio.run_process([npm, "ci", "--no-audit", "--no-fund"], cwd=app)


def edit(app: Path, name: str, text: str) -> None:
    """Give a file of a project new content in one step, as careful editors do.

    Written in place, a file is empty for a moment, and on a busy machine that is long enough to be
    seen: Next 16.4 then reports an export that is missing, and may answer the page with a 500. The
    draft lies outside of what is watched.
    """
    draft = app.with_name("draft")
    draft.write_text(text)
    draft.replace(app / name)


@asynccontextmanager
async def node_server(app: Path, *arguments: str) -> AsyncIterator[int]:
    """`node ARGUMENTS` in the project; the port that it chose, when it says so."""
    (node,) = needs("node")
    async with dev_server(app, node, *arguments) as port:
        yield port


@asynccontextmanager
async def dev_server(app: Path, *command: str) -> AsyncIterator[int]:
    """Run the command in the project for this block; the port that it prints.

    It is killed with everything that it started. What it printed is shown by a test that fails.
    """
    process: trio.Process = await trio.lowlevel.open_process(
        list(command),
        cwd=app,
        env={**os.environ, "NO_COLOR": "1", "NEXT_TELEMETRY_DISABLED": "1"},
        stdin=subprocess.PIPE,  # Vite ends when its stdin does
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a group: Next has children of its own
    )
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(START_S):
                listens = await nursery.start(show, process.stdout)
            yield int(listens[1])
            nursery.cancel_scope.cancel()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await process.wait()


async def show(
    stdout: trio.abc.ReceiveStream,
    ready: re.Pattern[bytes] = LISTENS,
    *,
    task_status: trio.TaskStatus[re.Match[bytes]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Read all that it prints, so that it never waits for us; started with what says it is ready.

    Node waits for its writes to a pipe (its docs, "process I/O"): once 64 KiB are unread it hangs.
    """
    said = b""
    started = False
    async for data in stdout:
        print(data.decode(errors="replace"), end="")
        if not started:
            said += data
            if found := ready.search(said):
                started = True
                task_status.started(found)


def free_port() -> int:
    """For a server that does not choose one by itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
