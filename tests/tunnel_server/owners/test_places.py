from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import ConfigError
from protocol.program.private_files import UnsafePathError
from tunnel_server.owners.auth_file import AuthFile, add_token
from tunnel_server.owners.ownership import Right
from tunnel_server.owners.places import check_tokens, open_authenticator
from tunnel_server.owners.tokens import digest_of, make_token
from tunnel_server.settings.config import ServerConfig

ALICE = make_token(b"a" * 32)
OWNERS = {digest_of(ALICE): "alice"}


def guarded(folder: Path, **settings: object) -> ServerConfig:
    return ServerConfig(domain="example.com", state_dir=folder, **settings)  # type: ignore[arg-type]  # any of them


def opened(config: ServerConfig) -> AuthFile | None:
    return open_authenticator(config)._file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    add_token(tmp_path / "state" / "tokens", "alice", ALICE)
    return tmp_path / "state"


async def test_a_server_that_needs_no_token_knows_those_that_there_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = ServerConfig(state_dir=tmp_path)
    file = opened(config)
    assert file is not None
    assert file.owners == {}
    assert caplog.text == ""  # nobody needs one
    add_token(config.tokens_file, "alice", ALICE)
    file.look(0.0)  # also one that is made later
    assert file.owners == OWNERS
    digest = digest_of("ti_x")
    assert open_authenticator(config).right_of(digest) == Right(f"key:{digest.hex()}")


def test_its_state_folder_is_looked_at_all_the_same(folder: Path) -> None:
    folder.chmod(0o770)
    with pytest.raises(UnsafePathError, match=f"^{folder} may be written by others: chmod go-w"):
        opened(ServerConfig(state_dir=folder))


def test_a_folder_and_a_file_of_its_own_are_believed(folder: Path) -> None:
    file = opened(guarded(folder))
    assert file is not None
    assert file.owners == OWNERS


@pytest.mark.parametrize("what", ["", "tokens"])
def test_what_others_may_write_is_not_unless_somebody_says_so(folder: Path, what: str) -> None:
    (folder / what).chmod(0o777)
    with pytest.raises(UnsafePathError, match="may be written by others"):
        opened(guarded(folder))
    file = opened(guarded(folder, trust_state_dir=True))
    assert file is not None
    assert file.owners == OWNERS


def test_a_symlink_in_the_state_folder_is_not(folder: Path, tmp_path: Path) -> None:
    named = tmp_path / "named"
    (folder / "tokens").rename(named)
    (folder / "tokens").symlink_to(named)
    with pytest.raises(UnsafePathError, match="is a symlink"):
        opened(guarded(folder))
    link = tmp_path / "link"
    link.symlink_to(named)
    file = opened(guarded(folder, auth_file=link))  # as Kubernetes has it
    assert file is not None
    assert file.owners == OWNERS


def test_one_that_becomes_writable_under_way_changes_nothing_any_more(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = opened(guarded(folder))
    assert file is not None
    (folder / "tokens").write_text("")
    (folder / "tokens").chmod(0o666)
    for now in range(20):
        file.look(now)
    assert file.owners == OWNERS
    assert caplog.text.count("may be written by others") == 1
    (folder / "tokens").chmod(0o600)  # as the line asked for: its content counts now
    for now in range(20, 30):
        file.look(now)
    assert file.owners == {}


def test_a_folder_that_becomes_writable_under_way_is_looked_at_until_it_is_not(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = opened(guarded(folder))
    assert file is not None
    folder.chmod(0o777)
    add_token(folder / "tokens", "bob", "tt_bob")
    for now in range(20):
        file.look(now)
    assert file.owners == OWNERS
    folder.chmod(0o700)
    file.look(20)
    assert set(file.owners.values()) == {*OWNERS.values(), "bob"}


def test_a_token_is_written_where_it_is_believed(folder: Path) -> None:
    (folder / "tokens").chmod(0o666)
    with pytest.raises(UnsafePathError):
        check_tokens(guarded(folder), folder / "tokens")
    check_tokens(guarded(folder, trust_state_dir=True), folder / "tokens")


def test_a_default_auth_file_that_cannot_be_used_is_the_state_folders_fault(tmp_path: Path) -> None:
    """Nobody has named --auth-file."""
    (tmp_path / "tokens").mkdir()
    with pytest.raises(ConfigError) as bad:
        open_authenticator(guarded(tmp_path))
    assert bad.value.key == "--state-dir"
    with pytest.raises(ConfigError) as bad:
        open_authenticator(guarded(tmp_path, auth_file=tmp_path / "tokens"))
    assert bad.value.key == "--auth-file"
