"""The end of one direction over TLS, told to other programs' TLS than Python's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trustme

from tests.apps.running import running
from tests.needs import needs
from tunnel_client.origin.connection import OriginConnection
from tunnel_client.origin.dial import Dialer
from tunnel_client.settings.target import Target

NODE = """
const [pem, maxVersion, port, half] = process.argv.slice(1)
const key = require('fs').readFileSync(pem)
const options = { key, cert: key, maxVersion, allowHalfOpen: half === 'half' }
require('tls').createServer(options, (socket) => {
  let said = ''
  socket.on('data', (data) => { said += data })
  socket.on('end', () => {
    const answer = 'x'.repeat(100000) + said
    if (options.allowHalfOpen) setTimeout(() => socket.end(answer), 10)
    else socket.write(answer)
  })
}).listen(+port, '127.0.0.1')
"""
SAID = b"to the end"


async def answer_of(port: int) -> bytes:
    """All that the app says, to an end that is none of a broken connection."""
    dialer = Dialer(Target.parse(f"https://127.0.0.1:{port}"), insecure=True)
    connection = OriginConnection(await dialer.open())
    received = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(say_all, connection)
        while data := await connection.receive():
            received += data
    await connection.aclose(1)
    return received


async def say_all(connection: OriginConnection) -> None:
    await connection.send(SAID + b"\n")
    await connection.send_eof()


def certificate(folder: Path) -> Path:
    path = folder / "app.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    return path


@pytest.mark.needs("node")
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("half", ["half", "whole"])
async def test_node_answers_behind_our_close_notify(
    tmp_path: Path, version: str, half: str
) -> None:
    pem = certificate(tmp_path)
    command = [*needs("node"), "-e", NODE, str(pem), version, "{port}", half]
    async with running(tmp_path, command) as port:
        answer = await answer_of(port)
    assert answer == b"x" * 100_000 + SAID + b"\n"


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_openssl_answers_behind_our_close_notify(tmp_path: Path, version: str) -> None:
    pem = str(certificate(tmp_path))
    flags = ("-accept", "127.0.0.1:{port}", "-cert", pem, "-key", pem, "-quiet", "-rev", version)
    async with running(tmp_path, [*needs("openssl"), "s_server", *flags]) as port:
        assert await answer_of(port) == SAID[::-1] + b"\n"
