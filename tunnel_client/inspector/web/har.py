"""DRIVER. The routes of HAR: all that matches a filter as one file, and entries of a file back.

A file is made while it is sent, an exchange at a time, so that no more of the store is in memory
twice. What it is asked to show is the store's state at the beginning; what goes meanwhile is left
out.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tunnel_client.inspector.capture.exchange import KeptExchange
from tunnel_client.inspector.capture.frames import Frames
from tunnel_client.inspector.capture.importing import ImportedExchange, add_imported
from tunnel_client.inspector.capture.pacing import WorkPace
from tunnel_client.inspector.capture.snapshot import ExchangeSnapshot, snapshot_of
from tunnel_client.inspector.exports.har_entries import har_entry
from tunnel_client.inspector.exports.har_messages import har_message
from tunnel_client.inspector.exports.har_reading import imported_exchange
from tunnel_client.inspector.exports.har_values import HarError
from tunnel_client.inspector.shown.masking import Masks
from tunnel_client.inspector.web.answers import answer, bad, posted
from tunnel_client.inspector.web.api import LARGE_BYTES, asked_filter, holds
from tunnel_client.inspector.web.filters import Filter
from tunnel_client.inspector.web.view import InspectorView

Add = Callable[[bytes], Awaitable[None]]

PIECE_BYTES: Final = 64 * 1024  # of the file, as they are sent
MESSAGES_A_PIECE: Final = 50  # a millisecond or two
ENTRIES_MAX: Final = 1000  # of one request; its body has 1 MiB at most
SORTED_S: Final = 2.0  # the store's task has seen them by then, or they show up later
_ENTRY_MAX: Final = 2**31

MASKED: Final = "Secrets are masked, as docs/inspector-api.md says."
OPEN: Final = "With secrets: passwords, tokens and cookies stand in this file as they came."


class HarApi:
    """Answers requests; each method is one route."""

    def __init__(self, view: InspectorView) -> None:
        self._view = view

    def __repr__(self) -> str:
        return f"<HarApi {self._view!r}>"

    async def export(self, request: Request) -> Response:
        """All that match, as a file."""
        wanted = asked_filter(request)
        is_open = request.query_params.get("secrets") == "1"
        day = datetime.now(UTC).strftime("%Y-%m-%d-%H%M%S")
        name = f"inspector-{day}{'-with-secrets' if is_open else ''}.har"
        return StreamedFile(name, partial(self._write, wanted, is_open=is_open))

    async def take(self, request: Request) -> Response:
        """Keep entries of a file; those that cannot be are named, and the others are kept."""
        said = await posted(request)
        entries, first = said.get("entries"), said.get("first", 0)
        if not isinstance(entries, list) or len(entries) > ENTRIES_MAX:
            raise bad(f"entries takes a list of {ENTRIES_MAX} at most")
        if type(first) is not int or not 0 <= first < _ENTRY_MAX:
            raise bad("first takes the number of the first entry, from 0 on")
        found, refused = await trio.to_thread.run_sync(_read, entries, first)
        ids = await self._keep(found)
        await self._until_sorted(max(ids, default=0))
        return answer({"ids": ids, "refused": refused})

    async def _keep(self, found: list[ImportedExchange]) -> list[int]:
        pace, ids = WorkPace(), []
        for each in found:
            number = add_imported(self._view.store, each)
            if number is not None:  # else as many are under way as are ever kept
                ids.append(number)
            if pace.is_due:
                await pace.rest()
        return ids

    async def _until_sorted(self, last: int) -> None:
        """Wait until they are in the list, so that the next ones do not have to be dropped."""
        store = self._view.store
        with trio.move_on_after(SORTED_S):
            while last > max((each.id for each in store.newest(1)), default=0):
                await store.changed()

    async def _write(self, wanted: Filter, add: Add, *, is_open: bool) -> None:
        view = self._view
        log = {
            "version": "1.2",
            "creator": {"name": "trio-tunnel", "version": view.facts.program.version},
            "comment": OPEN if is_open else MASKED,
            "pages": [],
        }
        await add(f'{{"log": {json.dumps(log)[:-1]}, "entries": ['.encode())
        pace, separator = WorkPace(), b""
        # Numbers alone: what gives way meanwhile shall not stay in memory for this.
        numbers = [exchange.id for exchange in view.store.newest(view.store.counts.kept)]
        for number in reversed(numbers):
            exchange = view.store.get(number)
            if exchange is not None and await holds(exchange, wanted, view.masks):
                await add(separator)
                await self._write_entry(exchange, add, is_open=is_open)
                separator = b",\n"
            if pace.is_due:
                await pace.rest()
        await add(b"]}}\n")

    async def _write_entry(self, exchange: KeptExchange, add: Add, *, is_open: bool) -> None:
        masks = self._view.masks(is_on=not is_open)
        snapshot = snapshot_of(exchange)
        make = partial(_entry_text, snapshot, masks)
        is_small = _body_bytes(snapshot) <= LARGE_BYTES
        text = make() if is_small else await trio.to_thread.run_sync(make)
        if exchange.frames is None:
            await add(text)
            return
        await add(text[:-1] + b', "_webSocketMessages": [')
        separator = ""
        for messages in self._messages(exchange, exchange.frames, is_open=is_open):
            await add((separator + messages).encode())
            separator = ", "
            await trio.lowlevel.checkpoint()
        await add(b"]}")

    def _messages(self, exchange: KeptExchange, frames: Frames, *, is_open: bool) -> Iterator[str]:
        """Yield messages in a JSON list's form, MESSAGES_A_PIECE at most in each."""
        masks, epoch = self._view.masks(is_on=not is_open), exchange.began - exchange.began_at
        end = frames.count
        for begin in range(frames.first, end, MESSAGES_A_PIECE):
            rows = range(begin, min(begin + MESSAGES_A_PIECE, end))
            found = [har_message(frames, row, epoch, masks) for row in rows]
            if said := [json.dumps(each) for each in found if each is not None]:
                yield ", ".join(said)


