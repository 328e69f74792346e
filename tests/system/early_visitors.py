"""Real programs that upload to an app which answers early: curl, Node's http, Python's http.client.

Each uploads a file, and then asks for `/next` in the same way, by the same connection if that lives
on. They connect to 127.0.0.1 and say whom they mean in Host, so that they need no names.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

import trio

from tests.needs import needs
from tests.patience import PATIENCE
from tests.programs import Address
from tests.system.early_app import EarlyApp
from tests.system.origin import blocks

# For 20 MB by a program that has to start, on a machine with other things to do.
PROGRAM_S: Final = 30 * PATIENCE


BODY_BYTES: Final = 12 << 20  # more than all buffers hold


class Body(NamedTuple):
    """What is uploaded, for programs in a file."""

    path: Path
    data: bytes
    sha256: str


def a_body(folder: Path) -> Body:
    path, data = folder / "body", b"".join(blocks(5, BODY_BYTES))
    path.write_bytes(data)
    return Body(path, data, hashlib.sha256(data).hexdigest())


_numbers = count()


def number() -> str:
    """For a request that no other has."""
    return str(next(_numbers))


def direct(app: EarlyApp) -> Address:
    """The app without the tunnel."""
    return Address(app.port, "localhost")


class Seen(NamedTuple):
    """What a visitor saw."""

    status: int  # 0: no answer
    reused: bool  # its next request went by the same connection, and was answered


# Where an answer has ended before its request, Node listens for no errors any more, and a write
# that fails ends the program: what listens at the socket lets it tell what it saw.
_NODE: Final = """
const [port, host, target, file, mode] = process.argv.slice(1);
const http = require('http'), fs = require('fs');
const agent = mode === 'close' ? false : new http.Agent({keepAlive: true, maxSockets: 1});
function ask(method, path, headers, body) {
  return new Promise(done => {
    const said = {status: 0, reused: false}, all = {Host: host, ...headers};
    const request = http.request({host: '127.0.0.1', port, method, path, headers: all, agent});
    request.on('socket', socket => socket.on('error', () => {}));
    request.on('response', answer => {
      said.status = answer.statusCode;
      if (mode === 'late' && body) request.on('finish', () => answer.resume());
      else answer.resume();
    });
    request.on('error', error => { said.error = error.code; });
    request.on('close', () => { said.reused = request.reusedSocket; done(said); });
    for (let at = 0; body && at < body.length; at += 65536)
      request.write(body.subarray(at, at + 65536));
    request.end();
  });
}
const body = fs.readFileSync(file);
const length = {'Content-Length': body.length}, chunked = {'Transfer-Encoding': 'chunked'};
ask('POST', target, mode === 'chunked' ? chunked : length, body).then(first =>
  ask('GET', '/next', {}).then(next => {
    const reused = next.status === 200 && next.reused;
    console.log(JSON.stringify({status: first.status, reused}));
    process.exit();
  }));
"""

_PYTHON: Final = """
import http.client, json, sys
port, host, target, file, mode = sys.argv[1:]
fields = {"Host": host, **({"Connection": "close"} if mode == "close" else {})}
connection = http.client.HTTPConnection("127.0.0.1", int(port))
if mode == "1.0":
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"
def ask(method, target, body):
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for field in fields.items():
        connection.putheader(*field)
    if mode == "chunked" and body:
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders([body[at:at + 65536] for at in range(0, len(body), 65536)],
                              encode_chunked=True)
    else:
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        try:
            connection.send(body)
        except (BrokenPipeError, ConnectionResetError):
            pass
    with connection.getresponse() as answer:
        answer.read()
        return answer.status
status, reused = 0, False
try:
    status = ask("POST", target, open(file, "rb").read())
    connection.auto_open = 0
    reused = connection.sock is not None and ask("GET", "/next", b"") == 200
except (OSError, http.client.HTTPException):
    pass
print(json.dumps({"status": status, "reused": reused}))
"""

CURL: Final = {
    "1.1": (),
    "close": ("-H", "Connection: close"),
    "1.0": ("--http1.0",),
    "chunked": ("-H", "Transfer-Encoding: chunked"),
}
NODE: Final = ("1.1", "close", "chunked", "late")  # late: it has sent all before it reads
PYTHON: Final = ("1.1", "close", "1.0", "chunked")


async def curl(address: Address, target: str, body: Path, mode: str) -> Seen:
    [program] = needs("curl")
    here = f"http://127.0.0.1:{address.port}"
    flags = ["-sS", "-H", f"Host: {address.authority}", "-o", "/dev/null"]
    told = ("-w", "%{http_code} %{num_connects}\n")
    # With Expect it waits for the 100 for ever, once it has read a 202; also without the tunnel.
    first = (*flags, "-H", "Expect:", *CURL[mode], *told, "--data-binary", f"@{body}")
    said = await _output([program, *first, here + target, "--next", *flags, *told, here + "/next"])
    (status, _), (next_status, connects) = (line.split() for line in said.splitlines())
    return Seen(int(status), (next_status, connects) == ("200", "0"))


async def node(address: Address, target: str, body: Path, mode: str) -> Seen:
    [program] = needs("node")
    arguments = (str(address.port), address.authority, target, str(body), mode)
    return Seen(**json.loads(await _output([program, "-e", _NODE, *arguments])))


async def python(address: Address, target: str, body: Path, mode: str) -> Seen:
    arguments = (str(address.port), address.authority, target, str(body), mode)
    return Seen(**json.loads(await _output([sys.executable, "-c", _PYTHON, *arguments])))


Program = Callable[[Address, str, Path, str], Awaitable[Seen]]

PROGRAMS: Final[tuple[tuple[Program, tuple[str, ...]], ...]] = (
    (curl, tuple(CURL)),
    (node, NODE),
    (python, PYTHON),  # which has sent all before it reads, in every mode
)


async def _output(command: list[str]) -> str:
    """What it prints; its exit code says nothing new, since errors are what is looked at."""
    with trio.fail_after(PROGRAM_S):
        done = await trio.run_process(
            command, capture_stdout=True, capture_stderr=True, check=False, stdin=subprocess.DEVNULL
        )
    return done.stdout.decode()
