"""Tokens of the store with real programs: made, rotated and revoked while they are used."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from protocol import SUBPROTOCOLS
from tests.programs import EVENT_S, SCRIPTS, Address, Program, Programs, isolated
from tests.system.origin import Origin
from tests.system.test_surfaces import DOMAIN, client_with
from tests.system.visitor import fetch, visit
from tunnel_server.owners.store import FILE_NAME, open_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Operator:
    """A person at the server's machine."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state of the server"
        self._home = folder / "home of the operator"

    async def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[bytes]:
        command = [str(SCRIPTS / "tunnel-server"), *words, "--state-dir", str(self.state)]
        done: subprocess.CompletedProcess[bytes] = await trio.run_process(
            command,
            stdin=stdin.encode(),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=isolated(self._home),
        )
        return done

    async def json(self, *words: str, stdin: str = "") -> Any:
        done = await self.run(*words, "--json", stdin=stdin)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


async def server_of(programs: Programs, operator: Operator) -> tuple[Program, int]:
    return await programs.server("--state-dir", str(operator.state), "--domain", DOMAIN)


async def test_from_nothing_to_two_people_one_of_whom_is_sent_away(
    programs: Programs, origin: Origin, operator: Operator
) -> None:
    ann = (await operator.json("token", "create", "ann", "--init"))["token"]
    _, port = await server_of(programs, operator)
    bob = (await operator.json("token", "create", "bob", "--names", "demo-*"))["token"]
    first = await client_with(programs, origin, port, ann)
    await first.event("ready")
    refused = await client_with(programs, origin, port, bob)  # it asks for the name app
    assert await refused.exit_code() == 3
    told = await refused.event("refused")
    assert told["code"] == "name-not-allowed"
    assert "app is not one that this token may have: demo-*" in told["message"]
    rows = (await operator.json("sessions"))["sessions"]
    assert [(row["owner"], row["token"], row["names"]) for row in rows] == [("ann", "ann", ["app"])]
    async with visit(Address(port, f"app.{DOMAIN}")) as visitor:
        await visitor.request(f"/endless?size={10**12}")
        await visitor.answer()
        body = visitor.body()
        await anext(body)
        answer = await operator.json("token", "revoke", "ann")
        assert (answer["state"], answer["ended_sessions"]) == ("revoked", 1)
        with trio.fail_after(EVENT_S), pytest.raises((trio.BrokenResourceError, Exception)):
            async for _ in body:  # what the kernel has of it, and the reset
                pass
    assert await first.exit_code() == 3
    assert (await first.event("refused"))["code"] == "unauthorized"
    states = {row["name"]: row["state"] for row in (await operator.json("token", "list"))["tokens"]}
    assert states == {"ann": "revoked", "bob": "good"}


async def test_with_grace_a_rotation_ends_nothing_and_without_it_what_was_before(
    programs: Programs, origin: Origin, operator: Operator
) -> None:
    first = (await operator.json("token", "create", "ann", "--init"))["token"]
    _, port = await server_of(programs, operator)
    client = await client_with(programs, origin, port, first)
    await client.event("ready")
    answer = await operator.json("token", "rotate", "ann", "--grace", "1h")
    assert answer["ended_sessions"] == 0
    assert (await fetch(Address(port, f"app.{DOMAIN}"))).body == b"hello"
    assert (await operator.json("token", "which", stdin=first))["state"] == "good"
    third = await operator.json("token", "rotate", "ann")
    assert third["ended_sessions"] == 1
    assert await client.exit_code() == 3
    assert (await operator.json("token", "which", stdin=first))["state"] == "rotated"
    again = await client_with(programs, origin, port, third["token"])
    await again.event("ready")
    [row] = (await operator.json("token", "list"))["tokens"]
    assert row["last_used"] is not None


async def test_a_name_is_closed_and_its_client_ends_with_3(
    programs: Programs, origin: Origin, operator: Operator
) -> None:
    token = (await operator.json("token", "create", "ann", "--init"))["token"]
    _, port = await server_of(programs, operator)
    client = await client_with(programs, origin, port, token)
    await client.event("ready")
    assert await operator.json("close", "app") == {"owner": "ann"}
    assert await client.exit_code() == 3
    refused = await client.event("refused")
    assert refused["code"] == "closed"
    assert refused["message"].startswith("whoever runs the server has closed it")


