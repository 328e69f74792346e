from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from protocol.names import is_legal_name
from protocol.words import ADJECTIVES, NOUNS
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.config import ClientConfig, gather, load
from tunnel_client.settings.install_key import FILE_NAME
from tunnel_client.settings.stable_name import (
    choose_stable_name,
    current_folder,
    origin_of,
    stable_name,
)
from tunnel_client.settings.target import Target

KEY = "ti_" + "k" * 43
SERVER = ServerUrl.parse("https://tunnel.example.com")
FOLDER = Path("/home/ann/shop")
TARGET = Target.parse("3000")


def test_name_is_this_one_for_ever() -> None:
    """Another result, or another list of words, would change the URLs of all who have one."""
    assert stable_name(KEY, SERVER, FOLDER, TARGET) == "fleet-beaver-nbhn6n2f"
    lists = "\n".join((*ADJECTIVES, *NOUNS)).encode()
    assert (
        hashlib.sha256(lists).hexdigest()
        == "304679faf57793cb0327f44eebd647e3c8538393d9be3f6fa7a7a93a1c38ae7b"
    )


@pytest.mark.parametrize(
    "other",
    [
        stable_name("ti_" + "j" * 43, SERVER, FOLDER, TARGET),
        stable_name(KEY, ServerUrl.parse("https://tunnel.example.com:444"), FOLDER, TARGET),
        stable_name(KEY, SERVER, FOLDER / "b", TARGET),
        stable_name(KEY, SERVER, FOLDER, Target.parse("3001")),
        stable_name(KEY, SERVER, FOLDER, Target.parse("127.0.0.1:3000")),
        stable_name(KEY, SERVER, FOLDER, Target.parse("unix:/run/app.sock")),
    ],
)
def test_each_of_the_four_makes_another_name(other: str) -> None:
    assert is_legal_name(other)
    assert other != stable_name(KEY, SERVER, FOLDER, TARGET)


def test_what_means_the_same_is_the_same_name() -> None:
    name = stable_name(KEY, SERVER, FOLDER, TARGET)
    assert name == stable_name(
        KEY,
        ServerUrl.parse("https://Tunnel.example.com:443/"),
        FOLDER,
        Target.parse("localhost:3000"),
    )
    for host in ("127.0.0.1", "[::1]", "tunnel.localhost"):
        assert origin_of(ServerUrl.parse(f"http://{host}:8080")) == "http://localhost:8080"


def test_a_folder_may_have_any_bytes() -> None:
    assert is_legal_name(stable_name(KEY, SERVER, Path(os.fsdecode(b"/\xff\n")), TARGET))


def test_where_no_key_can_be_kept_there_is_none_and_a_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    name, why = choose_stable_name(tmp_path / "file" / "state", SERVER, FOLDER, TARGET)
    assert (name, "the tunnel has a new name at each start" in why) == ("", True)
    (tmp_path / FILE_NAME).write_text("no key, that\n")
    name, why = choose_stable_name(tmp_path, SERVER, FOLDER, TARGET)
    assert (name, "until then the tunnel has another name" in why) == ("", True)


def test_a_folder_that_was_deleted_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    assert current_folder() == gone.resolve()
    gone.rmdir()
    assert current_folder() is None


# --- in the config ---


def config_of(tmp_path: Path, **flags: str | bool) -> ClientConfig:
    gathered = gather(flags, {}, tmp_path)
    return load("3000", gathered, {}, tmp_path / "state", tmp_path).config


def test_without_a_name_it_is_the_folders_with_a_token_and_without(tmp_path: Path) -> None:
    names = {config_of(tmp_path).stable_name, config_of(tmp_path, token="tt_x").stable_name}
    assert len(names) == 1
    assert all(map(is_legal_name, names))


@pytest.mark.parametrize("flags", [{"subdomain": "app"}, {"random": True}])
def test_whoever_chooses_or_wants_a_fresh_one_has_none(
    tmp_path: Path, flags: dict[str, str | bool]
) -> None:
    assert config_of(tmp_path, token="tt_x", **flags).stable_name == ""
    assert not (tmp_path / "state").exists()  # and no key is made for it


def test_with_a_token_too_it_is_said_that_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    gathered = gather({"token": "tt_x"}, {}, tmp_path)
    loaded = load("3000", gathered, {}, tmp_path / "file" / "state", tmp_path)
    assert loaded.config.stable_name == ""
    assert loaded.warnings[-1].endswith("the tunnel has a new name at each start")
