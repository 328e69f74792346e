from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.errors import ConfigError
from tunnel_server.owners import auth_file as module
from tunnel_server.owners.auth_file import GRACE_S, MAX_AUTH_FILE_BYTES, AuthFile, add_token
from tunnel_server.owners.tokens import digest_of, make_token

ALICE = make_token(b"a" * 32)
BOB = make_token(b"b" * 32)
OWNERS = {digest_of(ALICE): "alice"}


def line(name: str, token: str) -> str:
    return f"{name} sha256:{hashlib.sha256(token.encode()).hexdigest()}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(line("alice", ALICE))
    return path


# --- reading -------------------------------------------------------------------------------------


def test_every_token_of_the_file_counts(path: Path) -> None:
    tokens = {make_token(bytes(31) + bytes([number])): f"n{number}" for number in range(20)}
    path.write_text("".join(line(name, token) for token, name in tokens.items()))
    assert AuthFile(path).owners == {digest_of(token): name for token, name in tokens.items()}


def test_comments_empty_lines_and_spaces_are_allowed(path: Path) -> None:
    upper = line("bob@example.com", BOB).upper().replace("BOB@EXAMPLE.COM SHA256", "bob sha256")
    path.write_text(f"# our tokens é\n\n  \r\n  {line('alice', ALICE)}\t# x\n{upper.strip()}")
    assert AuthFile(path).owners == {**OWNERS, digest_of(BOB): "bob"}


def test_file_that_is_not_there_has_no_tokens(tmp_path: Path) -> None:
    file = AuthFile(tmp_path / "tokens")
    assert file.owners == {}
    add_token(file.path, "alice", ALICE)
    file.look(0.0)
    assert file.owners == OWNERS


def test_repr_shows_no_secret(path: Path) -> None:
    assert repr(AuthFile(path)) == f"<AuthFile {path} tokens=1>"


# --- looking again -------------------------------------------------------------------------------


def test_changed_file_is_read_anew(path: Path) -> None:
    file = AuthFile(path)
    add_token(path, "bob", BOB)
    file.look(0.0)
    assert (file.owners, file.revision) == ({**OWNERS, digest_of(BOB): "bob"}, 1)
    path.write_text(line("bob", BOB))
    file.look(0.0)
    assert (file.owners, file.revision) == ({digest_of(BOB): "bob"}, 2)


def test_file_of_the_same_size_and_time_at_its_path_is_read_anew(
    path: Path, tmp_path: Path
) -> None:
    file = AuthFile(path)
    before = path.stat()
    other = tmp_path / "other"
    other.write_text(line("alice", BOB))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    file.look(0.0)
    assert file.owners == {digest_of(BOB): "alice"}


