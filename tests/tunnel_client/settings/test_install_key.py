from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from protocol.errors import ConfigError
from tunnel_client.settings import install_key as module
from tunnel_client.settings.install_key import FILE_NAME, install_key
from tunnel_client.settings.tokens import check_token


def test_key_is_made_once(tmp_path: Path) -> None:
    first = install_key(tmp_path / "state")
    assert first == install_key(tmp_path / "state")
    assert first[1:] == ("", True)
    assert first.key not in repr(first)
    check_token(first[0], "key")
    assert len(first[0]) == len("ti_") + 43


def test_two_installations_have_two_keys(tmp_path: Path) -> None:
    assert install_key(tmp_path / "a") != install_key(tmp_path / "b")


def test_key_is_readable_by_its_user_alone_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        install_key(tmp_path / "state")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / FILE_NAME).stat().st_mode) == 0o600


def test_nothing_but_the_key_is_left_in_the_folder(tmp_path: Path) -> None:
    install_key(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_of_two_programs_that_start_at_once_the_first_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []
    store = module.store

    def store_second(path: Path, key: str) -> None:
        monkeypatch.setattr(module, "store", store)
        keys.append(install_key(tmp_path))  # the other program, between our look and our write
        store(path, key)

    monkeypatch.setattr(module, "store", store_second)
    keys.append(install_key(tmp_path))
    assert keys[0] == keys[1]
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_folder_that_cannot_be_made_gives_a_key_for_this_process_and_a_warning(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    key, warning, is_kept = install_key(tmp_path / "file" / "state")
    check_token(key, "key")
    assert not is_kept
    assert "no install key can be kept in" in warning
    assert key not in warning


def test_disk_that_is_full_gives_a_key_for_this_process_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", link)
    _, warning, is_kept = install_key(tmp_path)
    assert not is_kept
    assert "No space left on device" in warning
    assert list(tmp_path.iterdir()) == []


def test_broken_key_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("hunter2 hunter2\n")
    with pytest.raises(ConfigError, match="delete it and a new one is made") as caught:
        install_key(tmp_path)
    assert caught.value.key == str(tmp_path / FILE_NAME)
    assert "hunter2" not in str(caught.value)
