"""The server's side of the commands of whoever runs it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tunnel_server.admin.name_commands import Answer, Holder, NameCommands, legal_name
from tunnel_server.observing.output import listening
from tunnel_server.owners.share_counts import Counted, count
from tunnel_server.owners.store_writer import StoreWriter
from tunnel_server.tunnels.directory import Directory
from tunnel_server.tunnels.totals import sessions, shares, totals

log = logging.getLogger(__name__)


class Commands:
    """Answers one command after the other.

    Args:
        directory: what they are about.
        of_visitors: their shares, by their names in JSON.
        port: the bound one.
        writer: of the store; None: names are kept in memory.
        end_what_passes: returns when nothing passes any more by sessions that have ended.
        stop: stops the server, as a signal does; it is called when the answer has left.
    """

    def __init__(
        self,
        directory: Directory,
        of_visitors: Mapping[str, Counted],
        port: int,
        writer: StoreWriter | None,
        end_what_passes: Callable[[], Awaitable[None]],
        stop: Callable[[], None],
    ) -> None:
        self._directory = directory
        self._of_visitors = of_visitors
        self._port = port
        self._writer = writer
        self._end_what_passes = end_what_passes
        self._stop = stop
        self._stop_wanted = False
        self._of_names = NameCommands(
            directory.names, self._holders, directory.wall_time, directory.knows_owner
        )
        self._by_word: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[Answer]]] = {
            "status": self._status,
            "reload-tokens": self._reload_tokens,
            "sessions": self._sessions,
            "close": self._close,
            "drain": self._drain,
        }

    def __repr__(self) -> str:
        return f"<Commands of {self._directory!r}>"

    async def answer(self, asked: Mapping[str, Any]) -> Answer:
        """Do a command; a change is answered once the store has it, or has failed.

        Raises:
            ValueError: it cannot be, with a line for the person.
        """
        word = str(asked.get("do"))
        if word in self._by_word:
            return await self._by_word[word](asked)
        command = self._of_names.by_word.get(word)
        if command is None:
            raise ValueError(f"this server knows no command {word!r}")
        self._check(word, asked)
        answer = command(asked)
        if word != "names":
            log.info("by command: %s %s %s", word, asked["name"], answer["owner"])
        if self._writer is not None and word != "names":
            await self._writer.flush()
        return {**answer, "store": self._store}

    def _check(self, word: str, asked: Mapping[str, Any]) -> None:
        directory, meant = self._directory, asked.get("names_under")
        has = directory.config.apex
        if meant is not None and meant != has:
            raise ValueError(
                f"this server has names under {has}, not {meant}: --bind names another"
            )
        if word != "names" and (directory.draining or directory.gate.is_closed):
            raise ValueError("this server stops, or another one takes its place: ask again")

    def answered(self) -> None:
        """The answer to the last command has left."""
        if self._stop_wanted:
            self._stop()

    async def _reload_tokens(self, asked: Mapping[str, Any]) -> Answer:
        """Take what the store has of tokens, and end what is not allowed any more."""
        if self._writer is None:
            raise ValueError("this server has no store: its log says why")
        try:
            await self._writer.read_again()
        except sqlite3.Error as error:
            raise ValueError(f"this server cannot read its store ({error})") from None
        ended = await self._directory.look_at_owners()
        await self._end_what_passes()
        return {"ended": ended}

    async def _sessions(self, asked: Mapping[str, Any]) -> Answer:
        return {"sessions": sessions(self._directory)}

    async def _close(self, asked: Mapping[str, Any]) -> Answer:
        """Take a name from the client that serves under it."""
        name = legal_name(asked)
        owner = self._directory.close_name(name)
        if owner is None:
            raise ValueError(f"nobody serves under {name}")
        log.info("by command: close %s %s", name, owner)
        return {"owner": owner}

    async def _drain(self, asked: Mapping[str, Any]) -> Answer:
        log.info("by command: drain")
        self._stop_wanted = True
        return {"drain_timeout_s": self._directory.config.drain_timeout_s}

    async def _status(self, asked: Mapping[str, Any]) -> Answer:
        directory = self._directory
        config, told = directory.config, listening(directory.config, self._port)
        return {
            "bind": told.bind,
            "url": told.url,
            "tokens_needed": config.authentication_required,
            "public_by": config.public_by,
            **totals(directory)._asdict(),
            "names": len(self._holders()),
            "kept_names": len(directory.names),
            "store": self._store,
            "shares": {name: count(share)._asdict() for name, share in self._shares.items()},
        }

    @property
    def _shares(self) -> Mapping[str, Counted]:
        return {**self._of_visitors, **shares(self._directory)}

    @property
    def _store(self) -> str:
        if self._writer is None:
            return "none"
        return "failing" if self._writer.failing else "ok"

    def _holders(self) -> dict[str, Holder]:
        """Each live name and whose it is."""
        live = self._directory.registry.live()
        return {tunnel.name: Holder(tunnel.owner, tunnel.chosen) for tunnel in live}
