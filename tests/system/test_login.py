"""`tunnel-client login` with real programs: by a terminal, by a pipe, and what comes after it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
from pathlib import Path

import pytest
import trio

from tests.patience import PATIENCE
from tests.programs import SCRIPTS, Programs, isolated
from tests.system.origin import Origin
from tests.system.test_surfaces import DOMAIN
from tests.system.test_tokens import Operator, server_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
TYPED_S = 30.0 * PATIENCE


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


async def client(home: Path, *words: str, stdin: str = "") -> tuple[int, str, str]:
    done = await trio.run_process(
        [str(SCRIPTS / "tunnel-client"), *words],
        stdin=stdin.encode(),
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env=isolated(home),
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def typed(home: Path, said: str, *words: str) -> tuple[int, str]:
    """Run it on a terminal of its own, and type this at its prompt; what the screen had."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(SCRIPTS / "tunnel-client"), *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=isolated(home),
        start_new_session=True,
    )
    os.close(theirs)
    screen, is_typed = b"", False
    while True:
        readable, _, _ = select.select([ours], [], [], TYPED_S)
        assert readable, screen
        try:
            screen += os.read(ours, 4096)
        except OSError:  # EIO: it has closed its end
            break
        if b"token: " in screen and not is_typed:
            os.write(ours, said.encode() + b"\n")
            is_typed = True
    os.close(ours)
    return process.wait(TYPED_S), screen.decode()


async def test_a_token_that_is_typed_is_not_shown_and_is_used_from_then_on(
    programs: Programs, origin: Origin, operator: Operator
) -> None:
    token = (await operator.json("token", "create", "ann", "--init"))["token"]
    _, port = await server_of(programs, operator)
    home, url = programs.folder / "home", f"http://localhost:{port}"
    code, screen = await trio.to_thread.run_sync(typed, home, token, "login", url)
    assert code == 0, screen
    assert token not in screen
    assert f"logged in at {url} as ann" in screen
    client_program = await programs.start(
        "tunnel-client", "http", str(origin.port), "--json", "--subdomain", "app"
    )
    assert (await client_program.event("ready"))["url"] == f"http://app.{DOMAIN}:{port}"
    code, out, _ = await client(home, "status")
    assert (code, out) == (0, f"{url} (default): ann; app\n")
    await operator.json("token", "revoke", "ann")
    assert await client_program.exit_code() == 3
    code, out, _ = await client(home, "status")
    assert code == 1
    assert out.startswith(f"{url} (default): refused: it does not take it")


async def test_by_a_pipe_a_wrong_one_changes_nothing_and_a_logout_forgets(
    programs: Programs, operator: Operator
) -> None:
    token = (await operator.json("token", "create", "ann", "--init"))["token"]
    _, port = await server_of(programs, operator)
    home, url = programs.folder / "home", f"http://localhost:{port}"
    code, out, said = await client(home, "login", url, stdin=f"tt_{'x' * 43}\n")
    assert (code, out) == (3, "")
    assert f"{url} does not take this token" in said
    assert "x" * 43 not in said
    assert (await client(home, "status"))[1].startswith("you are logged in nowhere")
    assert (await client(home, "login", url, stdin=f"{token}\n"))[0] == 0
    path = home / "state" / "trio-tunnel" / "logins.json"
    assert path.stat().st_mode & 0o777 == 0o600
    code, out, _ = await client(home, "logout")
    assert (code, out) == (0, f"the token for {url} is forgotten\n")
    assert token not in path.read_text()
