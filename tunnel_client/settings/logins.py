"""Tokens that `login` has stored: one for each server, and for no other.

    {"https://tunnel.example.com": {"token": "tt_...", "insecure": false}, ...}

They are in a file of the state folder that its user alone may read. A token goes to the server
that it was stored for: with one for all, a slip in `--server` would hand it to whoever answers
there. The last one is that of the newest login, the server where nobody names one.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from protocol.errors import ConfigError
from protocol.program.private_files import as_owner_of, warning_of
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.stable_name import origin_of
from tunnel_client.settings.tokens import check_token

FILE_NAME: Final = "logins.json"
LOGINS_MAX: Final = 100  # more servers than one person works with
LOGINS_MAX_BYTES: Final = 256 * 1024
LOCK_S: Final = 5.0  # another login is done by then


class StoredLogin(NamedTuple):
    """A token that was stored.

    Fields:
        server: as its origin.
        insecure: the line to it was said to be safe without TLS.
    """

    server: str
    token: str
    insecure: bool = False

    def __repr__(self) -> str:
        return f"<StoredLogin at {self.server}>"


class Logins:
    """The logins of a state folder.

    Raises:
        ConfigError: by each method; the file is no such file, or cannot be used.
    """

    def __init__(self, state_folder: Path) -> None:
        self._path = state_folder / FILE_NAME

    def __repr__(self) -> str:
        return f"<Logins in {self._path}>"

    def all(self) -> list[StoredLogin]:
        """All of them, the newest last."""
        try:
            with self._path.open("rb") as file:
                data = file.read(LOGINS_MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):  # or there is no state folder at all
            return []
        except OSError as error:
            raise self._unusable(error) from None
        try:
            return _parse(data)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError, ConfigError):
            text = "is damaged: delete it, and log in again"
            raise ConfigError(str(self._path), text) from None

    def of(self, server: ServerUrl) -> StoredLogin | None:
        """The login at this server and no other."""
        origin = origin_of(server)
        return next((each for each in self.all() if each.server == origin), None)

    def newest(self) -> StoredLogin | None:
        """The newest, whose server is meant where nobody names one."""
        stored = self.all()
        return stored[-1] if stored else None

    def put(self, server: ServerUrl, token: str, *, insecure: bool = False) -> None:
        """Store a token in the place of the one before; it is the newest then."""
        new = StoredLogin(origin_of(server), token, insecure)
        with self._changing() as stored:
            stored[:] = [each for each in stored if each.server != new.server]
            if len(stored) >= LOGINS_MAX:
                raise ConfigError(str(self._path), f"has {LOGINS_MAX} servers: log out of some")
            stored.append(new)

    def remove(self, server: ServerUrl) -> bool:
        """Forget the token of a server. Returns whether there was one."""
        origin = origin_of(server)
        if all(each.server != origin for each in self.all()):
            return False
        with self._changing() as stored:
            stored[:] = [each for each in stored if each.server != origin]
        return True

    @property
    def warning(self) -> str:
        """A line for the person where others may read the file; "" if they may not."""
        return warning_of(self._path)

    @contextmanager
    def _changing(self) -> Iterator[list[StoredLogin]]:
        """The logins, to be changed in place while no other program does."""
        try:
            with as_owner_of(self._path):
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with _locked(self._path.with_name(f"{FILE_NAME}.lock")):
                    stored = self.all()
                    yield stored
                    self._write(stored)
        except OSError as error:
            raise self._unusable(error) from None

    def _write(self, stored: list[StoredLogin]) -> None:
        said = {each.server: {"token": each.token, "insecure": each.insecure} for each in stored}
        draft = self._path.with_name(f"{FILE_NAME}.{os.getpid()}-{secrets.token_hex(4)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(said, file, indent=2)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        finally:
            draft.unlink(missing_ok=True)

    def _unusable(self, error: OSError) -> ConfigError:
        return ConfigError(str(self._path), f"cannot be used: {error.strerror or error}")


def _parse(data: bytes) -> list[StoredLogin]:
    if len(data) > LOGINS_MAX_BYTES:
        raise ValueError("too long")
    said: Mapping[str, Any] = json.loads(data)
    return [
        StoredLogin(
            str(ServerUrl.parse(server)),
            check_token(each["token"], "token"),
            bool(each.get("insecure", False)),
        )
        for server, each in said.items()
    ]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock; where the system has none, of two logins at once one may undo the other."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(handle)
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    try:
        import fcntl
    except ImportError:
        return
    gives_up_at = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= gives_up_at:
                text = f"another program has locked it for {LOCK_S:g} s"
                raise OSError(errno.EWOULDBLOCK, text) from None
            time.sleep(0.05)  # noqa: TID251  # a command, which has no loop
