from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tunnel_client.inspector.web.token import FILE_NAME, InspectorToken, inspector_token
from tunnel_client.settings.install_key import NOWHERE


def test_it_is_made_once_and_readable_by_its_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        first = inspector_token(tmp_path / "state")
    finally:
        os.umask(before)
    assert inspector_token(tmp_path / "state") == first
    assert len(first.text) == 43
    assert stat.S_IMODE((tmp_path / "state" / FILE_NAME).stat().st_mode) == 0o600
    assert first.text not in repr(first)


def test_two_installations_have_two(tmp_path: Path) -> None:
    assert inspector_token(tmp_path / "a") != inspector_token(tmp_path / "b")


def test_without_a_folder_it_is_of_this_process_alone() -> None:
    assert inspector_token(NOWHERE) != inspector_token(NOWHERE)


def test_a_file_that_holds_none_is_told_and_left(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("no token\nat all\n")
    token = inspector_token(tmp_path)
    assert len(token.text) == 43
    assert "delete it" in token.warning
    assert (tmp_path / FILE_NAME).read_text() == "no token\nat all\n"


@pytest.mark.parametrize(
    ("given", "is_it"),
    [
        (b"Bearer secret-1", True),
        (b"bearer  secret-1 ", True),
        (b"Bearer secret-2", False),
        (b"Bearer secret-11", False),
        (b"Bearer secret-", False),
        (b"Bearer ", False),
        (b"Bearer", False),
        (b"Basic secret-1", False),
        (b"secret-1", False),
        (b"", False),
        (b"Bearer \xff\xfe", False),
    ],
)
def test_authorization(given: bytes, is_it: bool) -> None:
    assert InspectorToken("secret-1").is_in(given) is is_it


@pytest.mark.parametrize(
    ("given", "is_it"), [("secret-1", True), ("", False), ("sécret\ud800", False)]
)
def test_text(given: str, is_it: bool) -> None:
    assert InspectorToken("secret-1").is_same(given) is is_it
