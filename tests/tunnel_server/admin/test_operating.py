"""Commands as a person gives them: to a server that runs in a thread, or to a store."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from protocol.program.private_files import UnsafePathError
from tests.needs import needs
from tunnel_server.admin.asking import NotDoneError
from tunnel_server.admin.control_socket import ControlSocket, control_place
from tunnel_server.admin.operating import Operator
from tunnel_server.owners.names import Kept
from tunnel_server.owners.store import FILE_NAME, StoreUnusableError, open_store
from tunnel_server.settings.config import ServerConfig

DOMAIN = "example.com"
BIND = "127.0.0.1:8080"
OF_STORE = f"(no server runs; this is of names under {DOMAIN})"
STATUS = {
    "bind": BIND,
    "url": "https://example.com",
    "tokens_needed": True,
    "public_by": "its domain is example.com",
    "version": "1",
    "sessions": 3,
    "streams": 2,
    "unacked_bytes": 1_500,
    "held_sessions": 1,
    "parked_requests": 4,
    "names": 5,
    "kept_names": 6,
    "store": "ok",
}
NOTHING = {"heaviest": None, "has": 0, "at_its_share": False}
SHARES = {
    "places": {
        "most": 16_320,
        "taken": 12_300,
        "heaviest": "203.0.113.9/32",
        "has": 12_240,
        "at_its_share": True,
    },
    "held_sessions": {"most": 1_024, "taken": 1, **NOTHING},
    "memory_bytes": {
        "most": 33_554_432,
        "taken": 1_500,
        "heaviest": "alice",
        "has": 1_500,
        "at_its_share": False,
    },
    "of_a_newer_server": {"most": 1, "taken": 0, **NOTHING},
}


@pytest.fixture
def config(tmp_path: Path) -> ServerConfig:
    (tmp_path / "state").mkdir(mode=0o700)
    return ServerConfig(state_dir=tmp_path / "state", domain=DOMAIN)


def keep(config: ServerConfig, **owners: str) -> None:
    store = open_store(config.state_dir / FILE_NAME)
    store.write(config.apex, {name: Kept(owner, True, 86_400) for name, owner in owners.items()})
    store.close()


def kept(config: ServerConfig) -> dict[str, str]:
    store = open_store(config.state_dir / FILE_NAME)
    owners = {name: kept.owner for name, kept in store.names_of(config.apex).items()}
    store.close()
    return owners


@contextmanager
def a_server(config: ServerConfig, answer: Mapping[str, object]) -> Iterator[list[Any]]:
    """One that answers everything with this."""
    heard: list[Any] = []
    opened, stop = threading.Event(), trio.Event()
    token: list[trio.lowlevel.TrioToken] = []

    async def answered(asked: Mapping[str, Any]) -> Mapping[str, object]:
        heard.append(dict(asked))
        return answer

    async def serve() -> None:
        control = ControlSocket(control_place(config.state_dir, BIND), answered)
        control.open()
        token.append(trio.lowlevel.current_trio_token())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(control.run)
            opened.set()
            await stop.wait()
            nursery.cancel_scope.cancel()

    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    opened.wait()
    try:
        yield heard
    finally:
        token[0].run_sync_soon(stop.set)
        thread.join()


def test_status_is_told_for_people_and_as_json(config: ServerConfig) -> None:
    with a_server(config, STATUS) as heard:
        assert Operator(config, None, as_json=False).status() == (
            "tunnel-server 1 listens on 127.0.0.1:8080\n"
            "  service   https://example.com\n"
            "  access    with a token, since its domain is example.com\n"
            "  sessions  3, 1 of them without a connection\n"
            "  requests  2 under way, 4 wait for a client\n"
            "  unacked   1.5 kB, kept for clients that come back\n"
            "  names     5 live, 6 kept\n"
            "  store     ok"
        )
        assert json.loads(Operator(config, BIND, as_json=True).status()) == STATUS
    assert heard == [{"do": "status"}] * 2


def test_status_has_a_table_of_the_shares(config: ServerConfig) -> None:
    with a_server(config, {**STATUS, "shares": SHARES}):
        text = Operator(config, None, as_json=False).status()
        told = json.loads(Operator(config, None, as_json=True).status())
    assert text.partition("store     ok\n")[2] == (
        "\n"
        "  SHARE              TAKEN   OF       HEAVIEST\n"
        "  places             12,300  16,320   12,240 by 203.0.113.9/32, its share\n"
        "  held sessions      1       1,024\n"
        "  lent memory        1.5 kB  33.6 MB  1.5 kB by alice\n"
        "  of_a_newer_server  0       1"
    )
    assert told["shares"] == SHARES


def test_without_a_server_there_is_no_status(config: ServerConfig) -> None:
    with pytest.raises(NotDoneError, match=r"no server runs with the state folder .*--state-dir"):
        Operator(config, None, as_json=False).status()
    with pytest.raises(NotDoneError, match=r"no server runs on 127\.0\.0\.1:9"):
        Operator(config, "127.0.0.1:9", as_json=False).status()


def test_a_server_that_runs_is_asked_about_names_and_its_store_left_alone(
    config: ServerConfig,
) -> None:
    keep(config, shop="ann")
    with a_server(config, {"owner": "ann", "held_by": "ann", "store": "failing"}) as heard:
        assert Operator(config, None, as_json=False).release_name("shop") == (
            "shop was kept for ann, and is anybody's now\n"
            "it is live: the client that holds it serves on, and has it again if it claims it anew"
            " (`tunnel-server name give shop OWNER` keeps it for somebody else)\n"
            "it is not written down yet, since the store fails: the server's log says why"
        )
        assert (
            Operator(config, None, as_json=False)
            .give_name("shop", "bob")
            .startswith("shop is kept for ann")
        )
    assert heard == [
        {"do": "release", "name": "shop"},
        {"do": "give", "name": "shop", "owner": "bob"},
    ]
    assert kept(config) == {"shop": "ann"}


SERVER_OF_ANOTHER_USER = """
import os, sys, trio
from pathlib import Path
from tunnel_server.admin.control_socket import ControlSocket, control_place

