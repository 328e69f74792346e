from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from protocol.errors import ConfigError
from protocol.program import private_files
from tunnel_client.settings import logins as module
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.config import gather
from tunnel_client.settings.credentials import choose_credential
from tunnel_client.settings.install_key import NOWHERE
from tunnel_client.settings.logins import FILE_NAME, LOGINS_MAX, Logins, StoredLogin

HOME = ServerUrl.parse("https://tunnel.example.com")
WORK = ServerUrl.parse("https://work.example.com:8443")
TOKEN, OTHER = "tt_" + "a" * 43, "tt_" + "b" * 43


@pytest.fixture
def logins(tmp_path: Path) -> Logins:
    return Logins(tmp_path / "state")


def test_a_token_is_kept_for_its_server_alone_and_nobody_else_may_read_it(
    logins: Logins, tmp_path: Path
) -> None:
    assert logins.all() == []
    logins.put(HOME, TOKEN)
    assert logins.of(HOME) == StoredLogin(str(HOME), TOKEN)
    for other in ("http://tunnel.example.com", "https://tunnel.example.com:8443"):
        assert logins.of(ServerUrl.parse(other)) is None
    path = tmp_path / "state" / FILE_NAME
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert logins.warning == ""
    assert TOKEN not in repr(logins.all()) + repr(logins)


def test_the_newest_is_the_last_also_where_it_is_not_the_first_time(logins: Logins) -> None:
    for server in (HOME, WORK):
        logins.put(server, TOKEN)
    assert [each.server for each in logins.all()] == [str(HOME), str(WORK)]
    logins.put(HOME, OTHER, insecure=True)
    assert logins.all()[1:] == [StoredLogin(str(HOME), OTHER, insecure=True)]
    newest = logins.newest()
    assert newest is not None
    assert newest.server == str(HOME)


def test_all_names_of_this_machine_are_one(logins: Logins) -> None:
    logins.put(ServerUrl.parse("http://127.0.0.1:8080"), TOKEN)
    assert logins.of(ServerUrl.parse("http://localhost:8080")) is not None


def test_one_is_forgotten(logins: Logins) -> None:
    assert not logins.remove(HOME)
    logins.put(HOME, TOKEN)
    logins.put(WORK, TOKEN)
    assert logins.remove(HOME)
    assert not logins.remove(HOME)
    assert [each.server for each in logins.all()] == [str(WORK)]


def test_there_is_a_most(logins: Logins) -> None:
    for number in range(LOGINS_MAX):
        logins.put(ServerUrl.parse(f"https://a{number}.example"), TOKEN)
    with pytest.raises(ConfigError, match="has 100 servers: log out of some"):
        logins.put(HOME, TOKEN)
    logins.put(ServerUrl.parse("https://a7.example"), OTHER)
    assert len(logins.all()) == LOGINS_MAX


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b'{"https://a.example": {}}',
        b'{"https://a.example": {"token": "a b"}}',
        b'{"ftp://a": {"token": "x"}}',
        b'{"https://a.example": 7}',
        b"\xff",
        b"[" * 100_000,
        b" " * (module.LOGINS_MAX_BYTES + 1),
    ],
)
def test_what_is_no_such_file_is_refused_and_stays(
    logins: Logins, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "state" / FILE_NAME
    path.parent.mkdir()
    path.write_bytes(content)
    for use in (logins.all, logins.newest, lambda: logins.put(HOME, TOKEN)):
        with pytest.raises(ConfigError, match="is damaged: delete it, and log in again"):
            use()
    assert path.read_bytes() == content


def test_where_nothing_can_be_kept_there_is_nothing_and_a_login_says_why() -> None:
    logins = Logins(NOWHERE)
    assert logins.all() == []
    with pytest.raises(ConfigError, match="cannot be used"):
        logins.put(HOME, TOKEN)


def test_two_at_once_lose_nothing(logins: Logins) -> None:
    servers = [ServerUrl.parse(f"https://a{number}.example") for number in range(16)]
    threads = [threading.Thread(target=logins.put, args=(server, TOKEN)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {each.server for each in logins.all()} == set(map(str, servers))


def test_one_that_others_may_read_is_told(
    logins: Logins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logins.put(HOME, TOKEN)
    (tmp_path / "state" / FILE_NAME).chmod(0o644)
    monkeypatch.setattr(private_files, "_ROOT", -1)  # whose files are warned of by nobody
    assert "can be read by others" in logins.warning


# --- which server, and which token ---------------------------------------------------------------


def test_where_nothing_names_a_server_the_newest_login_does(logins: Logins, tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert "server" not in gather({}, {}, None, state).resolved
    logins.put(HOME, TOKEN)
    given = gather({}, {}, None, state).resolved["server"]
    assert (given.value, given.source) == (str(HOME), "login")
    named = gather({"server": str(WORK)}, {}, None, state).resolved["server"]
    assert named.value == str(WORK)
    by_variable = gather({}, {"TUNNEL_SERVER": str(WORK)}, None, state).resolved["server"]
    assert by_variable.value == str(WORK)


def test_a_token_that_was_given_comes_before_that_of_a_login(
    logins: Logins, tmp_path: Path
) -> None:
    logins.put(HOME, TOKEN)
    state = tmp_path / "state"
    assert choose_credential(gather({}, {}, None, state), HOME, state).token == TOKEN
    given = gather({}, {"TUNNEL_TOKEN": OTHER}, None, state)
    assert choose_credential(given, HOME, state).token == OTHER
    elsewhere = choose_credential(gather({}, {}, None, state), WORK, state)
    assert elsewhere.token.startswith("ti_")  # the install key: no token goes to another server
    assert not elsewhere.is_given


def test_a_token_goes_unencrypted_only_where_the_login_said_that_the_line_is_safe(
    logins: Logins, tmp_path: Path
) -> None:
    state, server = tmp_path / "state", ServerUrl.parse("http://tunnel.example.com")
    logins.put(server, TOKEN)
    with pytest.raises(ConfigError, match=r"may not go to http://\S+ unencrypted"):
        choose_credential(gather({}, {}, None, state), server, state)
    logins.put(server, TOKEN, insecure=True)
    assert choose_credential(gather({}, {}, None, state), server, state).token == TOKEN
    assert json.loads((state / FILE_NAME).read_text())[str(server)]["insecure"]
