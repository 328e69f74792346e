"""The line of a request for people: `200 GET  /  1.2 kB  12 ms`.

The status comes first, since the eye runs down it, and what may be long last but for the sizes. A
WebSocket has two: one when it opens, one when it closes.
"""

from __future__ import annotations

from typing import Final

from protocol.program.observing import plain_text
from protocol.program.text import duration, size
from tunnel_client.observing.events import RequestEnded, WebSocketOpened
from tunnel_client.observing.masks import masked_query

# Of a path in a line for people: about two rows of a terminal. JSON has the rest.
SHOWN_PATH_CHARS: Final = 160

STATUS_CHARS: Final = 3
_NO_STATUS: Final = " " * STATUS_CHARS
_METHOD_CHARS: Final = 4  # GET and POST, nearly always; a longer one is shown whole


def request_line(event: RequestEnded) -> str:
    """The line for a request, or a WebSocket, that is over."""
    line = _line_of(event)
    return f"{line}  (replay)" if event.replay else line


def _line_of(event: RequestEnded) -> str:
    if event.status is None:
        why = f": {event.error}" if event.error else ""
        return _line(None, event.method, event.path, f"failed after {_time(event.ms)}{why}")
    if event.kind == "websocket" and event.status == 101:
        return _line(101, b"WS", event.path, _closed(event))
    sizes = size(event.bytes_out)
    if event.bytes_in:
        sizes = f"{size(event.bytes_in)} up, {sizes} down"
    why = f": {event.error}" if event.error else ""
    return _line(event.status, event.method, event.path, f"{sizes}  {_time(event.ms)}{why}")


def opened_line(event: WebSocketOpened) -> str:
    """The line for a WebSocket that the app has taken."""
    return _line(101, b"WS", event.path, "opened")


def shown_path(path: bytes) -> str:
    """A target as people see it: without its secrets, and not too long."""
    return masked_query(plain_text(path), chars_max=SHOWN_PATH_CHARS)


def _line(status: int | None, method: bytes, path: bytes, what: str) -> str:
    first = f"{status:{STATUS_CHARS}}" if status else _NO_STATUS
    return f"{first} {plain_text(method):{_METHOD_CHARS}} {shown_path(path)}  {what}"


def _closed(event: RequestEnded) -> str:
    """The end of a WebSocket: by whom, its code, messages each way, and how long it was open."""
    how = "closed" if event.close_code is None else f"closed {event.close_code}"
    by = f" by the {event.closed_by}" if event.closed_by else ""
    is_abrupt = event.close_code is None and event.closed_by is not None
    without = " without a Close" if is_abrupt else ""
    counts = f"{event.messages_in or 0} up, {event.messages_out or 0} down"
    why = f": {event.error}" if event.error else ""
    return f"{how}{by}{without}, {counts}, {_time(event.ms)}{why}"


def _time(ms: float) -> str:
    return f"{ms:.0f} ms" if ms < 999.5 else duration(ms / 1000)
