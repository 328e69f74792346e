"""Files that nobody else must read, and files that nobody else must write.

*What must not be read* (tokens, keys) is written 0600. What we find readable by others is used with
a warning, since it was readable before we came. Pipes, symlinks and root's files are taken as they
are: Kubernetes, Docker and systemd hand secrets over like that.

*What must not be written* (the auth file, notes, sockets, what says who may do what) is refused if
somebody else owns it, or its folder, or may write there: whoever may write it takes any right. The
folder's own parents are not looked at. What lies on a file system that is mounted read-only nobody
can write.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from protocol.errors import TunnelError

_READ_BY_OTHERS: Final = stat.S_IRGRP | stat.S_IROTH
_WRITTEN_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_ROOT: Final = 0

# Windows has neither users with numbers nor these modes: there nothing of this is looked at.
_HAS_OWNERS: Final = hasattr(os, "geteuid")


class UnsafePathError(TunnelError):
    """Somebody else may write what we would believe; its text is for the person."""


def warning_of(path: Path) -> str:
    """A line for the person about a file of our own that others may read; "" if there is none."""
    try:
        status = path.lstat()
    except OSError:  # whoever reads it says what is wrong
        return ""
    ours = _HAS_OWNERS and stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() != _ROOT
    if not ours or not status.st_mode & _READ_BY_OTHERS:
        return ""
    return f"{path} can be read by others on this machine: chmod 600 {shlex.quote(str(path))}"


def check_place(path: Path, *, links: bool = True) -> None:
    """Refuse a file that others may write, or in whose folder they may. It need not be there.

    Args:
        links: it may be a symlink, and what that leads to is looked at.

    Raises:
        UnsafePathError: that is so; with the line that changes it.
    """
    check_folder(path.parent)
    if os.path.islink(path):  # pathlib's raises where a folder may not be passed
        if not links:
            raise UnsafePathError(f"{path} is a symlink, which has no place there: delete it")
        check_folder(Path(os.path.realpath(path)).parent)
    _check_if_there(path)


def check_folder(folder: Path) -> None:
    """Refuse a folder that others may write in; as `check_place`."""
    _check_if_there(folder)


def check_open(path: Path, status: os.stat_result) -> None:
    """Refuse a file that is open already, of which this is the status; as `check_place`."""
    shown = shlex.quote(str(path))
    if status.st_uid not in (_ROOT, os.geteuid()):
        text = f"{path} belongs to {_name_of(status.st_uid)}, who may write what is believed here"
        raise UnsafePathError(f"{text}: chown {_name_of(os.geteuid())} {shown}")
    if status.st_mode & _WRITTEN_BY_OTHERS:
        raise UnsafePathError(f"{path} may be written by others: chmod go-w {shown}")


@contextmanager
def as_owner_of(path: Path) -> Iterator[None]:
    """Let root be, for this block, whoever owns the folder of this path, or the nearest above it.

    What a command of root makes in a user's folder is the user's then, and the kernel decides what
    it may do there. Of anybody else it changes nothing.
    """
    status = _nearest(path.parent).stat()
    if not _HAS_OWNERS or os.geteuid() != _ROOT or status.st_uid == _ROOT:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    os.setgroups([status.st_gid])
    os.setegid(status.st_gid)
    os.seteuid(status.st_uid)
    try:
        yield
    finally:
        os.seteuid(_ROOT)
        os.setegid(group)
        os.setgroups(groups)


def _check_if_there(path: Path) -> None:
    if not _HAS_OWNERS:
        return
    try:
        status = path.stat()
        fixed = os.statvfs(path).f_flag & os.ST_RDONLY
    except OSError:  # what opens it says what is wrong, or makes it
        return
    plain = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    if plain and not fixed:
        check_open(path, status)


def _nearest(folder: Path) -> Path:
    """The folder, or the first above it that is there."""
    return next(each for each in (folder, *folder.absolute().parents) if os.path.isdir(each))


def _name_of(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (KeyError, ImportError):  # in a container, say; on Windows
        return str(uid)
