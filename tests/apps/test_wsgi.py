"""Python's WSGI servers, as they are started by hand."""

from __future__ import annotations

import http.client

import pytest
import trio

from tests.apps.environments import HERE, environment
from tests.e2e.dev_servers import dev_server, free_port
from tests.patience import PATIENCE
from tests.programs import Address, Programs

ANSWER_S = 20 * PATIENCE
SERVERS = {
    "gunicorn": "gunicorn --bind 127.0.0.1:{port} shared:application",
    "waitress": "waitress-serve --listen=127.0.0.1:{port} shared:application",
    "werkzeug": "python shared.py {port}",
}


def post(address: Address, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=ANSWER_S)
    try:
        connection.request("POST", "/hook", body, {"Host": address.authority})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.timeout(600)  # the first one installs all three
@pytest.mark.parametrize("server", SERVERS)
async def test_a_wsgi_server_gets_the_body(programs: Programs, server: str) -> None:
    bins = await environment("wsgi")
    program, *arguments = SERVERS[server].format(port=free_port()).split()
    async with dev_server(HERE / "wsgi-app", str(bins / program), *arguments) as port:
        tunnel = await programs.tunnel(port)
        answered = await trio.to_thread.run_sync(post, tunnel.address, b"x" * 1000)
    assert answered == (200, b"POST /hook 1000")
