"""Real programs that upload what a test writes to them, and show what they are answered meanwhile.

curl, Node's http and Python's http.client, which reads one piece of the answer behind each that it
sends. They stop where the connection ends.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from tests.needs import needs
from tests.programs import Address
from tests.system.early_visitors import PROGRAM_S

_NODE_TALKS: Final = """
const [port, host, path] = process.argv.slice(1);
const http = require('http'), agent = new http.Agent({keepAlive: true});
const headers = {Host: host, 'Transfer-Encoding': 'chunked'};
const request = http.request({host: '127.0.0.1', port, method: 'POST', path, headers, agent});
request.on('socket', socket => socket.on('error', () => process.exit(3)));
request.on('error', () => process.exit(3));
request.on('response', answer => answer.pipe(process.stdout));
process.stdin.pipe(request);
"""

_PYTHON_TALKS: Final = """
import http.client, sys
port, host, target = sys.argv[1:]
connection = http.client.HTTPConnection("127.0.0.1", int(port))
connection.putrequest("POST", target, skip_host=True, skip_accept_encoding=True)
connection.putheader("Host", host)
connection.putheader("Transfer-Encoding", "chunked")
connection.endheaders()
answer = connection.getresponse()
def show(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
if answer.length:  # which chunks have not
    show(answer.read())
try:
    while piece := sys.stdin.buffer.read1(65536):
        connection.send(b"%x\\r\\n%b\\r\\n" % (len(piece), piece))
        show(answer.read1(65536))
    connection.send(b"0\\r\\n\\r\\n")
    show(answer.read())
except OSError:
    sys.exit(3)
"""

Talk = tuple[trio.abc.SendStream, trio.abc.ReceiveStream]  # to the program, and from it

TALKING: Final = ("curl", "node", "python")


@asynccontextmanager
async def talking(program: str, address: Address, target: str) -> AsyncIterator[Talk]:
    """POSTs what comes by its stdin, in chunks as it comes; its stdout is the answer's body."""
    here, host = f"http://127.0.0.1:{address.port}{target}", address.authority
    said = (str(address.port), host, target)
    if program == "curl":
        flags = ("-sN", "-H", f"Host: {host}", "-H", "Expect:", "-X", "POST", "-T", ".")
        command = [*needs("curl"), *flags, here]
    elif program == "node":
        command = [*needs("node"), "-e", _NODE_TALKS, *said]
    else:
        command = [sys.executable, "-c", _PYTHON_TALKS, *said]
    pipe = subprocess.PIPE
    process: trio.Process = await trio.lowlevel.open_process(command, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with trio.fail_after(PROGRAM_S):
            async with process.stdin, process.stdout:
                yield process.stdin, process.stdout
                await process.stdin.aclose()
                async for _ in process.stdout:  # or it would wait for us
                    pass
                await process.wait()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