def test_a_folder_that_cannot_be_looked_into_is_a_file_that_may_come_back(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not what ends the server: a disk, a mount or a chmod may do that at any moment."""

    def check(_: Path) -> None:
        if fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    fails = False
    file = AuthFile(path, check)
    fails = True
    path.chmod(0o640)
    for now in (0.0, GRACE_S - 0.1):
        file.look(now)
    assert caplog.text == ""
    file.look(GRACE_S)
    assert "Input/output error" in caplog.text
    assert file.owners == OWNERS
    fails = False
    file.look(GRACE_S + 1)
    assert file.owners == OWNERS


def test_each_outage_is_told_and_its_end(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A chmod of the folder, there and back: the file itself has not changed then."""

    def check(_: Path) -> None:
        if fails:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    fails = False
    caplog.set_level("INFO")
    file = AuthFile(path, check)
    for number, began in enumerate((100.0, 200.0), start=1):
        with monkeypatch.context() as outage:
            outage.setattr(module, "_signature", lambda _: (errno.EACCES,))
            fails = True
            for now in (began, began + GRACE_S, began + 2 * GRACE_S):
                file.look(now)
            assert caplog.text.count("Permission denied") == number
            fails = False
        for now in (began + 20, began + 21):
            file.look(now)
        assert caplog.text.count("can be used again") == number
    assert file.owners == OWNERS


@pytest.mark.parametrize(("count", "words"), [(1, "1 token"), (2, "2 tokens")])
def test_a_change_is_told_with_the_number_of_tokens(
    path: Path, caplog: pytest.LogCaptureFixture, count: int, words: str
) -> None:
    caplog.set_level("INFO")
    file = AuthFile(path)
    tokens = [make_token(bytes([number]) * 32) for number in range(count)]
    path.write_text("".join(line(f"n{number}", token) for number, token in enumerate(tokens)))
    file.look(0.0)
    assert caplog.messages == [f"{path} has changed: {words}"]


def test_a_file_that_is_touched_is_no_news(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    file = AuthFile(path)
    path.chmod(0o640)
    file.look(0.0)
    assert (file.revision, caplog.text) == (0, "")


def refuse_to_open(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)


def test_file_that_could_not_be_opened_for_want_of_descriptors_is_read_the_next_time(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = AuthFile(path)
    path.write_text(line("bob", BOB))
    with monkeypatch.context() as shortage:
        refuse_to_open(shortage, errno.EMFILE)
        for now in (0.0, 2 * GRACE_S):
            file.look(now)
            assert file.owners == OWNERS
    file.look(3 * GRACE_S)
    assert file.owners == {digest_of(BOB): "bob"}
    assert "Too many open files" not in caplog.text


def test_file_that_has_not_changed_is_not_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = AuthFile(path)
    monkeypatch.setattr(os, "open", pytest.fail)
    file.look(0.0)
    assert file.owners == OWNERS


def test_bad_new_content_is_logged_once_and_the_old_still_holds(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = AuthFile(path)
    path.write_text("nonsense\n")
    for now in range(20):
        file.look(now)
    assert file.owners == OWNERS
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "not so: line 1; the tokens read before still hold" in errors[0].getMessage()
    path.write_text(line("bob", BOB))
    file.look(20.0)
    assert file.owners == {digest_of(BOB): "bob"}


# --- a file that is gone -------------------------------------------------------------------------


def empty(path: Path) -> None:
    path.write_text("# none\n")


@pytest.mark.parametrize("goes", [Path.unlink, empty])
def test_a_file_that_is_gone_or_empty_has_no_tokens_after_5_s(
    path: Path, goes: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    file = AuthFile(path)
    goes(path)
    for now in (100.0, 101.0, 104.9):
        file.look(now)
        assert (file.owners, file.revision) == (OWNERS, 0)
    assert caplog.text == ""
    file.look(105.0)
    assert (file.owners, file.revision) == ({}, 1)
    assert f"there is no token in {path} any more" in caplog.text


@pytest.mark.parametrize("goes", [Path.unlink, empty])
def test_one_that_comes_back_before_has_changed_nothing(
    path: Path, goes: Callable[[Path], None], tmp_path: Path
) -> None:
    file = AuthFile(path)
    for began in (0.0, 6.0, 12.0):  # each time it has its 5 s
        goes(path)
        file.look(began)
        file.look(began + 4.9)
        assert file.owners == OWNERS
        path.write_text(line("alice", ALICE))
        file.look(began + 5.0)
        assert file.owners == OWNERS


def test_the_very_file_that_comes_back_has_changed_nothing(path: Path, tmp_path: Path) -> None:
    file = AuthFile(path)
    for began in (0.0, 6.0):
        path.rename(tmp_path / "away")
        file.look(began)
        file.look(began + 4.9)
        (tmp_path / "away").rename(path)
        file.look(began + 5.0)
        assert (file.owners, file.revision) == (OWNERS, 0)


def test_one_that_cannot_be_read_for_5_s_is_told_of_and_the_old_still_holds(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = AuthFile(path)
    path.write_text(line("bob", BOB))
    refuse_to_open(monkeypatch, errno.EACCES)
    for now in (0.0, 4.9):
        file.look(now)
    assert caplog.text == ""
    for now in (5.0, 6.0, 100.0):
        file.look(now)
    assert file.owners == OWNERS
    assert caplog.text.count("the tokens read before still hold") == 1


# --- what is no auth file ------------------------------------------------------------------------


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
        AuthFile(path)
    assert ALICE not in str(refused.value)


def test_name_and_token_that_are_there_twice_are_bad_lines(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(line("alice", ALICE) + line("alice", BOB) + line("bob", ALICE))
    with pytest.raises(ConfigError, match=r"not so: line 2, 3$"):
        AuthFile(path)


def test_of_many_bad_lines_the_first_ten_are_named(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("bad\n" * 10)
    with pytest.raises(ConfigError, match=r"line 1, 2, 3, 4, 5, 6, 7, 8, 9, 10$"):
        AuthFile(path)
    path.write_text("bad\n" * 11)
    with pytest.raises(ConfigError, match=r"line 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, \.\.\.$"):
        AuthFile(path)


def test_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--auth-file: takes "):
        AuthFile(tmp_path)


@pytest.mark.timeout(5)
def test_pipe_that_nobody_writes_to_is_refused_without_a_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match=r"^--auth-file: takes a plain file"):
        AuthFile(tmp_path / "pipe")


def test_file_of_the_most_bytes_is_read_and_one_more_is_refused(path: Path) -> None:
    start = line("alice", ALICE) + "#"
    path.write_text(start + "x" * (MAX_AUTH_FILE_BYTES - len(start)))
    assert AuthFile(path).owners == {digest_of(ALICE): "alice"}
    path.write_text(start + "x" * (MAX_AUTH_FILE_BYTES - len(start) + 1))
    with pytest.raises(ConfigError, match=f"at most {MAX_AUTH_FILE_BYTES} bytes"):
        AuthFile(path)


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


def test_line_is_appended_and_the_mode_of_the_file_stays(path: Path) -> None:
    path.write_text("# no newline at the end")
    path.chmod(0o640)
    add_token(path, "bob", BOB)
    assert path.read_text() == f"# no newline at the end\n{line('bob', BOB)}"
    assert path.stat().st_mode & 0o777 == 0o640


def test_name_that_is_there_already_is_refused_and_nothing_is_written(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^NAME: takes a new name: .*token of alice already"):
        add_token(path, "alice", BOB)
    assert path.read_text() == line("alice", ALICE)


def test_file_with_bad_lines_is_refused_and_nothing_is_written(path: Path) -> None:
    path.write_text("bad\n")
    with pytest.raises(ConfigError, match=r"not so: line 1$"):
        add_token(path, "bob", BOB)
    assert path.read_text() == "bad\n"


@pytest.mark.parametrize("name", ["a", "alice", "CI-2.x_y@host", "7", "n" * 64])
def test_name_of_a_token_may_be_any_plain_word(tmp_path: Path, name: str) -> None:
    add_token(tmp_path / "tokens", name, ALICE)
    assert AuthFile(tmp_path / "tokens").owners == {digest_of(ALICE): name}


@pytest.mark.parametrize("name", ["", " ", "a b", "#a", "-a", ".a", "key:a", "é", "a\n", "n" * 65])
def test_any_other_name_is_refused_before_a_file_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^NAME: takes 1 to 64 of letters"):
        add_token(tmp_path / "tokens", name, ALICE)
    assert not (tmp_path / "tokens").exists()


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^--auth-file: takes a file that can be used"):
        add_token(tmp_path / "file" / "tokens", "alice", ALICE)


def test_full_disk_leaves_no_half_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:10]))
    with pytest.raises(ConfigError, match=os.strerror(errno.ENOSPC)):
        add_token(path, "bob", BOB)
    assert path.read_text() == line("alice", ALICE)


def test_tokens_made_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    tokens = {f"n{number}": make_token(bytes([number]) * 32) for number in range(16)}
    threads = [threading.Thread(target=add_token, args=(path, *item)) for item in tokens.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    owners = {digest_of(token): name for name, token in tokens.items()}
    assert AuthFile(path).owners == owners


def test_path_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokens").symlink_to(tmp_path / "tokens")
    with pytest.raises(ConfigError, match=os.strerror(errno.ELOOP)):
        AuthFile(tmp_path / "tokens")


def test_a_file_that_another_program_keeps_locked_is_left_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()
    monkeypatch.setattr("tunnel_server.owners.auth_file.LOCK_S", 0.0)
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another program has locked it"):
            add_token(path, "bob", BOB)
    assert path.read_bytes() == before
    add_token(path, "bob", BOB)


def test_a_token_goes_into_the_file_that_an_editor_has_put_there_meanwhile(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced(file: int, how: int) -> None:
        if how & fcntl.LOCK_NB and not draft.exists():
            draft.write_text(line("alice", ALICE))
            os.replace(draft, path)
            draft.mkdir()

    draft = path.with_name("draft")
    monkeypatch.setattr(fcntl, "flock", replaced)
    add_token(path, "bob", BOB)
    assert AuthFile(path).owners == {**OWNERS, digest_of(BOB): "bob"}
