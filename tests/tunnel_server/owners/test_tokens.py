from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import threading
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from protocol.errors import ConfigError
from protocol.http.heads import parse_request
from tunnel_server.owners.tokens import (
    MAX_AUTH_FILE_BYTES,
    TOKEN_RANDOM_BYTES,
    Authenticator,
    add_token,
    authorization_of,
    bearer_token,
    make_token,
)

ALICE = make_token(b"a" * 32)
BOB = make_token(b"b" * 32)


def line(name: str, token: str) -> str:
    return f"{name} sha256:{hashlib.sha256(token.encode()).hexdigest()}\n"


@pytest.fixture
def auth_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(line("alice", ALICE))
    return path


@given(st.binary(min_size=32, max_size=32))
def test_token_is_tt_and_43_base64url_characters(random_bytes: bytes) -> None:
    assert re.fullmatch("tt_[A-Za-z0-9_-]{43}", make_token(random_bytes))


def test_tokens_of_different_bytes_differ() -> None:
    assert len({make_token(bytes(31) + bytes([last])) for last in range(256)}) == 256


@pytest.mark.parametrize("size", [0, TOKEN_RANDOM_BYTES - 1, TOKEN_RANDOM_BYTES + 1])
def test_token_of_too_few_or_too_many_bytes_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        make_token(bytes(size))


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (b"Bearer tt_x-Y_9", "tt_x-Y_9"),
        (b"bearer  abc==  ", "abc=="),
        (b"BEARER a.b~c+d/e", "a.b~c+d/e"),
        (b"", None),
        (b"Bearer", None),
        (b"Bearer ", None),
        (b"Bearer a b", None),
        (b"Bearer a,b", None),
        (b"Bearer =", None),
        (b"Basic abc", None),
        (b"Bearera", None),
        (b"Bearer \xff", None),
        (b" Bearer a", None),
    ],
)
def test_bearer_credentials_are_read_strictly(value: bytes, token: str | None) -> None:
    assert bearer_token(value) == token


def test_token_in_the_file_has_its_owner_and_no_other_has_one(auth_file: Path) -> None:
    authenticator = Authenticator(auth_file)
    assert authenticator.owner_of(ALICE) == "alice"
    for other in (BOB, ALICE[:-1], ALICE + "A", ALICE.upper(), "alice", "", None, "\udc80"):
        assert authenticator.owner_of(other) is None


def test_every_token_of_the_file_counts(auth_file: Path) -> None:
    tokens = [make_token(bytes(31) + bytes([number])) for number in range(20)]
    auth_file.write_text("".join(line(f"n{number}", token) for number, token in enumerate(tokens)))
    authenticator = Authenticator(auth_file)
    assert [authenticator.owner_of(token) for token in tokens] == [f"n{n}" for n in range(20)]


def test_comments_empty_lines_and_spaces_are_allowed(auth_file: Path) -> None:
    upper = line("bob@example.com", BOB).upper().replace("BOB@EXAMPLE.COM SHA256", "bob sha256")
    auth_file.write_text(f"# our tokens é\n\n  \r\n  {line('alice', ALICE)}\t# x\n{upper.strip()}")
    authenticator = Authenticator(auth_file)
    assert authenticator.owner_of(ALICE) == "alice"
    assert authenticator.owner_of(BOB) == "bob"


