"""Colours for people: the class of a status, what needs a look, what went wrong.

They are the first eight of a terminal's own palette, which its theme has made readable on its
background; white and black are none of them.
"""

from __future__ import annotations

from typing import Final

from tunnel_client.observing.events import (
    ClientEvent,
    OriginCameUp,
    OriginWentDown,
    Reconnecting,
    RequestEnded,
    SessionResumed,
    TunnelReady,
    TunnelRefused,
    Warned,
    WebSocketOpened,
)
from tunnel_client.observing.request_lines import STATUS_CHARS

RED: Final = "\x1b[31m"
GREEN: Final = "\x1b[32m"
YELLOW: Final = "\x1b[33m"
CYAN: Final = "\x1b[36m"
FAINT: Final = "\x1b[2m"
RESET: Final = "\x1b[0m"

_BY_CLASS: Final = {1: CYAN, 2: GREEN, 3: CYAN, 4: YELLOW, 5: RED}
_BY_KIND: Final[dict[type[ClientEvent], str]] = {
    TunnelReady: GREEN,
    SessionResumed: GREEN,
    OriginCameUp: GREEN,
    Reconnecting: YELLOW,
    OriginWentDown: YELLOW,
    Warned: YELLOW,
    TunnelRefused: RED,
}


def styled(event: ClientEvent, text: str) -> str:
    """The text of an event's line, behind its time, in colour; of a request the status alone."""
    if isinstance(event, WebSocketOpened):
        return painted(text[:STATUS_CHARS], CYAN) + text[STATUS_CHARS:]
    if not isinstance(event, RequestEnded):
        return painted(text, _BY_KIND.get(type(event), ""))
    if event.status is None:
        return painted(text, RED)
    style = _BY_CLASS.get(event.status // 100, "")
    return painted(text[:STATUS_CHARS], style) + text[STATUS_CHARS:]


def painted(text: str, style: str) -> str:
    """The text in a style; as it is where that is empty."""
    return f"{style}{text}{RESET}" if style else text