class StreamedFile(Response):
    """A file that is made while it is sent, in pieces of PIECE_BYTES.

    Args:
        name: as which a browser keeps it.
        write: makes it, and gives each part to the function that it is called with.
    """

    def __init__(self, name: str, write: Callable[[Add], Awaitable[None]]) -> None:
        disposition = f'attachment; filename="{name}"'
        super().__init__(
            media_type="application/json", headers={"content-disposition": disposition}
        )
        del self.headers["content-length"]
        self._write = write
        self._held = bytearray()

    def __repr__(self) -> str:
        return f"<StreamedFile {self.headers['content-disposition']}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await self._write(partial(self._add, send))
        await self._send(send, bytes(self._held), more=False)

    async def _add(self, send: Send, part: bytes) -> None:
        held = self._held
        held += part
        while len(held) >= PIECE_BYTES:
            await self._send(send, bytes(held[:PIECE_BYTES]), more=True)
            del held[:PIECE_BYTES]

    async def _send(self, send: Send, data: bytes, *, more: bool) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": more})


def _entry_text(snapshot: ExchangeSnapshot, masks: Masks) -> bytes:
    return json.dumps(har_entry(snapshot, masks)).encode()


def _body_bytes(snapshot: ExchangeSnapshot) -> int:
    halves = (snapshot.request, snapshot.answer)
    return sum(len(half.data) for half in halves if half is not None)


def _read(entries: list[Any], first: int) -> tuple[list[ImportedExchange], list[dict[str, Any]]]:
    found: list[ImportedExchange] = []
    refused: list[dict[str, Any]] = []
    for at, entry in enumerate(entries, first):
        try:
            found.append(imported_exchange(entry))
        except HarError as error:
            field = ".".join(filter(None, (f"log.entries[{at}]", error.field)))
            refused.append({"entry": at, "field": field, "message": error.message})
    return found, refused
