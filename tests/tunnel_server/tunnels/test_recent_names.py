from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.edge_fakes import logged
from tunnel_server.tunnels.left_names import Held
from tunnel_server.tunnels.recent_names import (
    NAMES_MAX,
    NOTE_MAX_BYTES,
    OWNER_MAX_CHARS,
    RECENT_S,
    note_path,
    take_note,
    write_note,
)

NOW = 1_764_170_423.25
HELD = Held(NOW, "alice")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return note_path(tmp_path / "state", "127.0.0.1:8080")


def test_a_note_is_read_once(path: Path) -> None:
    write_note(path, {"app": Held(NOW, "alice"), "b": Held(NOW - 1, "bob")})
    assert take_note(path, NOW + 2) == {"app": "alice", "b": "bob"}
    assert take_note(path, NOW + 2) == {}
    assert os.listdir(path.parent) == []


def test_it_is_its_users_alone(path: Path) -> None:
    write_note(path, {"app": HELD})
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert json.loads(path.read_text()) == {"names": {"app": [NOW, "alice"]}}


def test_only_what_was_held_within_a_minute_is_expected(path: Path) -> None:
    held = {"now": 0.0, "just": RECENT_S, "old": RECENT_S + 0.1, "ahead": -0.1}
    write_note(path, {name: Held(NOW - ago, "alice") for name, ago in held.items()})
    assert list(take_note(path, NOW)) == ["now", "just"]


def test_no_names_are_no_note(path: Path) -> None:
    write_note(path, {})
    assert not path.exists()


def test_servers_on_other_addresses_have_notes_of_their_own(tmp_path: Path) -> None:
    write_note(note_path(tmp_path, "[::1]:80"), {"app": HELD})
    assert take_note(note_path(tmp_path, "127.0.0.1:80"), NOW) == {}
    assert take_note(note_path(tmp_path, "[::1]:80"), NOW) == {"app": "alice"}


def test_the_newest_ten_thousand_names_fit(path: Path) -> None:
    names = [f"{number:05}".ljust(63, "x") for number in range(NAMES_MAX + 1)]
    owner = "x" * OWNER_MAX_CHARS
    write_note(path, {name: Held(NOW - n / 997, owner) for n, name in enumerate(names)})
    assert path.stat().st_size < NOTE_MAX_BYTES
    assert list(take_note(path, NOW + 1)) == names[:NAMES_MAX]


def held_by(owner: str, count: int) -> dict[str, Held]:
    return {f"{owner}-{number}": Held(NOW, owner) for number in range(count)}


@pytest.mark.parametrize(
    ("held", "noted"),
    [
        ({"mallory": NAMES_MAX - 1, "alice": 1}, {"mallory": NAMES_MAX - 1, "alice": 1}),
        ({"mallory": NAMES_MAX + 1, "alice": 1}, {"mallory": NAMES_MAX - 1, "alice": 1}),
        ({"mallory": 2 * NAMES_MAX, "a": 300, "b": 20}, {"mallory": 9_680, "a": 300, "b": 20}),
        (
            {"m": NAMES_MAX, "n": NAMES_MAX, "a": 3, "b": 3},
            {"m": 4_997, "n": 4_997, "a": 3, "b": 3},
        ),
    ],
)
def test_an_owner_that_has_thousands_pushes_nobody_off_the_note(
    path: Path, held: dict[str, int], noted: dict[str, int]
) -> None:
    names: dict[str, Held] = {}
    for owner, count in held.items():
        names |= held_by(owner, count)
    write_note(path, names)
    found = take_note(path, NOW)
    assert Counter(found.values()) == noted
    for owner, count in noted.items():
        assert [name for name in found if found[name] == owner] == list(held_by(owner, count))


def test_of_more_owners_than_there_is_room_for_the_newest_are_noted(path: Path) -> None:
    names = {f"n{number}": Held(NOW, f"o{number}") for number in range(NAMES_MAX + 1)}
    write_note(path, names)
    assert list(take_note(path, NOW)) == list(names)[:NAMES_MAX]


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{",
        "[" * 100_000,
        "[]",
        "{}",
        '{"names": []}',
        '{"names": {"app": 1}}',
        '{"names": {"app": "1x"}}',
        '{"names": {"app": [1]}}',
        '{"names": {"app": [1, 2]}}',
        '{"names": {"app": [1, "x", 3]}}',
        json.dumps({"names": {"app": [NOW, "x" * (OWNER_MAX_CHARS + 1)]}}),
        '{"names": {"app": ["1", "x"]}}',
        '{"names": {"app": [true, "x"]}}',
        '{"names": {"app": [null, "x"]}}',
        '{"names": {"app": [NaN, "x"]}}',
        '{"names": {"app": [Infinity, "x"]}}',
        '{"names": {"app": [1' + "0" * 400 + ', "x"]}}',
        '{"names": {"app": [1' + "0" * 5000 + ', "x"]}}',
        '{"names": {"App": [1, "x"]}}',
        '{"names": {"": [1, "x"]}}',
        '{"names": {"a.b": [1, "x"]}}',
        json.dumps({"names": {f"n{n}": HELD for n in range(NAMES_MAX + 1)}}),
        " " * NOTE_MAX_BYTES + json.dumps({"names": {"app": HELD}}),
        "\udcff",
    ],
)
def test_anything_else_has_no_names_and_is_logged_and_gone(
    path: Path, caplog: pytest.LogCaptureFixture, data: str
) -> None:
    path.parent.mkdir()
    path.write_bytes(data.encode("utf-8", "surrogateescape"))
    assert take_note(path, NOW) == {}
    assert logged(caplog.records) == [f"{path} is no list of names; nothing is expected"]
    assert not path.exists()


def test_a_note_behind_a_link_or_in_a_pipe_is_not_read(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = path.with_name("elsewhere")
    write_note(elsewhere, {"app": HELD})
    path.symlink_to(elsewhere)
    assert take_note(path, NOW) == {}
    assert elsewhere.exists()
    path.unlink()
    os.mkfifo(path)
    assert take_note(path, NOW) == {}
    assert len(caplog.records) == 2


def test_a_folder_that_cannot_be_written_costs_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    write_note(tmp_path / "file" / "names", {"app": HELD})
    assert len(caplog.records) == 1
    assert "will not know which names to expect" in caplog.text
    target = tmp_path / "folder"
    target.mkdir()
    (target / "inside").touch()
    write_note(target, {"app": HELD})  # a folder is in its place
    assert len(caplog.records) == 2
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_note_that_others_may_write_says_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_note(path, {"app": HELD})
    path.chmod(0o620)
    assert take_note(path, NOW) == {}
    assert "may be written by others: chmod go-w" in caplog.text
    assert path.exists()
    assert take_note(path, NOW, trusted=True) == {"app": "alice"}
