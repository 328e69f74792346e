"""Whose the files are: the table of docs/security.md, with the programs themselves, as root."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.needs import needs
from tests.programs import Programs

USER = 1000

NEEDS = ("--domain", "example.com")  # tokens
TOKEN = f"tt_{'x' * 43}\n"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        needs("root")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    return state


async def ended(
    programs: Programs, program: str, *arguments: str, by: tuple[str, ...] = ()
) -> tuple[int, str]:
    """The exit code of a command, and the lines of its stderr."""
    run = await programs.start(program, *arguments, by=by)
    code = await run.exit_code()
    run.stray.clear()  # what it prints for people is no event
    return code, run.stderr


async def test_sudo_makes_files_of_the_user_whose_folder_it_is(
    programs: Programs, state: Path
) -> None:
    os.chown(state, USER, USER)
    for folder in (state.parent, *state.parent.parents):
        if "pytest" in folder.name or folder == state.parent:
            folder.chmod(0o711)  # pytest's own, which only root may pass
    arguments = ("token", "create", "ann", "--init", "--state-dir", str(state))
    assert (await ended(programs, "tunnel-server", *arguments))[0] == 0
    server, _ = await programs.server(
        "--state-dir", str(state), "--trust-state-dir", "--domain", "example.com"
    )
    await server.stop()
    status = (state / "state.db").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (USER, 0o600)


async def test_a_volume_of_another_user_is_refused_with_the_line_that_changes_it(
    programs: Programs, state: Path
) -> None:
    os.chown(state, USER, USER)
    check = ("config", "check", "--state-dir", str(state))
    for arguments in (check, ("--bind", "127.0.0.1:0", *check[2:])):
        code, said = await ended(programs, "tunnel-server", *arguments)
        assert code == 1
        assert said.endswith(f": chown root {state}\n")
        assert len(said.splitlines()) == 1
    assert await ended(programs, "tunnel-server", *check, "--trust-state-dir") == (0, "")


async def test_a_volume_of_root_is_taken(programs: Programs, state: Path) -> None:
    os.chmod(state, 0o755)
    arguments = ("token", "create", "ann", "--init", "--state-dir", str(state))
    assert (await ended(programs, "tunnel-server", *arguments))[0] == 0
    check = ("config", "check", "--state-dir", str(state), *NEEDS)
    assert await ended(programs, "tunnel-server", *check) == (0, "")


@pytest.mark.needs("unshare")
async def test_a_volume_that_is_mounted_read_only_is_taken_whatever_its_modes_are(
    programs: Programs, state: Path
) -> None:
    arguments = ("token", "create", "ann", "--init", "--state-dir", str(state))
    assert (await ended(programs, "tunnel-server", *arguments))[0] == 0
    for path in (state / "state.db", state):
        os.chown(path, USER, USER)
        path.chmod(0o777)
    check = ("config", "check", "--state-dir", str(state), *NEEDS)
    assert (await ended(programs, "tunnel-server", *check))[0] == 1
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    by = ("unshare", "--mount", "sh", "-c", mount, str(state))
    assert await ended(programs, "tunnel-server", *check, by=by) == (0, "")


@pytest.mark.parametrize("mode", [0o400, 0o444])
async def test_secrets_that_docker_kubernetes_and_systemd_hand_over_are_taken(
    programs: Programs, state: Path, mode: int
) -> None:
    token = state / "..data" / "token"  # as a volume of Kubernetes has it
    token.parent.mkdir()
    token.write_text(TOKEN)
    token.chmod(mode)
    (state / "token").symlink_to(token)
    for path in (token, state / "token"):
        check = ("config", "check", "--token-file", str(path), "--server", "https://a.example")
        assert await ended(programs, "tunnel-client", *check) == (0, "")
