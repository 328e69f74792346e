"""A command on its way to the server that runs, or to the store where none does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import trio

from protocol.errors import TunnelError
from tunnel_server.admin.control_socket import (
    ANSWER_MAX_BYTES,
    STEP_S,
    read_line,
)
from tunnel_server.admin.name_commands import NameCommands
from tunnel_server.listening.local import PlaceError, SocketPlace, connect
from tunnel_server.owners.names import Change, KeptNames
from tunnel_server.owners.store import Store

Command = Mapping[str, object]
Answer = dict[str, Any]


class NotDoneError(TunnelError):
    """A command cannot be done; its text is for the person."""


async def ask_each(places: Mapping[str, SocketPlace], command: Command) -> list[Answer]:
    """Ask those servers of this state folder that run. Cancellation leaves nothing open.

    Args:
        places: where they are, by their addresses; see `places_in`.

    Raises:
        NotDoneError: one of them cannot be asked.
    """
    async with _connected(places) as servers:
        return [await _ask(bind, stream, command) for bind, stream in servers.items()]


async def ask_one(places: Mapping[str, SocketPlace], command: Command) -> Answer | None:
    """Ask the only one of these servers that runs; None if none does.

    Raises:
        NotDoneError: it cannot be done, or more than one runs.
    """
    async with _connected(places) as servers:
        if len(servers) > 1:
            where = " and ".join(servers)
            text = f"servers on {where} share one state folder"
            raise NotDoneError(f"{text}: say by --bind which is meant")
        for bind, stream in servers.items():
            return await _ask(bind, stream, command)
    return None


def do_in_store(store: Store, domain: str, keep_s: float, command: Mapping[str, Any]) -> Answer:
    """Do a command about names of a domain with no server. sqlite3.Error is the disk's.

    Args:
        store: an open one.
        domain: of the names.
        keep_s: how long a name that went is its owner's.
        command: as a server takes it.

    Raises:
        NotDoneError: it cannot be done.
    """
    changes: dict[str, Change] = {}
    names = KeptNames(keep_s, lambda _: False, changes.__setitem__)
    names.read(store.names_of(domain))
    commands = NameCommands(names, dict, lambda: datetime.now(UTC).timestamp(), lambda _: None)
    try:
        answer = commands.by_word[command["do"]](command)
    except ValueError as error:
        raise NotDoneError(str(error)) from None
    if changes:
        store.write(domain, changes)
    return answer


@asynccontextmanager
async def _connected(
    places: Mapping[str, SocketPlace],
) -> AsyncIterator[dict[str, trio.SocketStream]]:
    """Connections to those servers that run, by their addresses."""
    async with AsyncExitStack() as closing:
        servers: dict[str, trio.SocketStream] = {}
        for bind, place in places.items():
            try:
                stream = await connect(place)
            except PlaceError as error:
                raise NotDoneError(f"{bind}: {error}") from None
            if stream is not None:
                servers[bind] = await closing.enter_async_context(stream)
        yield servers


async def _ask(bind: str, stream: trio.SocketStream, command: Command) -> Answer:
    try:
        with trio.fail_after(STEP_S):
            await stream.send_all(json.dumps(command).encode() + b"\n")
            answer = json.loads(await read_line(stream, ANSWER_MAX_BYTES))
    except trio.TooSlowError:
        text = (
            f"the server on {bind} did not answer within {STEP_S:g} s, and may do it all the same"
        )
        raise NotDoneError(f"{text}: look before you ask again") from None
    except (trio.BrokenResourceError, ValueError):
        raise NotDoneError(f"the server on {bind} has gone, or does not take commands") from None
    if not isinstance(answer, dict) or not answer.pop("ok", False):
        error = answer.get("error") if isinstance(answer, dict) else None
        raise NotDoneError(str(error or f"the server on {bind} gave no answer of its own"))
    return answer
