"""A shell script that answers by nc, each line with the LF that `echo` writes."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.e2e.dev_servers import free_port
from tests.patience import PATIENCE
from tests.programs import Address, Programs

ANSWER_S = 20 * PATIENCE
SCRIPT = r"""
while :; do
  { echo 'HTTP/1.1 200 OK'; echo 'Content-Type: text/plain'; %s echo; echo hello; } |
    nc -N -l 127.0.0.1 %d
done
"""


@asynccontextmanager
async def nc(fields: str) -> AsyncIterator[int]:
    """The script, in a group of its own; its port."""
    port = free_port()
    process = await trio.lowlevel.open_process(
        ["sh", "-c", SCRIPT % (fields, port)], stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await process.wait()


def get(address: Address) -> tuple[int, str | None, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/", headers={"Host": address.authority})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read()
    finally:
        connection.close()


@pytest.mark.needs("nc")
@pytest.mark.parametrize("fields", ["", "echo 'Content-Length: 6';"], ids=["until close", "length"])
async def test_its_answers_arrive(programs: Programs, fields: str) -> None:
    async with nc(fields) as port:
        tunnel = await programs.tunnel(port)
        for _ in range(3):  # nc serves one connection, and the next one is another nc's
            answered = await trio.to_thread.run_sync(get, tunnel.address)
            assert answered == (200, "text/plain", b"hello\n")