async def answer(asked):
    return {"owner": "ann", "held_by": None, "store": "ok"}

os.setegid(int(sys.argv[2]))
os.seteuid(int(sys.argv[2]))
control = ControlSocket(control_place(Path(sys.argv[1]), sys.argv[3]), answer)
control.open()
print("open", flush=True)
trio.run(control.run)
"""
USER = 1000


def test_root_asks_the_server_of_another_user_and_writes_its_store_as_that_user(
    config: ServerConfig,
) -> None:
    if os.geteuid() != 0:
        needs("root")
    keep(config, shop="ann")
    for path in (config.state_dir, config.state_dir / FILE_NAME):
        os.chown(path, USER, USER)
    for above in config.state_dir.parents:  # pytest's are root's alone
        above.chmod(above.stat().st_mode | stat.S_IXOTH)
    operator = Operator(config, None, as_json=False)
    assert operator.give_name("blog", "ann") == f"blog is kept for ann\n{OF_STORE}"
    assert {path.stat().st_uid for path in config.state_dir.iterdir()} == {USER}
    folder = str(config.state_dir)
    command = [sys.executable, "-c", SERVER_OF_ANOTHER_USER, folder, str(USER), BIND]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "open\n"
            assert operator.release_name("shop") == "shop was kept for ann, and is anybody's now"
        finally:
            server.kill()


def test_without_a_server_names_are_the_stores(config: ServerConfig) -> None:
    keep(config, shop="ann", blog="key:00")
    operator = Operator(config, None, as_json=False)
    assert operator.list_names() == (
        "NAME  STATE                   LAST SEEN             OWNER\n"
        "blog  away, chosen, not kept  1970-01-02T00:00:00Z  key:00\n"
        "shop  away, chosen, not kept  1970-01-02T00:00:00Z  ann\n"
        f"{OF_STORE}"
    )
    released = f"blog was kept for key:00, and is anybody's now\n{OF_STORE}"
    assert operator.release_name("blog") == released
    assert operator.give_name("shop", "bob") == f"shop is kept for bob\n{OF_STORE}"
    assert operator.give_name("new", "bob") == f"new is kept for bob\n{OF_STORE}"
    assert kept(config) == {"shop": "bob", "new": "bob"}
    as_json = json.loads(Operator(config, None, as_json=True).release_name("shop"))
    assert as_json == {"owner": "bob", "held_by": None, "store_of": DOMAIN}


def test_names_of_another_domain_are_left_alone(config: ServerConfig, tmp_path: Path) -> None:
    other = ServerConfig(state_dir=config.state_dir, domain="other.example")
    keep(config, shop="ann")
    keep(other, shop="bob")
    Operator(config, None, as_json=False).release_name("shop")
    assert kept(other) == {"shop": "bob"}


def test_a_name_that_is_not_kept_is_told_and_changes_nothing(config: ServerConfig) -> None:
    keep(config, shop="ann")
    with pytest.raises(NotDoneError, match="blog is free"):
        Operator(config, None, as_json=False).release_name("blog")
    assert kept(config) == {"shop": "ann"}


def test_a_gift_says_who_holds_the_name_until_then(config: ServerConfig) -> None:
    with a_server(config, {"owner": "bob", "held_by": "ann", "store": "ok"}):
        assert Operator(config, None, as_json=False).give_name("shop", "bob") == (
            "shop is kept for bob\nann holds it now, and serves on until its client goes"
        )


def test_a_store_is_not_written_behind_the_back_of_a_server(config: ServerConfig) -> None:
    """The settings say another address than systemd passed."""
    keep(config, shop="ann")
    with a_server(config, STATUS):
        with pytest.raises(NotDoneError, match=r"no server runs on .*:9 .*; --bind asks the one"):
            Operator(config, "127.0.0.1:9", as_json=False).release_name("shop")
    assert kept(config) == {"shop": "ann"}


def test_where_there_is_no_store_none_is_made(config: ServerConfig) -> None:
    with pytest.raises(NotDoneError, match="start it once"):
        Operator(config, None, as_json=False).list_names()
    assert list(config.state_dir.iterdir()) == []


def test_a_store_that_others_may_write_is_not_used(config: ServerConfig) -> None:
    keep(config, shop="ann")
    (config.state_dir / FILE_NAME).chmod(0o666)
    with pytest.raises(UnsafePathError, match="chmod go-w"):
        Operator(config, None, as_json=False).list_names()


def test_a_damaged_store_is_told(config: ServerConfig) -> None:
    (config.state_dir / FILE_NAME).write_bytes(b"not a database, not at all")
    with pytest.raises(StoreUnusableError, match="put a backup in its place"):
        Operator(config, None, as_json=False).list_names()


def test_a_name_that_another_owner_holds_is_listed_with_both(config: ServerConfig) -> None:
    shop = {"name": "shop", "owner": "ann", "kept": True, "chosen": True, "live": True}
    names = [shop | {"held_by": "bob", "seen": "?"}, shop | {"name": "blog", "held_by": "ann"}]
    with a_server(config, {"names": [name | {"seen": "?"} for name in names], "store": "ok"}):
        assert Operator(config, None, as_json=False).list_names() == (
            "NAME  STATE         LAST SEEN  OWNER\n"
            "shop  live, chosen  now        ann, held by bob\n"
            "blog  live, chosen  now        ann"
        )


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        ("bobb", "no token is bobb's: is it a slip? (`tunnel-server token create bobb` makes one)"),
        ("key:00", "nobody can show that he is key:00: tokens are needed here, not install keys"),
    ],
)
def test_a_gift_to_nobody_is_told(config: ServerConfig, owner: str, said: str) -> None:
    with a_server(config, {"owner": owner, "held_by": None, "known": False, "store": "ok"}):
        operator = Operator(config, None, as_json=False)
        assert operator.give_name("shop", owner) == f"shop is kept for {owner}\n{said}"


def test_a_folder_that_cannot_be_looked_into_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    operator = Operator(ServerConfig(state_dir=tmp_path / "state"), None, as_json=False)
    with pytest.raises(NotDoneError, match="state: Not a directory"):
        operator.status()


def test_what_somebody_else_wrote_is_safe_for_a_terminal(config: ServerConfig) -> None:
    """Root may ask the server of a user, whose bytes are that user's."""
    name = {"name": "x\x1b]0;t\x07", "owner": "\x1b[31mann\nroot", "kept": True, "chosen": True}
    with a_server(config, {"names": [name | {"live": False, "seen": "?"}], "store": "ok"}):
        listed = Operator(config, None, as_json=False).list_names()
    assert "\x1b" not in listed
    assert len(listed.splitlines()) == 2
    gift = {"owner": "bob", "held_by": "\x1b[2J", "known": True, "store": "ok"}
    with a_server(config, gift):
        assert "\x1b" not in Operator(config, None, as_json=False).give_name("shop", "bob")


@pytest.mark.parametrize("answer", [{}, {"names": 5}, {"names": [{}]}, {"names": ["shop"]}])
def test_an_answer_of_another_version_is_told(
    config: ServerConfig, answer: dict[str, object]
) -> None:
    with a_server(config, answer):
        with pytest.raises(NotDoneError, match="not one that this version can read"):
            Operator(config, None, as_json=False).list_names()
    if not answer:
        with a_server(config, answer):
            with pytest.raises(NotDoneError, match="not one that this version can read"):
                Operator(config, None, as_json=False).status()
