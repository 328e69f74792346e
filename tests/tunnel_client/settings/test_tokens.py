from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from protocol.errors import ConfigError
from tunnel_client.settings.tokens import LONGEST_TOKEN_CHARS, check_token, read_token

TOKEN = "tt_" + "Aa0-_" * 8 + "xyz"


@pytest.mark.parametrize("token", [TOKEN, "a", "a.b~c+d/e==", "x" * LONGEST_TOKEN_CHARS])
def test_token_is_taken_as_it_is(token: str) -> None:
    assert check_token(token, "--token") == token


@pytest.mark.parametrize(
    "token", ["", " a", "a ", "a\n", "a b", "a:b", "ä", "a=b", "=", "x" * (LONGEST_TOKEN_CHARS + 1)]
)
def test_other_token_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match=r"^--token: a token is 1 to 1024"):
        check_token(token, "--token")


def test_refusal_does_not_repeat_the_token() -> None:
    with pytest.raises(ConfigError) as caught:
        check_token("hunter2 ", "--token")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("ending", ["\n", "", "\r\n"])
def test_file_holds_the_token_and_one_newline(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "token"
    path.write_bytes(f"{TOKEN}{ending}".encode())
    assert read_token(path, "--token-file") == TOKEN


def test_longest_token_is_read_from_a_file_and_no_longer_one(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"x" * LONGEST_TOKEN_CHARS + b"\r\n")
    assert len(read_token(path, "--token-file")) == LONGEST_TOKEN_CHARS
    path.write_bytes(b"x" * (LONGEST_TOKEN_CHARS + 1))
    with pytest.raises(ConfigError, match="nothing else"):
        read_token(path, "--token-file")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"hunter2\n\n",
        b" hunter2\n",
        b"hunter2\nhunter2\n",
        b"hunter2\xff\n",
        b"x" * 10**6,
    ],
)
def test_other_content_is_refused_without_repeating_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(
        ConfigError, match=r"^--token-file: .*must hold a token and one newline"
    ) as caught:
        read_token(path, "--token-file")
    assert "hunter2" not in str(caught.value)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--token-file: .*No such file"):
        read_token(tmp_path / "none", "--token-file")


def test_pipe_of_a_shell_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=[f"{TOKEN}\n"])
    writer.start()
    assert read_token(path, "--token-file") == TOKEN
    writer.join()
