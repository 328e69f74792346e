"""WsgiDAV: what names the server's own URLs, in the fields of WebDAV, is the same as without."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.apps.environments import environment
from tests.e2e.dev_servers import dev_server, free_port
from tests.patience import PATIENCE
from tests.programs import Address, Programs

ANSWER_S = 20 * PATIENCE
LOCK = (
    b'<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
)


def ask(
    address: Address, method: str, path: str, fields: dict[str, str], body: bytes = b""
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=ANSWER_S)
    connection.request(method, path, body, {"Host": address.authority, **fields})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def copy_move_lock(address: Address) -> Iterator[tuple[str, int]]:
    """Yield each step, and the status of its answer. In the end nothing is left."""

    def step(method: str, path: str, body: bytes = b"", **fields: str) -> tuple[str, int]:
        return method, ask(address, method, path, fields, body).status

    origin = f"http://{address.authority}"
    yield step("MKCOL", "/d/")
    yield step("PUT", "/d/a", b"one")
    yield step("COPY", "/d/a", Destination=f"{origin}/d/b")
    yield step("MOVE", "/d/a", Destination=f"{origin}/d/c")
    yield step("COPY", "/d/b", Destination="/d/e")
    yield step("MOVE", "/d/b", Destination="http://elsewhere.example/d/f")
    locked = ask(address, "LOCK", "/d/c", {"Timeout": "Second-60"}, LOCK)
    yield "LOCK", locked.status
    token = locked.getheader("Lock-Token", "")
    yield step("PUT", "/d/c", b"two")
    yield step("PUT", "/d/c", b"two", If=f"<{origin}/d/c> ({token})")
    yield step("MOVE", "/d/c", Destination=f"{origin}/d/f")
    held = f"<{origin}/d/c> ({token})"
    yield step("MOVE", "/d/c", Destination=f"{origin}/d/f", If=held, Overwrite="T")
    yield step("GET", "/d/f")
    yield step("PROPFIND", "/d/", Depth="1")
    yield step("DELETE", "/d/")


@pytest.mark.timeout(600)  # the first one installs it
async def test_files_are_copied_moved_and_locked(programs: Programs, tmp_path: Path) -> None:
    bins, port = await environment("webdav"), free_port()
    (tmp_path / "shared").mkdir()
    where = ("--host=127.0.0.1", f"--port={port}", "--root=shared", "--auth=anonymous")
    async with dev_server(tmp_path, str(bins / "wsgidav"), *where):
        tunnel = await programs.tunnel(port)
        direct = await trio.to_thread.run_sync(list, copy_move_lock(Address(port, "localhost")))
        assert direct == [
            *(("MKCOL", 201), ("PUT", 201), ("COPY", 201), ("MOVE", 201), ("COPY", 201)),
            ("MOVE", 502),
            *(("LOCK", 200), ("PUT", 423), ("PUT", 204), ("MOVE", 423), ("MOVE", 201)),
            *(("GET", 200), ("PROPFIND", 207), ("DELETE", 204)),
        ]
        through = await trio.to_thread.run_sync(list, copy_move_lock(tunnel.address))
    assert through == direct