async def test_a_drain_stops_the_server_as_a_signal_does(
    programs: Programs, origin: Origin, operator: Operator
) -> None:
    await operator.json("token", "create", "ann", "--init")
    server, _ = await server_of(programs, operator)
    done = await operator.run("drain")
    assert done.stdout == b"it stops, and waits up to 8 s for open requests\n"
    assert await server.exit_code() == 0
    done = await operator.run("sessions")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no server runs with the state folder" in done.stderr


async def guess(port: int, asked: bytes, answers: list[bytes]) -> None:
    """Show wrong tokens, one after the other, as fast as they are answered."""
    while True:
        try:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            async with stream:
                await stream.send_all(asked)
                answers.append(bytes(await stream.receive_some())[9:12])
        except (OSError, trio.BrokenResourceError):
            await trio.lowlevel.checkpoint()


async def test_whoever_guesses_is_refused_each_time_and_costs_nobody_else_at_its_address_any(
    programs: Programs, origin: Origin, operator: Operator
) -> None:
    token = (await operator.json("token", "create", "ann", "--init"))["token"]
    server, port = await server_of(programs, operator)
    asked = (
        f"GET /_tunnel/control HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: {SUBPROTOCOLS[0]}\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Authorization: Bearer tt_{'x' * 43}\r\n\r\n"
    ).encode()
    answers: list[bytes] = []
    async with trio.open_nursery() as nursery:
        for _ in range(16):
            nursery.start_soon(guess, port, asked, answers)
        while len(answers) < 2_000:
            await trio.testing.wait_all_tasks_blocked()
        client = await client_with(programs, origin, port, token)
        await client.event("ready")
        assert (await fetch(Address(port, f"app.{DOMAIN}"))).body == b"hello"
        nursery.cancel_scope.cancel()
    assert set(answers) == {b"401"}
    told = [line for line in server.stderr.splitlines() if "unauthorized" in line]
    assert 1 <= len(told) < 10


# A thousand processes would take minutes; the two write as the commands do.
WRITE = """
import os, sqlite3, sys, time
from contextlib import closing
from pathlib import Path
from tunnel_server.owners.store import open_store
from tunnel_server.owners.token_table import NewToken

path, who = Path(sys.argv[1]), sys.argv[2]
with closing(open_store(path)) as store:
    for number in range(10**6):
        name = f"{who}{number}"
        try:
            store.tokens.create(NewToken(name, who), os.urandom(32), 0)
            os.write(1, f"made {name}\\n".encode())
            if number % 2:
                store.tokens.revoke(name, 1)
                os.write(1, f"revoked {name}\\n".encode())
        except sqlite3.OperationalError:  # the other one had it for all of two seconds
            pass
        time.sleep(0.005)  # a command takes longer to start; the lock is fair to nobody
"""


def test_what_two_programs_were_told_is_done_outlives_their_kill(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    open_store(path).close()
    told: list[list[str]] = []
    for round_ in range(4):
        children = [
            subprocess.Popen(
                [sys.executable, "-c", WRITE, str(path), f"{who}{round_}-"],
                stdout=subprocess.PIPE,
                text=True,
            )
            for who in "ab"
        ]
        for child in children:
            assert child.stdout is not None
            told += [child.stdout.readline().split() for _ in range(120)]
        for child in children:  # each is in the middle of something
            child.send_signal(signal.SIGKILL)
        for child in children:
            assert child.stdout is not None
            told += [line.split() for line in child.stdout.read().splitlines()]
            child.wait()
            child.stdout.close()
        with closing(open_store(path)) as store:
            tokens = {token.name: token for token in store.tokens.all().tokens}
        assert all(name in tokens for _, name in told)
        revoked = [name for word, name in told if word == "revoked"]
        assert all(tokens[name].revoked_at == 1 for name in revoked)
    assert len(told) >= 960
