"""Server-sent events as they came (HTML Standard 9.2.6)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tunnel_client.inspector.shown.json_tree import looks_like_json, masked_json
from tunnel_client.inspector.shown.masking import Masks

EVENTS_MAX: Final = 10_000

_LINE_END: Final = re.compile(r"\r\n|\r|\n")


class SentEvent(NamedTuple):
    """One event, or a comment.

    Fields:
        event: its type; "": `message`.
        id, retry: None: it says none.
        data: its lines joined; None: it has none.
        comment: None: it has none.
        is_whole: its blank line has come.
    """

    event: str
    id: str | None
    retry: str | None
    data: str | None
    comment: str | None
    is_whole: bool


class SentEvents(NamedTuple):
    """The events of a stream, in order; `is_cut`: there are more."""

    events: list[SentEvent]
    is_cut: bool


def sent_events(text: str, masks: Masks) -> SentEvents:
    """Read a body of text/event-stream. Never raises."""
    lines = _LINE_END.split(text.removeprefix("\ufeff"))
    last = lines.pop()  # not ended, or nothing
    events: list[SentEvent] = []
    block: list[str] = []
    for line in lines:
        if line:
            if len(events) == EVENTS_MAX:
                return SentEvents(events, is_cut=True)
            block.append(line)
        elif block:
            events.append(_event(block, masks, is_whole=True))
            block = []
    if last:
        block.append(last)
    if block:
        events.append(_event(block, masks, is_whole=False))
    return SentEvents(events, is_cut=False)


def _event(block: list[str], masks: Masks, *, is_whole: bool) -> SentEvent:
    said: dict[str, list[str]] = {}
    for line in block:
        name, _, value = line.partition(":")
        said.setdefault(name, []).append(value.removeprefix(" "))
    data = "\n".join(said["data"]) if "data" in said else None
    if data is not None and looks_like_json(data):
        data = masked_json(data, masks, is_cut=not is_whole)
    comment = "\n".join(said[""]) if "" in said else None
    event = said.get("event", [""])[-1]
    return SentEvent(event, _last(said, "id"), _last(said, "retry"), data, comment, is_whole)


def _last(said: dict[str, list[str]], name: str) -> str | None:
    values = said.get(name)
    return values[-1] if values else None
