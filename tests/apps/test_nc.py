"""A shell script that answers by nc, each line with the LF that `echo` writes."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from tests.e2e.dev_servers import free_port
from tests.patience import PATIENCE
from tests.programs import Address, Programs

ANSWER_S = 20 * PATIENCE
SCRIPT = r"""
{ echo 'HTTP/1.1 200 OK'; echo 'Content-Type: text/plain'; %s echo; echo hello; } |
  nc -v -N -l 127.0.0.1 %d
"""


@asynccontextmanager
async def nc(fields: str, port: int) -> AsyncIterator[None]:
    """One answer of the script, which has ended with the block.

    It takes one connection, and resets those that come meanwhile as it ends.
    """
    command = ["sh", "-c", SCRIPT % (fields, port)]
    process: trio.Process = await trio.lowlevel.open_process(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stderr is not None
    try:
        said = b""
        while b"Listening" not in said:
            said += await process.stderr.receive_some()
        yield
        await process.wait()
    finally:
        with suppress(ProcessLookupError):
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
    port = free_port()
    async with nc(fields, port):
        tunnel = await programs.tunnel(port)
        await tunnel.client.event("identity")  # the client has asked it by which name it goes
    for _ in range(3):
        async with nc(fields, port):
            answered = await trio.to_thread.run_sync(get, tunnel.address)
        assert answered == (200, "text/plain", b"hello\n")
