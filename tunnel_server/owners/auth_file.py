"""The auth file, which says whose a token is.

# one token a line; `tunnel-server token create NAME --auth-file FILE` appends them
alice sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from protocol.errors import ConfigError, TunnelError
from protocol.program.private_files import UnsafePathError, check_place
from tunnel_server.owners.tokens import digest_of

NAME_RULE: Final = "1 to 64 of letters, digits, . _ @ and -, beginning with a letter or digit"
# A name never has a colon, so that it cannot be taken for the `key:` owner of an open server.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_KEY: Final = re.compile(r"key:[0-9a-f]{64}")
_LINE: Final = re.compile(rf"({_NAME.pattern})[ \t]+sha256:([0-9A-Fa-f]{{64}})")
# Room for 10,000 tokens; a path to something endless must not fill the memory.
MAX_AUTH_FILE_BYTES: Final = 2 * 1024 * 1024

# Editors and rsync put a new file in place of the old one in two steps. For so long a file that is
# not there, or has nothing in it, is one of those moments.
GRACE_S: Final = 5.0

LOCK_S: Final = 5.0  # others append a line

_SHORTAGES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

log = logging.getLogger(__name__)


def add_token(path: Path, name: str, token: str) -> None:
    """Appends the token's line to the auth file, which is made with mode 0600 if need be.

    Safe beside others that do the same, and beside a server that reads: the file is locked from the
    check to the append, and the line goes out in one write.

    Raises:
        ConfigError: the name is not legal or is there already, or the file cannot be used; it is
            then as it was.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError("NAME", f"takes {NAME_RULE}, not {name!r}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = _open_locked(path)
        try:
            _append(file, path, name, token)
        finally:
            os.close(file)
    except OSError as error:
        raise _unusable(path, error) from None


def is_token_name(name: str) -> bool:
    """Whether a token, or its owner, can be called so."""
    return _NAME.fullmatch(name) is not None


def is_owner(owner: str) -> bool:
    """Whether this can be an owner: the name of a token, or the digest of an install key."""
    return _NAME.fullmatch(owner) is not None or _KEY.fullmatch(owner) is not None


class AuthFile:
    """The tokens of a file, as it was when it was looked at.

    A bad file is logged once, and what was read before still holds. One that is not there, or
    cannot be read, or has no token any more, changes nothing for GRACE_S; then it has no tokens.

    Args:
        path: it need not be there.
        check: refuses a path that others may write to, before each reading.

    Attributes:
        owners: digests of tokens, and whose they are.
        revision: grows with each change of `owners`.

    Raises:
        ConfigError: the file cannot be read or has bad lines.
        UnsafePathError: others may write it.
    """

    def __init__(self, path: Path, check: Callable[[Path], None] = check_place) -> None:
        self.path = path
        self._check = check
        self.revision = 0
        self._seen = _signature(path)
        self._gone_since: float | None = None
        self._complaint = ""  # what was said last of a file that cannot be used
        self._complained_of: tuple[int, ...] = ()
        self.owners: Mapping[bytes, str] = self._load()

    def __repr__(self) -> str:
        gone = "" if self._gone_since is None else f" gone since {self._gone_since:.0f}"
        return f"<AuthFile {self.path} tokens={len(self.owners)}{gone}>"

    def look(self, now: float) -> None:
        """See whether the file has changed, and read it if so. At most one stat and one read."""
        seen = _signature(self.path)
        if seen == self._seen:
            self._gone_since = None
            if self._complained_of != seen:
                self._can_be_used_again()  # it is back as it was
            return
        try:
            owners = self._load()
        except (ConfigError, UnsafePathError) as error:
            self._failed(error, seen, now)
        else:
            if not owners and self.owners and self._may_come_back(now):
                return
            self._take(owners, seen)

    def _take(self, owners: Mapping[bytes, str], seen: tuple[int, ...]) -> None:
        self._seen, self._gone_since = seen, None
        if owners == self.owners:
            self._can_be_used_again()
            return
        self._complaint = ""
        self.owners = owners
        self.revision += 1
        if not owners:
            log.warning("there is no token in %s any more", self.path)
            return
        tokens = "1 token" if len(owners) == 1 else f"{len(owners)} tokens"
        log.info("%s has changed: %s", self.path, tokens)

    def _load(self) -> dict[bytes, str]:
        try:
            self._check(self.path)
        except OSError as error:
            raise _unusable(self.path, error) from error
        return _load(self.path)

    def _failed(self, error: TunnelError, seen: tuple[int, ...], now: float) -> None:
        cause = error.__cause__
        short = isinstance(cause, OSError) and cause.errno in _SHORTAGES
        if short or (isinstance(cause, OSError) and self._may_come_back(now)):
            return  # nothing is wrong with the file, or not for long: read it the next time
        self._gone_since = None
        if cause is None and not isinstance(error, UnsafePathError):
            self._seen = seen  # its content is wrong, and stays so until it changes
        self._complained_of = seen
        if str(error) != self._complaint:
            self._complaint = str(error)
            log.error("%s; the tokens read before still hold", error)

    def _can_be_used_again(self) -> None:
        if self._complaint:
            self._complaint = ""
            log.info("%s can be used again", self.path)

    def _may_come_back(self, now: float) -> bool:
        if self._gone_since is None:
            self._gone_since = now
        return now - self._gone_since < GRACE_S


def _open_locked(path: Path) -> int:
    """The file at this path. An editor may put another one there while this waits for the lock."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(file)
            if os.path.exists(path) and os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _lock(file: int) -> None:
    """Lock it until it is closed. Raises OSError if another program does not give it back.

    Where the system has no such locks, of two commands at once one may undo the other's work.
    """
    try:
        import fcntl
    except ImportError:
        return
    gives_up_at = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= gives_up_at:
                text = f"another program has locked it for {LOCK_S:g} s"
                raise OSError(errno.EWOULDBLOCK, text) from None
            time.sleep(0.05)  # noqa: TID251  # a command, which has no loop


def _append(file: int, path: Path, name: str, token: str) -> None:
    old = _read(file, path)
    if any(owner == name for owner in _parse(old, path).values()):
        text = f"takes a new name: {path} has a token of {name} already; delete its line first"
        raise ConfigError("NAME", text)
    line = f"{name} sha256:{digest_of(token).hex()}\n".encode()
    if old and not old.endswith(b"\n"):
        line = b"\n" + line
    if os.write(file, line) != len(line):  # a full disk takes a part of it
        os.ftruncate(file, len(old))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file)


def _load(path: Path) -> dict[bytes, str]:
    try:
        # Not to hang where the path is a pipe that nobody writes to.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return _parse(_read(file, path), path)
        finally:
            os.close(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unusable(path, error) from error


def _read(file: int, path: Path) -> bytes:
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_AUTH_FILE_BYTES:
        text = f"takes a plain file of at most {MAX_AUTH_FILE_BYTES} bytes, not {path}"
        raise ConfigError("--auth-file", text)
    return os.pread(file, MAX_AUTH_FILE_BYTES, 0)


def _parse(data: bytes, path: Path) -> dict[bytes, str]:
    owners: dict[bytes, str] = {}
    names: set[str] = set()
    bad = []
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        # A name or a token that is there twice would make it a guess which line was meant.
        if not match or match[1] in names or bytes.fromhex(match[2]) in owners:
            bad.append(number)
        else:
            owners[bytes.fromhex(match[2])] = match[1]
            names.add(match[1])
    if bad:
        raise ConfigError("--auth-file", _bad_lines(path, bad))
    return owners


def _bad_lines(path: Path, numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
    rule = "NAME sha256:HEX with a name and a token that no other line has, or begins with #"
    return f"each line of {path} is {rule}; not so: line {shown}"


def _signature(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError as error:
        return (error.errno or 0,)
    # chmod and chown, which may be what a complaint asked for, change ctime alone.
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def _unusable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        "--auth-file", f"takes a file that can be used, not {path} ({error.strerror})"
    )
