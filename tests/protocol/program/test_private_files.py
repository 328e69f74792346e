"""Files of other users. They are given away by root: as in CI, and in containers."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from protocol.program.private_files import (
    UnsafePathError,
    as_owner_of,
    check_folder,
    check_place,
    warning_of,
)
from tests.needs import needs

OTHER = 4242  # nobody's name
ME = 4343


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of ME, who this process seems to be, in a folder of ME's."""
    if os.geteuid() != 0:
        needs("root")
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    (folder / "file").touch(0o600)
    for each in (folder, folder / "file"):
        os.chown(each, ME, ME)
    monkeypatch.setattr(os, "geteuid", lambda: ME)
    return folder / "file"


def refusal(path: Path, *, links: bool = True) -> str:
    with pytest.raises(UnsafePathError) as caught:
        check_place(path, links=links)
    return str(caught.value)


# --- what must not be read -----------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666])
def test_a_file_of_ours_that_others_may_read_gets_a_warning(path: Path, mode: int) -> None:
    path.chmod(mode)
    said = f"{path} can be read by others on this machine: chmod 600 {path}"
    assert warning_of(path) == said


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700, 0o622])
def test_one_that_they_may_not_read_gets_none(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert warning_of(path) == ""


@pytest.mark.parametrize("owner", [0, OTHER])
def test_files_of_root_and_of_others_are_taken_as_they_are(path: Path, owner: int) -> None:
    path.chmod(0o644)
    os.chown(path, owner, 0)
    assert warning_of(path) == ""


def test_pipes_symlinks_and_what_is_not_there_are_taken_as_they_are(path: Path) -> None:
    pipe, link = path.with_name("pipe"), path.with_name("link")
    os.mkfifo(pipe)
    pipe.chmod(0o644)
    path.chmod(0o644)
    link.symlink_to(path)
    for each in (pipe, link, path.with_name("none"), path / "below"):
        assert warning_of(each) == ""


def test_the_line_to_type_is_quoted(path: Path) -> None:
    odd = path.rename(path.with_name("my key"))
    odd.chmod(0o644)
    assert warning_of(odd).endswith(f"chmod 600 '{odd}'")


# --- what must not be written --------------------------------------------------------------------


def test_what_is_ours_or_roots_alone_is_fine(path: Path) -> None:
    for owner in (ME, 0):
        for each in (path, path.parent):
            os.chown(each, owner, 0)
        for file_mode, folder_mode in ((0o600, 0o700), (0o644, 0o755)):
            path.chmod(file_mode)
            path.parent.chmod(folder_mode)
            check_place(path)


def test_what_is_not_there_is_fine(path: Path) -> None:
    check_place(path.with_name("none"))
    check_folder(path.with_name("none"))
    check_place(path.with_name("none") / "none")
    check_place(path / "below a file")


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_another_user_owns_is_refused_with_the_line_that_changes_it(
    path: Path, what: str
) -> None:
    found = path if what == "file" else path.parent
    os.chown(found, OTHER, OTHER)
    said = f"{found} belongs to {OTHER}, who may write what is believed here: chown {ME} {found}"
    assert refusal(path) == said


@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_what_others_may_write_is_refused_with_the_line_that_changes_it(
    path: Path, what: str, mode: int
) -> None:
    found = path if what == "file" else path.parent
    found.chmod(mode)
    assert refusal(path) == f"{found} may be written by others: chmod go-w {found}"


def test_the_parents_of_the_folder_are_not_looked_at(path: Path) -> None:
    os.chown(path.parent.parent, OTHER, OTHER)
    path.parent.parent.chmod(0o777)
    check_place(path)


def test_the_folder_that_a_symlink_leads_to_is_looked_at(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "other" / "target"
    target.parent.mkdir()
    target.touch(0o600)
    os.chown(target, ME, ME)
    os.chown(target.parent, OTHER, OTHER)
    path.unlink()
    path.symlink_to(target)
    os.lchown(path, ME, ME)
    assert refusal(path).startswith(f"{target.parent} belongs to {OTHER}")


def test_what_a_symlink_leads_to_is_looked_at_where_one_may_be(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    check_place(link)
    said = f"{link} is a symlink, which has no place there: delete it"
    assert refusal(link, links=False) == said
    os.chown(path, OTHER, OTHER)
    assert "belongs to" in refusal(link)


def test_what_cannot_be_opened_is_not_refused_here(path: Path) -> None:
    loop, pipe = path.with_name("loop"), path.with_name("pipe")
    loop.symlink_to(loop)
    os.mkfifo(pipe)
    pipe.chmod(0o666)
    for each in (loop, pipe, Path("/dev/null/below")):
        check_place(each)


def test_on_a_file_system_that_is_read_only_all_is_fine(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(path, OTHER, OTHER)
    path.parent.chmod(0o777)
    real = os.statvfs

    def read_only(where: Path) -> os.statvfs_result:
        fields = list(real(where))
        fields[8] = os.ST_RDONLY  # f_flag
        return os.statvfs_result(fields)

    monkeypatch.setattr(os, "statvfs", read_only)
    check_place(path)


# --- commands of root ----------------------------------------------------------------------------


def test_what_root_makes_in_a_users_folder_is_that_users(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    for folder in path.parents[1:5]:  # pytest's own and xdist's, which only root may pass
        if folder.name.startswith(("pytest", "popen")) or folder == path.parent.parent:
            folder.chmod(0o711)
    made = path.parent / "state" / "tokens"
    with as_owner_of(made):
        check_place(made)
        made.parent.mkdir(mode=0o700)
        made.touch(0o600)
        with pytest.raises(PermissionError):  # it is nobody who may do more than the user
            os.chown(made, 0, 0)
    status = made.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (ME, ME, 0o600)
    assert made.parent.stat().st_uid == ME
    assert (os.geteuid(), os.getegid()) == (0, 0)


def test_of_anybody_else_it_changes_nothing(path: Path) -> None:
    os.chown(path.parent, OTHER, OTHER)
    groups = os.getgroups()
    with as_owner_of(path):
        assert (os.getegid(), os.getgroups()) == (0, groups)
