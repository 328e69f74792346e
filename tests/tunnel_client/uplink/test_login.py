from __future__ import annotations

import json
from pathlib import Path

import pytest

from protocol.errors import ConfigError
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.logins import Logins
from tunnel_client.uplink import login as module
from tunnel_client.uplink.connect import ConnectFailed
from tunnel_client.uplink.health import TokenStanding, Way
from tunnel_client.uplink.login import LoginDesk

HOME = ServerUrl.parse("https://tunnel.example.com")
WORK = ServerUrl.parse("https://work.example.com")
PLAIN = ServerUrl.parse("http://tunnel.example.com")
TOKEN = "tt_" + "a" * 43
ANN = TokenStanding(True, "ann", ("shop",), "ci", ("demo-*",), "2026-01-31T10:24:03Z")
NO = TokenStanding(True)


class World:
    """Servers, by the tokens that they take."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.logins = Logins(folder / "state")
        self.desk = LoginDesk(self.logins, lambda server: Way(server, None, None))
        self.says: dict[tuple[str, str], TokenStanding | ConnectFailed] = {}
        self.read = 0
        monkeypatch.setattr(module, "_ask", self._ask)

    def given(self) -> str:
        self.read += 1
        return TOKEN

    async def _ask(self, way: Way, token: str) -> TokenStanding:
        said = self.says.get((str(way.server), token), NO)
        if isinstance(said, ConnectFailed):
            raise said
        return said


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_a_token_that_the_server_takes_is_stored(world: World) -> None:
    world.says[str(HOME), TOKEN] = ANN
    done = world.desk.login(HOME, world.given, insecure=False)
    assert done.exit_code == 0
    assert done.out.startswith("logged in at https://tunnel.example.com as ann (token ci); ")
    assert TOKEN not in done.out
    stored = world.logins.of(HOME)
    assert stored is not None
    assert stored.token == TOKEN


def test_one_that_it_does_not_take_is_not_and_the_one_before_stays(world: World) -> None:
    world.logins.put(HOME, "tt_before")
    done = world.desk.login(HOME, world.given, insecure=False)
    assert done.exit_code == 3
    assert done.said.startswith("https://tunnel.example.com does not take this token: ask whoever")
    assert TOKEN not in done.said
    stored = world.logins.of(HOME)
    assert stored is not None
    assert stored.token == "tt_before"


def test_a_server_that_needs_none_is_said_and_nobody_is_asked_for_one(world: World) -> None:
    world.says[str(HOME), ""] = TokenStanding(False)
    done = world.desk.login(HOME, world.given, insecure=False)
    assert done == ("https://tunnel.example.com needs no token, and none is stored", "", 0)
    assert (world.read, world.logins.all()) == (0, [])


def test_one_that_cannot_be_reached_is_said(world: World) -> None:
    world.says[str(HOME), ""] = ConnectFailed("cannot reach it")
    assert world.desk.login(HOME, world.given, insecure=False) == ("", "cannot reach it", 1)
    assert world.read == 0


def test_over_a_line_that_others_read_nobody_is_asked_for_one(world: World) -> None:
    with pytest.raises(ConfigError, match=r"may not go to http://\S+ unencrypted"):
        world.desk.login(PLAIN, world.given, insecure=False)
    assert world.read == 0
    world.says[str(PLAIN), TOKEN] = ANN
    assert world.desk.login(PLAIN, world.given, insecure=True).exit_code == 0
    stored = world.logins.of(PLAIN)
    assert stored is not None
    assert stored.insecure


def test_the_only_one_is_forgotten_without_its_name(world: World) -> None:
    with pytest.raises(ConfigError, match="is missing; you are logged in nowhere"):
        world.desk.logout(None)
    world.logins.put(HOME, TOKEN)
    assert world.desk.logout(WORK).exit_code == 1
    world.logins.put(WORK, TOKEN)
    with pytest.raises(ConfigError, match=f"you are logged in at {HOME}, {WORK}"):
        world.desk.logout(None)
    assert world.desk.logout(HOME).out == f"the token for {HOME} is forgotten"
    assert world.desk.logout(None).out == f"the token for {WORK} is forgotten"
    assert world.logins.all() == []


def test_status_says_what_each_server_says(world: World) -> None:
    assert world.desk.status(None, as_json=False).out.startswith("you are logged in nowhere")
    for server in (WORK, HOME):
        world.logins.put(server, TOKEN)
    world.says[str(HOME), TOKEN] = ANN
    world.says[str(WORK), TOKEN] = ConnectFailed("cannot reach it")
    done = world.desk.status(None, as_json=False)
    assert done.exit_code == 1
    assert done.out.splitlines() == [
        f"{HOME} (default): ann by the token ci, for demo-*, until 2026-01-31T10:24:03Z; shop",
        f"{WORK}: unreachable: cannot reach it",
    ]
    done = world.desk.status(HOME, as_json=True)
    assert done.exit_code == 0
    assert json.loads(done.out) == {
        "logins": [
            {
                "server": str(HOME),
                "default": True,
                "state": "good",
                "owner": "ann",
                "token": "ci",
                "may_have": ["demo-*"],
                "expires": "2026-01-31T10:24:03Z",
                "names": ["shop"],
            }
        ]
    }
    world.says[str(WORK), TOKEN] = NO
    assert "refused: it does not take it: ask" in world.desk.status(WORK, as_json=False).out
    world.says[str(WORK), TOKEN] = TokenStanding(False)
    assert "needless" in world.desk.status(WORK, as_json=False).out
    assert world.desk.status(PLAIN, as_json=False).exit_code == 1
