"""The commands about tokens, on a store of their own; servers are played by a control socket."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import ConfigError
from tests.tunnel_server.admin.test_operating import a_server
from tunnel_server.admin.asking import NotDoneError
from tunnel_server.admin.token_answers import UNUSED_S
from tunnel_server.admin.token_desk import TokenDesk
from tunnel_server.owners.auth_file import add_token
from tunnel_server.owners.store import FILE_NAME, open_store
from tunnel_server.owners.token_table import NewToken
from tunnel_server.owners.tokens import digest_of, fingerprint_of, make_token
from tunnel_server.settings.config import ServerConfig

NOW = 1_764_000_000.0
BOB = make_token(b"b" * 32)
ANN = NewToken("ann", "ann")
ROW: dict[str, object] = {
    "name": "ann",
    "owner": "ann",
    "state": "good",
    "names": [],
    "limits": "",
    "created": "2025-11-24T16:00:00Z",
    "expires": None,
    "revoked": None,
    "last_used": None,
    "unused": False,
    "from": "store",
}


class World:
    def __init__(self, folder: Path) -> None:
        self.config = ServerConfig(state_dir=folder)
        self.now = NOW
        self._made = 0

    def desk(self, *, makes_state: bool = True) -> TokenDesk:
        return TokenDesk(
            self.config,
            makes_state=makes_state,
            now=lambda: self.now,
            random_bytes=self._random_bytes,
        )

    def _random_bytes(self, count: int) -> bytes:
        self._made += 1
        return bytes([self._made]) * count


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "state")


def secret(number: int) -> str:
    return make_token(bytes([number]) * 32)


def shown(number: int) -> str:
    return fingerprint_of(digest_of(secret(number)))


def test_a_token_is_made_and_listed_without_its_secret(world: World) -> None:
    answer = world.desk().create(ANN)
    assert answer == {"token": secret(1), **ROW, "fingerprint": shown(1)}
    new = NewToken("laptop", "ann", ("demo-*",), "", int(NOW) + 60)
    world.desk().create(new)
    rows = world.desk().all()["tokens"]
    assert rows[0] == {**ROW, "fingerprint": shown(1)}
    assert rows[1] == {
        **ROW,
        "name": "laptop",
        "names": ["demo-*"],
        "expires": "2025-11-24T16:01:00Z",
        "fingerprint": shown(2),
    }
    assert secret(1) not in str(rows)
    world.now += 60
    assert [row["state"] for row in world.desk().all()["tokens"]] == ["good", "expired"]


@pytest.mark.parametrize("new", [ANN._replace(name="a b"), ANN._replace(owner="")])
def test_a_name_that_is_none_is_refused(world: World, new: NewToken) -> None:
    with pytest.raises(ConfigError, match="takes 1 to 64 of letters"):
        world.desk().create(new)
    assert not world.config.state_dir.exists()


def test_nothing_is_made_where_nobody_said_so(world: World) -> None:
    desk = world.desk(makes_state=False)
    with pytest.raises(
        NotDoneError, match=r"or make it here: tunnel-server token create NAME --init"
    ):
        desk.create(ANN)
    assert desk.all() == {"tokens": []}
    assert not world.config.state_dir.exists()


def test_a_rotation_says_until_when_the_secret_before_is_good(world: World) -> None:
    world.desk().create(ANN)
    answer = world.desk().rotate("ann", 3600.0)
    assert (answer["token"], answer["fingerprint"]) == (secret(2), shown(2))
    assert answer["former_until"] == "2025-11-24T17:00:00Z"
    former = world.desk().which(secret(1))
    assert (former["state"], former["fingerprint"]) == ("good", shown(1))
    assert former["former_until"] == "2025-11-24T17:00:00Z"
    world.now += 3600
    assert world.desk().which(secret(1))["state"] == "rotated"
    assert world.desk().which(secret(2))["state"] == "good"
    assert world.desk().rotate("ann", 0)["former_until"] is None


def test_a_token_is_revoked_then_deleted_and_which_tells_so(world: World) -> None:
    world.desk().create(ANN)
    with pytest.raises(NotDoneError, match="ann is good still"):
        world.desk().delete("ann")
    answer = world.desk().revoke("ann")
    assert (answer["state"], answer["revoked"]) == ("revoked", ROW["created"])
    assert answer["ended_sessions"] == 0
    assert world.desk().which(secret(1))["state"] == "revoked"
    world.desk().delete("ann")
    with pytest.raises(NotDoneError, match=f"{shown(1)} was a token that is deleted"):
        world.desk().which(secret(1))
    with pytest.raises(NotDoneError, match="is no token here"):
        world.desk().which("nonsense")


def test_one_that_nobody_used_for_90_days_is_marked(world: World) -> None:
    world.desk().create(ANN)
    world.now = NOW + UNUSED_S - 1
    assert not world.desk().all()["tokens"][0]["unused"]
    world.now += 1
    assert world.desk().all()["tokens"][0]["unused"]
    with closing(open_store(world.config.state_dir / FILE_NAME)) as store:
        store.tokens.used([(1, "2025-11-25")])
    [row] = world.desk().all()["tokens"]
    assert (row["unused"], row["last_used"]) == (False, "2025-11-25")


# --- beside an auth file -------------------------------------------------------------------------


def test_tokens_of_a_file_are_listed_known_and_changed_there(world: World) -> None:
    file = world.config.tokens_file
    add_token(file, "bob", BOB)
    world.desk().create(ANN)
    row = world.desk().all()["tokens"][1]
    assert (row["name"], row["from"], row["created"]) == ("bob", str(file), None)
    assert world.desk().which(BOB) == row
    with pytest.raises(NotDoneError, match="has a token bob already"):
        world.desk().create(NewToken("bob", "bob"))
    with pytest.raises(NotDoneError, match=f"bob is in {file} alone: change its line there"):
        world.desk().revoke("bob")


def test_a_file_is_copied_once_and_stays_as_it_is(world: World) -> None:
    file = world.config.tokens_file
    add_token(file, "bob", BOB)
    before = file.read_bytes()
    assert world.desk().import_file() == {"imported": ["bob"], "known": [], "from": str(file)}
    assert world.desk().import_file() == {"imported": [], "known": ["bob"], "from": str(file)}
    assert file.read_bytes() == before
    assert [row["from"] for row in world.desk().all()["tokens"]] == ["store"]
    world.desk().revoke("bob")
    world.desk().delete("bob")
    assert world.desk().import_file()["known"] == ["bob"]  # an old file brings none back
    assert world.desk().all() == {"tokens": []}


def test_a_name_that_means_two_tokens_is_not_copied(world: World) -> None:
    world.desk().create(NewToken("bob", "bob"))
    add_token(world.config.tokens_file, "ann", secret(9))
    add_token(world.config.tokens_file, "bob", BOB)
    with pytest.raises(NotDoneError, match="there is a token bob already"):
        world.desk().import_file()
    assert len(world.desk().all()["tokens"]) == 3


# --- and servers ---------------------------------------------------------------------------------


def test_each_server_of_the_folder_is_told(world: World) -> None:
    world.desk().create(ANN)
    with a_server(world.config, {"ended": 2}) as heard:
        assert world.desk().revoke("ann")["ended_sessions"] == 2
    assert heard == [{"do": "reload-tokens"}]


def test_where_one_cannot_be_told_it_is_said_and_done_all_the_same(world: World) -> None:
    world.desk().create(ANN)
    with a_server(world.config, {"ok": False, "error": "its store cannot be read"}):
        answer = world.desk().rotate("ann", 0)
    assert answer["token"] == secret(2)
    assert (answer["ended_sessions"], answer["not_told"]) == (None, "its store cannot be read")
    assert world.desk().which(secret(2))["state"] == "good"


def test_a_store_that_cannot_be_used_is_one_line(world: World) -> None:
    world.config = replace(world.config, state_dir=world.config.state_dir)
    world.desk().create(ANN)
    (world.config.state_dir / FILE_NAME).chmod(0o666)
    with pytest.raises(Exception, match="may be written by others"):
        world.desk().create(NewToken("bob", "bob"))
