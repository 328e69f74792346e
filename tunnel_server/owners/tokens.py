"""Owners by token: tokens, the auth file, and the owner that a token stands for.

    # one token a line; `tunnel-server token create NAME` appends them
    alice sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

A token is `tt_` and 43 base64url characters, 256 random bits. The file holds only its SHA-256,
which is enough: nobody can guess 256 bits, so a slow hash would only slow the server down. Nothing
in here prints a token or puts one into an error, a log or a repr.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import hmac
import logging
import os
import re
import stat
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Final

from protocol.errors import ConfigError
from protocol.http.fields import values_of
from protocol.http.heads import RequestHead

TOKEN_RANDOM_BYTES: Final = 32
NAME_RULE: Final = "1 to 64 of letters, digits, . _ @ and -, beginning with a letter or digit"
# A name never has a colon, so that it cannot be taken for the `key:` owner of an open server.
_SHORTAGES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_LINE: Final = re.compile(rf"({_NAME.pattern})[ \t]+sha256:([0-9A-Fa-f]{{64}})")
_BEARER: Final = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*) *")  # RFC 6750, 2.1
# Room for 10,000 tokens; a path to something endless must not fill the memory.
MAX_AUTH_FILE_BYTES: Final = 2 * 1024 * 1024

logger = logging.getLogger(__name__)


# Digests of tokens, and whose they are.
_Owners = tuple[tuple[bytes, str], ...]


def make_token(random_bytes: bytes) -> str:
    """A token of exactly TOKEN_RANDOM_BYTES random bytes.

    Raises:
        ValueError: another number of bytes.
    """
    if len(random_bytes) != TOKEN_RANDOM_BYTES:
        raise ValueError(f"a token takes {TOKEN_RANDOM_BYTES} random bytes")
    return "tt_" + urlsafe_b64encode(random_bytes).decode("ascii").rstrip("=")


def authorization_of(head: RequestHead) -> bytes | None:
    """The one Authorization of a request; several are none."""
    values = values_of(head.fields, b"authorization")
    return values[0] if len(values) == 1 else None


def bearer_token(authorization: bytes) -> str | None:
    """The credentials in a value of Authorization, or None if it is not a well-formed Bearer."""
    match = _BEARER.fullmatch(authorization)
    return match[1].decode("ascii") if match else None


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
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # closing the file gives it back
            _append(file, path, name, token)
        finally:
            os.close(file)
    except OSError as error:
        raise _unusable(path, error) from None


class Authenticator:
    """The Ownership that today's tokens give: an owner for each, and every name to everybody.

    With an auth file only its tokens have owners, the names in it. The file is read again as soon
    as it has changed; a bad one is then logged and what was read before still holds. A file that is
    not there has no tokens. Without an auth file, on a server that needs no tokens, any value at
    all is its own owner, so that strangers there cannot take each other's names.

    Raises:
        ConfigError: the auth file cannot be read or has bad lines.
    """

    def __init__(self, auth_file: Path | None) -> None:
        self._path = auth_file
        self._seen: tuple[int, ...] | None = None
        self._owners: _Owners = ()
        if auth_file is not None:
            self._seen = _signature(auth_file)
            self._owners = _load(auth_file)
            if not self._owners:
                command = f"tunnel-server token create NAME --auth-file {auth_file}"
                logger.warning("no token in %s yet, so nobody can connect: %s", auth_file, command)

    def __repr__(self) -> str:
        if self._path is None:
            return "<Authenticator open>"
        return f"<Authenticator {self._path} tokens={len(self._owners)}>"

    def owner_of(self, token: str | None) -> str | None:
        """The owner that a token (an install key, on an open server) stands for, if any.

        At most one stat and, if the file has changed, one read. Compares in constant time: how long
        it takes says nothing about which token was nearly right.
        """
        if self._path is not None:
            self._reload(self._path)
        if not token:
            return None
        digest = _digest(token)
        if self._path is None:
            return f"key:{digest.hex()}"
        found = None
        for known, owner in self._owners:
            if hmac.compare_digest(known, digest):
                found = owner
        return found

    def may_claim(self, owner: str, name: str) -> bool:
        """Return True: a name is nobody's for longer than it is held."""
        return True

    def _reload(self, path: Path) -> None:
        seen = _signature(path)
        if seen == self._seen:
            return
        before, self._seen = self._seen, seen  # a bad file is complained about once
        try:
            self._owners = _load(path)
        except ConfigError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno in _SHORTAGES:
                self._seen = before  # nothing is wrong with the file: read it the next time
            else:
                logger.error("%s; the tokens read before still hold", error)
        else:
            logger.info("%s has changed: %d tokens", path, len(self._owners))


def _append(file: int, path: Path, name: str, token: str) -> None:
    old = _read(file, path)
    if any(owner == name for _, owner in _parse(old, path)):
        text = f"takes a new name: {path} has a token of {name} already; delete its line first"
        raise ConfigError("NAME", text)
    line = f"{name} sha256:{_digest(token).hex()}\n".encode()
    if old and not old.endswith(b"\n"):
        line = b"\n" + line
    if os.write(file, line) != len(line):  # a full disk takes a part of it
        os.ftruncate(file, len(old))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file)


def _load(path: Path) -> _Owners:
    try:
        # Not to hang where the path is a pipe that nobody writes to.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return _parse(_read(file, path), path)
        finally:
            os.close(file)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _unusable(path, error) from error


def _read(file: int, path: Path) -> bytes:
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_AUTH_FILE_BYTES:
        text = f"takes a plain file of at most {MAX_AUTH_FILE_BYTES} bytes, not {path}"
        raise ConfigError("--auth-file", text)
    return os.pread(file, MAX_AUTH_FILE_BYTES, 0)


def _parse(data: bytes, path: Path) -> _Owners:
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
    return tuple(owners.items())


def _bad_lines(path: Path, numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
    rule = "NAME sha256:HEX with a name and a token that no other line has, or begins with #"
    return f"each line of {path} is {rule}; not so: line {shown}"


def _signature(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError as error:
        return (error.errno or 0,)
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _unusable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        "--auth-file", f"takes a file that can be used, not {path} ({error.strerror})"
    )
