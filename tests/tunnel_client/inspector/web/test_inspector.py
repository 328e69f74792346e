"""The inspector beside a tunnel: it starts without holding it up, and its faults are its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.inspector_fakes import TOKEN, RunningInspector, an_inspector
from tests.memory_streams import MemoryStream, a_dispatcher, an_open
from tunnel_client.inspector.web.listening import LOOPBACK, USUAL_PORTS
from tunnel_client.inspector.web.place import open_place
from tunnel_client.settings.target import Target

ROOT = Path(__file__).resolve().parents[4]

# In a process of its own: here all is loaded already.
STARTS = """
import sys
import trio
from tests.inspector_fakes import READY, an_inspector
from tests.turns import short_turns

async def main():
    async with an_inspector(ready=False) as running:
        assert not {'starlette', 'hypercorn'} & set(sys.modules)
        with short_turns():
            running.inspector.tell(READY)
            await running.get('/api/run')
        assert {'starlette', 'hypercorn'} <= set(sys.modules)

trio.run(main)
"""


@pytest.mark.slow
def test_the_server_is_loaded_after_ready_and_without_a_long_turn() -> None:
    argv = [sys.executable, "-c", STARTS]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def download_while_it_ends(running: RunningInspector) -> None:
    """A download that is half done when the inspector ends is whole."""
    piece = b"0123456789abcdef" * 4096
    async with a_dispatcher(tap_for=running.inspector.tap_for) as (dispatcher, origin, _):
        stream = MemoryStream(an_open("http", b"GET", None))
        dispatcher.serve(stream)
        app = await origin.accept()
        await app.request()
        await app.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(piece) * 32))
        for number in range(32):
            await app.send(piece)
            if number == 8:
                while not running.inspector.is_off:
                    await trio.testing.wait_all_tasks_blocked(0.01)
        await dispatcher.wait_quiet()
    assert stream.end == "end"
    assert stream.body == piece * 32


async def test_a_fault_in_the_store_ends_no_download(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise RuntimeError("a bug")

    async with an_inspector() as running:
        await running.get("/api/run")
        monkeypatch.setattr(running.store, "sort", fail)
        await download_while_it_ends(running)
    assert "the inspector has failed" in caplog.text


def test_the_port_of_the_app_is_left_to_it(tmp_path: Path) -> None:
    target = Target.parse(f"localhost:{USUAL_PORTS[0]}")
    places = [open_place(True, None, target, tmp_path) for _ in range(2)]
    try:
        ports = [place.port for place in places]
        assert target.port not in ports
        assert len(set(ports)) == 2
    finally:
        for place in places:
            place.sock.close()


def test_the_link_has_the_token_and_nothing_else_shows_it(tmp_path: Path) -> None:
    place = open_place((LOOPBACK, 0), None, Target.parse("3000"), tmp_path)
    try:
        assert place.link == f"http://127.0.0.1:{place.port}/#t={place.token.text}"
        assert place.token.text not in f"{place!r} {place.url}"
        assert TOKEN not in place.link
    finally:
        place.sock.close()
