"""The socket for commands of whoever runs the server: `control-BIND.sock` in the state folder.

    {"do": "release", "name": "shop"}      a line from a command of `tunnel-server`
    {"ok": true, "owner": ...}             a line back, or {"ok": false, "error": "..."}

It has mode 0600, and the kernel says whose the process at the other end is: this user's, or root's.
So there is no password, and no port. There is one for each address that is listened on, since
several servers may share a folder.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import trio

from tunnel_server.listening.local import LocalListener, PlaceError, SocketPlace, uid_of
from tunnel_server.settings.config import ServerConfig

log = logging.getLogger(__name__)

# For the command to come, to be done (a commit to a disk) and for its answer to be taken.
STEP_S: Final = 5.0
ASKED_MAX_BYTES: Final = 4_096
ANSWER_MAX_BYTES: Final = 16 * 1024 * 1024  # ten thousand names of the longest have 3

_PREFIX: Final = "control-"
_SUFFIX: Final = ".sock"

Asked = Mapping[str, Any]
Answer = Mapping[str, object]


def control_place(folder: Path, bind: str, *, trusted: bool = False) -> SocketPlace:
    """The place of the server that listens on this address; for `trusted` see SocketPlace."""
    return SocketPlace(folder, f"{_PREFIX}{bind}{_SUFFIX}", trusted)


def control_place_of(config: ServerConfig) -> SocketPlace:
    """The place of a server with these settings."""
    return control_place(config.state_dir, config.bind, trusted=config.trust_state_dir)


def places_in(folder: Path, *, trusted: bool = False) -> dict[str, SocketPlace]:
    """The places of all servers with this state folder, by their addresses; as `binds_in`."""
    return {bind: control_place(folder, bind, trusted=trusted) for bind in binds_in(folder)}


def binds_in(folder: Path) -> list[str]:
    """The addresses of all servers with this state folder, those of crashed ones among them.

    Raises:
        PlaceError: the folder is not ours to look into.
    """
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except PermissionError:
        raise PlaceError(f"{folder} is another user's: ask as that user, or as root") from None
    except OSError as error:
        raise PlaceError(f"{folder}: {error.strerror}") from None
    return [
        name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        for name in names
        if name.startswith(_PREFIX) and name.endswith(_SUFFIX)
    ]


class ControlSocket:
    """Answers commands until it is cancelled.

    Args:
        place: where it is found.
        answer: what a command comes to; ValueError with a line for the person if it cannot be.
        answered: is called when an answer has left.
    """

    def __init__(
        self,
        place: SocketPlace,
        answer: Callable[[Asked], Awaitable[Answer]],
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        self._listener = LocalListener(place)
        self._answer = answer
        self._answered_one = answered

    def __repr__(self) -> str:
        return f"<ControlSocket {self._listener!r}>"

    def open(self) -> None:
        """Be found from now on. Raises PlaceError."""
        self._listener.open()

    def succeeded(self) -> None:
        """Another server has the place now."""
        self._listener.succeeded()

    async def run(self) -> None:
        """Serve whoever connects. Call it once, after `open`."""
        await self._listener.run(self._serve)

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            if uid_of(stream) not in (0, os.geteuid()):
                log.warning("a process of another user sent a command; refused")
                return
            with trio.move_on_after(STEP_S):
                try:
                    said = await self._answered(await read_line(stream, ASKED_MAX_BYTES))
                    await stream.send_all(json.dumps(said).encode() + b"\n")
                    self._answered_one()
                except (trio.BrokenResourceError, ValueError):
                    return  # whoever asked has gone, or has not learnt to speak

    async def _answered(self, line: bytes) -> Answer:
        try:
            asked = json.loads(line)
            if not isinstance(asked, dict):
                raise ValueError("a command is a JSON object")
            return {"ok": True, **await self._answer(asked)}
        except (ValueError, RecursionError) as error:  # what is no JSON is a ValueError, too
            return {"ok": False, "error": str(error)}


async def read_line(stream: trio.abc.ReceiveStream, most: int) -> bytes:
    """A line without its end. Raises ValueError if it is longer than `most`, or has no end."""
    said = bytearray()
    while not said.endswith(b"\n"):
        more = await stream.receive_some(65_536)
        if not more or len(said) + len(more) > most:
            raise ValueError(f"no line of at most {most} bytes")
        said += more
    return bytes(said[:-1])