@pytest.mark.parametrize(
    "bad",
    [
        "alice",
        "alice sha256:",
        f"alice sha256:{'0' * 63}",
        f"alice sha256:{'0' * 65}",
        f"alice sha256:{'g' * 64}",
        f"alice sha512:{'0' * 64}",
        f"alice sha256:{'0' * 64} # laptop",
        f"two words sha256:{'0' * 64}",
        f"key:x sha256:{'0' * 64}",
        f"{'a' * 65} sha256:{'0' * 64}",
        f"-a sha256:{'0' * 64}",
        f"sha256:{'0' * 64}",
        ALICE,
        f"alice {ALICE}",
        "\xff",
    ],
)
def test_bad_line_is_refused_by_its_number_and_not_by_its_content(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(b"# comment\n\n" + bad.encode("latin-1") + b"\n" + line("bob", BOB).encode())
    with pytest.raises(ConfigError, match=r"^--auth-file: .*not so: line 3$") as refused:
        Authenticator(path)
    assert ALICE not in str(refused.value)


def test_name_and_token_that_are_there_twice_are_bad_lines(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(line("alice", ALICE) + line("alice", BOB) + line("bob", ALICE))
    with pytest.raises(ConfigError, match=r"not so: line 2, 3$"):
        Authenticator(path)


def test_of_many_bad_lines_the_first_ten_are_named(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("bad\n" * 10)
    with pytest.raises(ConfigError, match=r"line 1, 2, 3, 4, 5, 6, 7, 8, 9, 10$"):
        Authenticator(path)
    path.write_text("bad\n" * 11)
    with pytest.raises(ConfigError, match=r"line 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, \.\.\.$"):
        Authenticator(path)


def test_file_that_is_not_there_has_no_tokens_and_says_how_to_make_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokens"
    authenticator = Authenticator(path)
    assert authenticator.owner_of(ALICE) is None
    assert f"tunnel-server token create NAME --auth-file {path}" in caplog.text
    add_token(path, "alice", ALICE)
    assert authenticator.owner_of(ALICE) == "alice"


def test_changed_file_is_read_anew(auth_file: Path) -> None:
    authenticator = Authenticator(auth_file)
    add_token(auth_file, "bob", BOB)
    assert authenticator.owner_of(BOB) == "bob"
    assert authenticator.owner_of(ALICE) == "alice"
    auth_file.write_text(line("bob", BOB))
    assert authenticator.owner_of(ALICE) is None
    assert authenticator.owner_of(BOB) == "bob"


def test_file_of_the_same_size_and_time_at_its_path_is_read_anew(
    auth_file: Path, tmp_path: Path
) -> None:
    authenticator = Authenticator(auth_file)
    before = auth_file.stat()
    other = tmp_path / "other"
    other.write_text(line("alice", BOB))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(auth_file)
    assert authenticator.owner_of(BOB) == "alice"


def test_file_that_could_not_be_opened_for_want_of_descriptors_is_read_the_next_time(
    auth_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    authenticator = Authenticator(auth_file)
    auth_file.write_text(line("bob", BOB))

    def fail(*arguments: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as shortage:
        shortage.setattr(os, "open", fail)
        assert authenticator.owner_of(ALICE) == "alice"
    assert authenticator.owner_of(ALICE) is None
    assert authenticator.owner_of(BOB) == "bob"
    assert "Too many open files" not in caplog.text


def test_file_that_has_not_changed_is_not_read_again(
    auth_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = Authenticator(auth_file)
    monkeypatch.setattr(os, "open", pytest.fail)
    assert authenticator.owner_of(ALICE) == "alice"


def test_bad_new_content_is_logged_once_and_the_old_still_holds(
    auth_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authenticator = Authenticator(auth_file)
    auth_file.write_text("nonsense\n")
    assert [authenticator.owner_of(ALICE) for _ in range(3)] == ["alice"] * 3
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "not so: line 1; the tokens read before still hold" in errors[0].getMessage()
    auth_file.write_text(line("bob", BOB))
    assert authenticator.owner_of(BOB) == "bob"
    assert authenticator.owner_of(ALICE) is None


def test_file_that_was_removed_has_no_tokens_any_more(auth_file: Path) -> None:
    authenticator = Authenticator(auth_file)
    auth_file.unlink()
    assert authenticator.owner_of(ALICE) is None


def test_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--auth-file: takes "):
        Authenticator(tmp_path)


@pytest.mark.timeout(5)
def test_pipe_that_nobody_writes_to_is_refused_without_a_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match=r"^--auth-file: takes a plain file"):
        Authenticator(tmp_path / "pipe")


def test_file_of_the_most_bytes_is_read_and_one_more_is_refused(auth_file: Path) -> None:
    start = line("alice", ALICE) + "#"
    auth_file.write_text(start + "x" * (MAX_AUTH_FILE_BYTES - len(start)))
    assert Authenticator(auth_file).owner_of(ALICE) == "alice"
    auth_file.write_text(start + "x" * (MAX_AUTH_FILE_BYTES - len(start) + 1))
    with pytest.raises(ConfigError, match=f"at most {MAX_AUTH_FILE_BYTES} bytes"):
        Authenticator(auth_file)


def test_on_an_open_server_every_install_key_is_an_owner_of_its_own() -> None:
    authenticator = Authenticator(None)
    first, second = authenticator.owner_of("one"), authenticator.owner_of("two")
    assert first == f"key:{hashlib.sha256(b'one').hexdigest()}"
    assert first != second
    assert authenticator.owner_of("one") == first


@pytest.mark.parametrize("nothing", [None, ""])
def test_on_an_open_server_nobody_is_who_shows_nothing(nothing: str | None) -> None:
    assert Authenticator(None).owner_of(nothing) is None


def test_repr_shows_no_secret(auth_file: Path) -> None:
    digest = hashlib.sha256(ALICE.encode()).hexdigest()
    shown = repr(Authenticator(auth_file))
    assert ALICE not in shown
    assert digest[:8] not in shown
    assert "tokens=1" in shown
    assert repr(Authenticator(None)) == "<Authenticator open>"


def test_new_file_is_made_for_its_owner_alone_in_a_folder_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "state" / "tokens"
    umask = os.umask(0)
    try:
        add_token(path, "alice", ALICE)
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.read_text() == line("alice", ALICE)


def test_line_is_appended_and_the_mode_of_the_file_stays(auth_file: Path) -> None:
    auth_file.write_text("# no newline at the end")
    auth_file.chmod(0o640)
    add_token(auth_file, "bob", BOB)
    assert auth_file.read_text() == f"# no newline at the end\n{line('bob', BOB)}"
    assert auth_file.stat().st_mode & 0o777 == 0o640


def test_name_that_is_there_already_is_refused_and_nothing_is_written(auth_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"^NAME: takes a new name: .*token of alice already"):
        add_token(auth_file, "alice", BOB)
    assert auth_file.read_text() == line("alice", ALICE)


def test_file_with_bad_lines_is_refused_and_nothing_is_written(auth_file: Path) -> None:
    auth_file.write_text("bad\n")
    with pytest.raises(ConfigError, match=r"not so: line 1$"):
        add_token(auth_file, "bob", BOB)
    assert auth_file.read_text() == "bad\n"


@pytest.mark.parametrize("name", ["a", "alice", "CI-2.x_y@host", "7", "n" * 64])
def test_name_of_a_token_may_be_any_plain_word(tmp_path: Path, name: str) -> None:
    add_token(tmp_path / "tokens", name, ALICE)
    assert Authenticator(tmp_path / "tokens").owner_of(ALICE) == name


@pytest.mark.parametrize("name", ["", " ", "a b", "#a", "-a", ".a", "key:a", "é", "a\n", "n" * 65])
def test_any_other_name_is_refused_before_a_file_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^NAME: takes 1 to 64 of letters"):
        add_token(tmp_path / "tokens", name, ALICE)
    assert not (tmp_path / "tokens").exists()


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^--auth-file: takes a file that can be used"):
        add_token(tmp_path / "file" / "tokens", "alice", ALICE)


def test_full_disk_leaves_no_half_line(auth_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:10]))
    with pytest.raises(ConfigError, match=os.strerror(errno.ENOSPC)):
        add_token(auth_file, "bob", BOB)
    assert auth_file.read_text() == line("alice", ALICE)


def test_tokens_made_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    tokens = {f"n{number}": make_token(bytes([number]) * 32) for number in range(16)}
    threads = [threading.Thread(target=add_token, args=(path, *item)) for item in tokens.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    authenticator = Authenticator(path)
    assert {name: authenticator.owner_of(token) for name, token in tokens.items()} == {
        name: name for name in tokens
    }


def test_path_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokens").symlink_to(tmp_path / "tokens")
    with pytest.raises(ConfigError, match=os.strerror(errno.ELOOP)):
        Authenticator(tmp_path / "tokens")


@pytest.mark.parametrize(("lines", "found"), [(0, None), (1, b"x"), (2, None)])
def test_several_authorizations_are_none(lines: int, found: bytes | None) -> None:
    raw = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"Authorization: x\r\n" * lines + b"\r\n"
    assert authorization_of(parse_request(raw)) == found
