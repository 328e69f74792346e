"""The names that were live just before: a note from a server that stops to the one that follows it.

    {"names": {"app": [1764170423.1, "alice"]}}    when it was last held, and by whom

The one that follows waits a while for these names before it says that a tunnel is offline, and
gives them to their owners alone. It takes the note away as it reads it, so that none is read twice;
a server that crashes leaves none.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from protocol.names import is_legal_name
from protocol.program.private_files import UnsafePathError, check_open
from tunnel_server.tunnels.left_names import Held

log = logging.getLogger(__name__)

RECENT_S: Final = 60.0  # a client that has not come back for so long is not about to
NAMES_MAX: Final = 10_000  # as many as the registry remembers
OWNER_MAX_CHARS: Final = 80  # the hash of an install key has 68, the name of a token 64
NOTE_MAX_BYTES: Final = 2 * 1024 * 1024  # NAMES_MAX of the longest, with the rest, have 1,760,000


def note_path(state_dir: Path, bind: str) -> Path:
    """Return where the server on this address has its note: those on others have their own."""
    return state_dir / f"names-{bind}.json"


def write_note(path: Path, names: Mapping[str, Held]) -> None:
    """Leave a note, whole or not at all, that this user alone can read. Failure is logged.

    Args:
        path: its folder is made if need be.
        names: the newest first. Where they are more than NAMES_MAX the owners that have most are
            cut to the same number, each to its newest: nobody's are left out for another's.
    """
    if not names:
        return
    kept = dict(_cut(names))
    draft = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The mode is given when the file is made: with a chmod there is a moment to read it.
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "w") as file:
                json.dump({"names": kept}, file)
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        log.warning("the next server will not know which names to expect: %s", error)


def _cut(names: Mapping[str, Held]) -> list[tuple[str, Held]]:
    """Those that are noted."""
    owners = Counter(held.owner for held in names.values())
    room = _of_each(owners.values())
    noted: Counter[str] = Counter()
    fitting = []
    for name, held in names.items():
        if noted[held.owner] < room:
            noted[held.owner] += 1
            fitting.append((name, held))
    return fitting[:NAMES_MAX]


def _of_each(counts: Iterable[int]) -> int:
    """The number that each owner may have at most, so that all together have no more than all.

    It is one at least; of more owners than NAMES_MAX the newest names count.
    """
    ascending, left = sorted(counts), NAMES_MAX
    for number, count in enumerate(ascending):
        room = left // (len(ascending) - number)
        if count > room:
            return max(room, 1)
        left -= count
    return NAMES_MAX


def take_note(path: Path, now: float, *, trusted: bool = False) -> dict[str, str]:
    """The names that were held within RECENT_S before `now`, and by whom; then the note is gone.

    What is no note of ours, or is too long, has no names, and is logged.

    Args:
        trusted: whoever may write it is believed.
    """
    try:
        data = _read(path, trusted=trusted)
        path.unlink()
    except FileNotFoundError:
        return {}
    except OSError as error:
        log.warning("%s cannot be read: %s", path, error.strerror or error)
        return {}
    except UnsafePathError as error:
        log.warning("%s; nothing is expected", error)
        return {}
    names = _parse(data)
    if names is None:
        log.warning("%s is no list of names; nothing is expected", path)
        return {}
    recent = ((name, held.owner) for name, held in names.items() if 0 <= now - held.at <= RECENT_S)
    return dict(recent)


def _read(path: Path, *, trusted: bool) -> bytes:
    """The note; too much of it is cut off, and then it is none. Raises UnsafePathError."""
    # Not to hang where the path is a pipe that nobody writes to, nor to follow a link elsewhere.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    file = os.open(path, flags)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return b""
        if not trusted:
            check_open(path, status)
        return os.pread(file, NOTE_MAX_BYTES, 0)
    finally:
        os.close(file)


def _parse(data: bytes) -> dict[str, Held] | None:
    names: object = None
    # RecursionError: brackets without end.
    with suppress(ValueError, RecursionError):
        note = json.loads(data)
        names = note.get("names") if isinstance(note, dict) else None
    if not isinstance(names, dict) or len(names) > NAMES_MAX:
        return None
    if not all(is_legal_name(name) and _is_held(held) for name, held in names.items()):
        return None
    return {name: Held(float(at), owner) for name, (at, owner) in names.items()}


def _is_held(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    at, owner = value
    return _is_time(at) and isinstance(owner, str) and len(owner) <= OWNER_MAX_CHARS


def _is_time(value: object) -> bool:
    """True of seconds since the epoch up to the year 33658, so not of nan, and of no bool."""
    return type(value) in (int, float) and 0 <= value < 1e12  # type: ignore[operator]  # narrowed
