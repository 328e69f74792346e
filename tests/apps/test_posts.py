"""POSTs through the tunnel to servers that close early, late, or serve one connection at a time.

None is lost, and nobody waits for long: neither a visitor nor who asks the app directly.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from itertools import cycle, islice

import pytest
import trio

from tests.apps.environments import HERE, environment
from tests.e2e.dev_servers import dev_server, free_port
from tests.needs import needs
from tests.patience import PATIENCE
from tests.programs import Address, Programs

POSTS = 500
TOGETHER = 4  # visitors, in the end
GIVEN_UP_S = 60.0
# What the tunnel may add to a wait, whatever holds the app up; and what the machine may.
ADDED_S, MACHINE_S = 1.0, 0.4 * PATIENCE
STRAIGHT_EVERY_S = 0.05

SERVERS = {
    "uwsgi": "uwsgi --http-socket 127.0.0.1:{port} --wsgi-file after.py",
    "http.server": "python one.py",
    "php": "php -S 127.0.0.1:{port} index.php",
    "puma": "puma --bind tcp://127.0.0.1:{port} config.ru",
    "gunicorn": "gunicorn --bind 127.0.0.1:{port} after:application",
    "waitress": "waitress-serve --listen=127.0.0.1:{port} after:application",
    "werkzeug": "python after.py {port}",
    "node": "node server.js",
}
OF_THE_SYSTEM = ("php", "puma", "node")


class Asker:
    """One who asks again and again, and notes what came of it.

    Args:
        where: the tunnel's address, or the app's own port.
        kept: all on one connection; else each on one of its own.
    """

    def __init__(self, where: Address | int, *, kept: bool) -> None:
        self.answers: Counter[tuple[int, bytes]] = Counter()
        self.longest_s = 0.0
        self._port = where if isinstance(where, int) else where.port
        self._host = f"127.0.0.1:{where}" if isinstance(where, int) else where.authority
        self._kept = kept

    def __repr__(self) -> str:
        return f"<Asker {dict(self.answers)}, {self.longest_s:.3f} s at most>"

    def ask(self, *methods: str) -> None:
        connection = self._connection()
        for method in methods:
            self._ask(connection, method)
            if not self._kept:
                connection.close()
        connection.close()

    def ask_until(self, over: threading.Event) -> None:
        """Ask with GET every 0.05 s, as a developer's health check does."""
        while not over.wait(STRAIGHT_EVERY_S):
            self.ask("GET")

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=GIVEN_UP_S)

    def _ask(self, connection: http.client.HTTPConnection, method: str) -> None:
        body = bytes(100) if method == "POST" else None
        began = time.monotonic()
        connection.request(method, "/", body, {"Host": self._host})
        answer = connection.getresponse()
        self.answers[answer.status, answer.read()] += 1
        self.longest_s = max(self.longest_s, time.monotonic() - began)


async def asked(asker: Asker, *methods: str) -> None:
    await trio.to_thread.run_sync(asker.ask, *methods)


async def command(server: str) -> list[str]:
    program, *arguments = SERVERS[server].format(port=free_port()).split()
    if program in OF_THE_SYSTEM:
        return [*needs(program), *arguments]
    return [str(await environment("wsgi") / program), *arguments]


@pytest.mark.timeout(600)  # the first one installs several
@pytest.mark.needs(*OF_THE_SYSTEM)
@pytest.mark.parametrize("server", SERVERS)
async def test_no_post_is_lost_and_nobody_waits_for_long(programs: Programs, server: str) -> None:
    async with dev_server(HERE / "post-app", *await command(server)) as port:
        before = Asker(port, kept=False)
        await asked(before, *["POST"] * 50)
        tunnel = await programs.tunnel(port)
        straight = Asker(port, kept=False)
        new, kept = (Asker(tunnel.address, kept=kept) for kept in (False, True))
        together = [Asker(tunnel.address, kept=bool(n % 2)) for n in range(TOGETHER)]
        mixed = list(islice(cycle(["GET", "POST", "GET", "GET", "POST"]), 50))
        over = threading.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, straight.ask_until, over)
            try:
                for asker in (new, kept):
                    await asked(asker, *["POST"] * POSTS)
                    await asked(asker, *mixed)
                async with trio.open_nursery() as visitors:
                    for asker in together:
                        visitors.start_soon(asked, asker, *mixed)
            finally:
                over.set()
        await asked(straight, "GET")
    print(server, before, new, kept, *together, straight)
    for asker in (new, kept):
        assert asker.answers == {(200, b"POST 100"): POSTS + 20, (200, b"GET 0"): 30}
    for asker in together:
        assert asker.answers == {(200, b"POST 100"): 20, (200, b"GET 0"): 30}
    for asker in (new, kept, *together, straight):
        assert asker.longest_s < before.longest_s + ADDED_S + MACHINE_S
