"""Which of the refused heads and bodies h11 0.16 would let pass: what is checked beside it."""

from __future__ import annotations

from typing import Final

import h11

from tests.conformance.http_cases import GROUPS
from tests.conformance.websocket_script import Case

_ASKS: Final = h11.Request(
    method="GET", target="/", headers=[("Host", "a"), ("Upgrade", "websocket")]
)


def beside_h11() -> list[tuple[str, Case]]:
    """What the case is about, and the case."""
    return [
        (about, case)
        for about, cases in GROUPS.items()
        for case in cases
        if any(step.act == "gets error" for step in case.script) and _passes_h11(case)
    ]


def rows() -> str:
    """The list, in Markdown."""
    lines = [f"| {about} | {case.name} | {case.section} |" for about, case in beside_h11()]
    return "\n".join(["| about | case | section |", "|---|---|---|", *lines]) + "\n"


def _passes_h11(case: Case) -> bool:
    sent = dict.fromkeys(("visitor", "app"), b"")
    for step in case.script:
        if step.act == "sends":
            sent[step.side] += step.data
    if sent["app"]:
        connection = h11.Connection(h11.CLIENT)
        connection.send(_ASKS)
        return _is_taken(connection, sent["app"])
    return _is_taken(h11.Connection(h11.SERVER), sent["visitor"])


def _is_taken(connection: h11.Connection, data: bytes) -> bool:
    """Whether a head is found in it, and no fault in what follows."""
    heads = 0
    try:
        connection.receive_data(data)
        while True:
            event = connection.next_event()
            heads += isinstance(event, (h11.Request, h11.Response, h11.InformationalResponse))
            if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.EndOfMessage):
                return heads > 0
    except h11.RemoteProtocolError:
        return False
