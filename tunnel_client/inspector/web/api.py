"""The API of docs/inspector-api.md: the list, an exchange, and the next one that comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import trio
from starlette.requests import Request
from starlette.responses import Response

from tunnel_client.inspector.capture.exchange import KeptExchange
from tunnel_client.inspector.capture.pacing import WorkPace
from tunnel_client.inspector.shown.masking import Masks
from tunnel_client.inspector.web.answers import (
    IS_OVER,
    NOT_KEPT,
    ApiError,
    answer,
    bad,
    number,
    posted,
)
from tunnel_client.inspector.web.filters import (
    Filter,
    FilterError,
    filter_of,
    holds_text,
    row_holds,
)
from tunnel_client.inspector.web.heads import text
from tunnel_client.inspector.web.rows import Json, details_of, field_value, row_of, utc
from tunnel_client.inspector.web.view import PARTS, InspectorView, Part, half_of

ROWS_MAX: Final = 1000
CAN: Final = [
    *("cancel", "clear", "curl", "diff", "har", "httpx"),
    *("next", "replay", "replay-all", "unmask"),
]
"""The actions that this server knows, so that a page offers no other."""
_SEQ_MAX: Final = 2**53 - 1  # JavaScript's
NEXT_S: Final = 30
NEXT_MAX_S: Final = 300


class ExchangesApi:
    """Answers requests; each method is one route."""

    def __init__(self, view: InspectorView) -> None:
        self._view = view

    def __repr__(self) -> str:
        return f"<ExchangesApi {self._view!r}>"

    async def run(self, _: Request) -> Response:
        """The program, its connection and its counts."""
        facts, store = self._view.facts, self._view.store
        program = facts.program
        return answer(
            {
                "run": facts.run,
                "version": program.version,
                "url": facts.url,
                "target": program.target,
                "began": utc(program.began),
                "seq": store.seq,
                "kept": store.counts._asdict(),
                "connection": facts.connection,
                "can": CAN,
            }
        )

    async def exchanges(self, request: Request) -> Response:
        """Rows that match, the oldest change first; without `after_seq` the newest ones."""
        wanted, query = asked_filter(request), request.query_params
        limit = number(query, "limit", ROWS_MAX, 1, ROWS_MAX)
        store, goes_on = self._view.store, "after_seq" in query
        after = number(query, "after_seq", 0, 0, _SEQ_MAX)
        changed = store.changed_since(after, store.counts.kept)
        seq = store.seq
        found = await _matching(
            changed if goes_on else changed[::-1], wanted, limit, self._view.masks
        )
        if goes_on and len(found) == limit:
            seq = found[-1][0]
        rows = [row for _, row in found]
        if not goes_on:
            rows.reverse()
        return answer({"seq": seq, "first_id": store.first, "exchanges": rows})

    async def exchange(self, request: Request) -> Response:
        """One in full."""
        return answer(self._details(kept(self._view, request)))

    async def clear(self, _: Request) -> Response:
        """Drop all that are over."""
        self._view.clear()
        return Response(status_code=204)

    async def cancel(self, request: Request) -> Response:
        """End one that is under way, as if its visitor had gone."""
        exchange = kept(self._view, request)
        running, stream = self._view.facts.running, self._view.store.stream_of(exchange.id)
        if running is None or stream is None:
            raise ApiError(IS_OVER)
        if not (self._view.replays.cancel(stream) or running.cancel(stream)):
            raise ApiError(IS_OVER)
        return Response(status_code=204)

    async def unmask(self, request: Request) -> Response:
        """One value as it came; of a body, its bytes may be asked for from now on."""
        exchange, said = kept(self._view, request), await posted(request)
        part, what = part_of(said.get("part")), said.get("what")
        if what == "body":
            self._view.unmask(exchange.id, part)
            return answer({"value": None})
        if what == "query":
            return answer({"value": text(exchange.opened.target)})
        index = said.get("index")
        if what != "field" or type(index) is not int:
            raise bad("what takes field (with index, a whole number), query or body")
        value = field_value(half_of(exchange, part), index)
        if value is None:
            raise bad("index: there is no such field")
        return answer({"value": value})

    async def next(self, request: Request) -> Response:
        """Wait for an exchange that is over and matches; 204 if none is in time."""
        wanted, query = asked_filter(request), request.query_params
        after = number(query, "after", self._view.store.seq, 0, _SEQ_MAX)
        patience_s = number(query, "timeout", NEXT_S, 0, NEXT_MAX_S)
        with trio.move_on_after(patience_s):
            found = await while_asked(request, partial(self._wait_for, wanted, after))
            if found is not None:
                return answer(self._details(found))
        return Response(status_code=204)

    def _details(self, exchange: KeptExchange) -> Json:
        return details_of(exchange, self._view.masks(), self._view.store.now_s)

    async def _wait_for(self, wanted: Filter, after: int) -> KeptExchange:
        store = self._view.store
        while True:
            found = [(each.seq, each) for each in store.changed_since(after, ROWS_MAX)]
            for seq, exchange in found:
                after = seq
                if exchange.is_imported or exchange.state != "over":
                    continue
                if await holds(exchange, wanted, self._view.masks):
                    return exchange
            if not store.changed_since(after, 1):
                await store.changed()


async def while_asked(
    request: Request, wait: Callable[[], Awaitable[KeptExchange]]
) -> KeptExchange | None:
    """Wait for something, until whoever asked is gone: then None."""
    found: list[KeptExchange] = []

    async def look(scope: trio.CancelScope) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look, nursery.cancel_scope)
        found.append(await wait())
        nursery.cancel_scope.cancel()
    return found[0] if found else None


def kept(view: InspectorView, request: Request) -> KeptExchange:
    """Return the exchange that a path names. Raises ApiError."""
    exchange = view.store.get(request.path_params["id"])
    if exchange is None:
        raise ApiError(NOT_KEPT)
    return exchange


def part_of(said: Any) -> Part:
    """Return the half that is meant. Raises ApiError."""
    for part in PARTS:
        if said == part:
            return part
    raise bad("part takes request or answer")


async def _matching(
    exchanges: list[KeptExchange], wanted: Filter, limit: int, masks: Callable[[], Masks]
) -> list[tuple[int, Json]]:
    """Return the first rows that match, each with its seq before the wait; in short turns."""
    seqs = [exchange.seq for exchange in exchanges]  # they may grow meanwhile
    pace, found = WorkPace(), []
    for seq, exchange in zip(seqs, exchanges, strict=True):
        if await holds(exchange, wanted, masks):
            found.append((seq, row_of(exchange, masks())))
            if len(found) == limit:
                break
        if pace.is_due:
            await pace.rest()
    return found


async def holds(exchange: KeptExchange, wanted: Filter, masks: Callable[[], Masks]) -> bool:
    """Whether an exchange passes a filter. Cancellation: at any time."""
    if not wanted.matches(exchange):
        return False
    if not wanted.text:
        return True
    if wanted.rows_alone:
        return row_holds(exchange, wanted.text, masks())
    if sum(body.kept_bytes for body in exchange.bodies if body is not None) <= LARGE_BYTES:
        return holds_text(exchange, wanted.text)
    return await trio.to_thread.run_sync(holds_text, exchange, wanted.text)


LARGE_BYTES: Final = 64 * 1024  # of a body; more is decoded in a thread


def asked_filter(request: Request) -> Filter:
    """Return the filter that a query says. Raises ApiError."""
    try:
        return filter_of(request.query_params)
    except FilterError as error:
        raise bad(str(error)) from None
