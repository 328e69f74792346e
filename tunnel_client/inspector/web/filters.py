"""The filter of the list: a few questions about an exchange, all of which it has to answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from protocol.errors import TunnelError
from tunnel_client.inspector.capture.exchange import KeptExchange
from tunnel_client.inspector.shown.codings import decoded
from tunnel_client.inspector.shown.masking import Masks
from tunnel_client.inspector.web.heads import head_parts, text

_SLOW_MAX_MS: Final = 86_400_000.0
_TEXT_MAX_CHARS: Final = 1000
_FAILED: Final = 400  # statuses from here on, and those without an answer


class FilterError(TunnelError):
    """It cannot be understood; its text is for the person."""


class Filter(NamedTuple):
    """See docs/inspector-api.md; "" and None ask nothing."""

    method: str = ""
    status: str = ""
    path: str = ""
    text: str = ""
    kind: str = ""
    slow_ms: float | None = None
    failed: bool = False
    rows_alone: bool = False

    def matches(self, exchange: KeptExchange) -> bool:
        """Whether it answers all questions but that of the text: see `holds_text`, `row_holds`."""
        opened = exchange.opened
        return (
            (not self.method or text(opened.method) == self.method)
            and (not self.kind or opened.kind == self.kind)
            and (not self.path or _is_path(text(opened.target), self.path))
            and (not self.status or _is_status(exchange.status, self.status))
            and (self.slow_ms is None or _took_ms(exchange) >= self.slow_ms)
            and (not self.failed or _has_failed(exchange))
        )


def filter_of(query: Mapping[str, str]) -> Filter:
    """Read a filter; what else the query has is left alone. Raises FilterError."""
    status = query.get("status", "")
    if status and not (len(status) == 3 and status[0] in "12345" and _is_class(status[1:])):
        raise FilterError("status takes 404 or 4xx")
    where = query.get("where", "")
    if where not in ("", "row"):
        raise FilterError("where takes row, or is left away")
    sought = query.get("text", "")
    if len(sought) > _TEXT_MAX_CHARS:
        raise FilterError(f"text takes {_TEXT_MAX_CHARS} characters")
    return Filter(
        query.get("method", "").upper(),
        status,
        query.get("path", ""),
        sought,
        query.get("kind", ""),
        _number(query["slow_ms"], "slow_ms", _SLOW_MAX_MS) if query.get("slow_ms") else None,
        query.get("failed") in ("1", "true"),
        where == "row",
    )


def row_holds(exchange: KeptExchange, sought: str, masks: Masks) -> bool:
    """Whether the path, as it is shown, or the error holds a text, in any case."""
    path = masks.query(text(exchange.opened.target))
    wanted = sought.lower()
    return wanted in path.lower() or wanted in (exchange.error or "").lower()


def holds_text(exchange: KeptExchange, sought: str) -> bool:
    """Whether heads, kept, decoded bodies or the error hold a text, in any case.

    For a worker thread where bodies are large.
    """
    wanted = sought.lower().encode()
    for half in (exchange.request, exchange.answer):
        head = half.head or b""
        if wanted in head.lower():
            return True
        data = half.body.data() if half.body is not None else b""
        coding = head_parts(head).joined("content-encoding")
        if data and wanted in decoded(data, coding).data.lower():
            return True
    error = (exchange.error or "").lower().encode()
    return wanted in exchange.opened.target.lower() or wanted in error


def _number(said: str, name: str, most: float) -> float:
    if not said.replace(".", "", 1).isdecimal() or not 0 <= float(said) <= most:
        raise FilterError(f"{name} takes a number from 0 to {most:.0f}")
    return float(said)


def _is_class(rest: str) -> bool:
    return rest == "xx" or (rest.isascii() and rest.isdecimal())


def _is_path(target: str, wanted: str) -> bool:
    path = target.partition("?")[0]
    return path.startswith(wanted[:-1]) if wanted.endswith("*") else path == wanted


def _is_status(status: int | None, wanted: str) -> bool:
    return status is not None and str(status).startswith(wanted.removesuffix("xx"))


def _took_ms(exchange: KeptExchange) -> float:
    ended = exchange.ended_s
    return -1.0 if ended is None else ended * 1000


def _has_failed(exchange: KeptExchange) -> bool:
    status = exchange.status
    return exchange.error is not None or (status is not None and status >= _FAILED)
