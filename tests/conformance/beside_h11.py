"""Which of the refused heads and bodies h11 0.16 would let pass: what is checked beside it."""

from __future__ import annotations

from typing import Final

import h11

from tests.conformance import http_cases, websocket_cases
from tests.conformance.http_script import ask
from tests.conformance.websocket_script import Case

_ASKS: Final = h11.Request(method="GET", target="/", headers=[("Host", "a")])
_ASKS_FOR_WEBSOCKET: Final = h11.Request(
    method="GET", target="/", headers=[("Host", "a"), ("Upgrade", "websocket")]
)
_GROUPS: Final = {**http_cases.GROUPS, "101": websocket_cases.GROUPS["wrong answers"]}


def beside_h11() -> list[tuple[str, Case]]:
    """What the case is about, and the case."""
    return [
        (about, case)
        for about, cases in _GROUPS.items()
        for case in cases
        if any(step.act == "gets error" for step in case.script) and _passes_h11(case)
    ]


def rows() -> str:
    """The list, in Markdown."""
    lines = [f"| {about} | {case.name} | {_section(about, case)} |" for about, case in beside_h11()]
    return "\n".join(["| about | case | section |", "|---|---|---|", *lines]) + "\n"


def _section(about: str, case: Case) -> str:
    """With its RFC; the WebSocket cases leave 6455 out."""
    named = about != "101" or case.section.startswith("RFC")
    return case.section.removeprefix("RFC ") if named else f"6455 {case.section}"


def _passes_h11(case: Case) -> bool:
    sent = dict.fromkeys(("visitor", "app"), b"")
    for step in case.script:
        if step.act == "sends":
            sent[step.side] += step.data
    [error, *_] = [step for step in case.script if step.act == "gets error"]
    if error.data.startswith(b"502"):  # the fault is the app's
        connection = h11.Connection(h11.CLIENT)
        upgrades = b"\r\nUpgrade: websocket\r\n" in sent["visitor"]
        connection.send(_ASKS_FOR_WEBSOCKET if upgrades else _ASKS)
        ends = any(step.side == "app" and step.act == "ends" for step in case.script)
        return _is_taken(connection, sent["app"], ends=ends)
    # A good request in front of the fault, or behind it, is not what is judged.
    fault = sent["visitor"].removeprefix(ask()).removesuffix(ask())
    return _is_taken(h11.Connection(h11.SERVER), fault)


def _is_taken(connection: h11.Connection, data: bytes, *, ends: bool = False) -> bool:
    """Whether a head is found in it, and no fault in what follows."""
    heads = 0
    try:
        connection.receive_data(data)
        if ends:
            connection.receive_data(b"")
        while True:
            event = connection.next_event()
            heads += isinstance(event, (h11.Request, h11.Response, h11.InformationalResponse))
            if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.EndOfMessage):
                return heads > 0
    except h11.RemoteProtocolError:
        return False
