"""docs/protocol.md says what the code does: its tables, and its example byte for byte."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from protocol import CONTROL_PATH, SUBPROTOCOLS, limits
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.handshake import hello_message, welcome_message
from protocol.mux.messages import Claim, Claimed, Head, Hello, Open, Welcome
from protocol.mux.streams import TRANSITIONS, HalfState, Item
from protocol.mux.wire import COUNTED, FrameType

DOC: Final = (Path(__file__).resolve().parents[3] / "docs" / "protocol.md").read_text()


def table(heading: str) -> list[list[str]]:
    """The rows of the first table behind a heading, its own head first."""
    lines = DOC.split(f"\n{heading}\n", 1)[1].splitlines()
    rows: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            break
    return [rows[0], *rows[2:]]


def test_table_of_states_is_the_code() -> None:
    head, *rows = table("### 6.3 The table of states")
    items = [Item[name.strip("`").upper().replace("-", "_")] for name in head[1:]]
    assert items == list(Item)
    said = {}
    for state, *cells in rows:
        for item, cell in zip(items, cells, strict=True):
            if cell != "fault":
                said[HalfState[state.strip("`")], item] = HalfState[cell.strip("`")]
    assert said == TRANSITIONS
    assert len(rows) == len(HalfState)


def test_table_of_frames_is_the_code() -> None:
    _, *rows = table("### 4.1 Types")
    said = {int(row[0]): (row[1].strip("`"), row[2]) for row in rows}
    assert said == {
        int(kind): (kind.name.lower().replace("_", "-"), "yes" if kind in COUNTED else "no")
        for kind in FrameType
    }


def test_table_of_limits_is_the_code() -> None:
    _, *rows = table("## 15. Limits")
    said = {row[0].strip("`"): int(row[1].replace(",", "")) for row in rows}
    assert said == {name: getattr(limits, name) for name in said}
    assert len(said) > 20


def test_connection_is_named_as_in_the_code() -> None:
    assert f"`{CONTROL_PATH}`" in DOC
    assert f"`{', '.join(SUBPROTOCOLS)}`" in DOC


def messages_of_the_example() -> list[bytes]:
    """One GET from the first message on."""
    hello = Hello((), "example/1", 1024, 16_384)
    welcome = Welcome((), "example/1", bytes(range(16)), bytes(range(32, 64)), 15, 30, 0)
    server, client = (
        Core(is_server=is_server, heartbeat=Heartbeat(15, 30)) for is_server in (True, False)
    )
    said = [hello_message(hello), welcome_message(welcome)]

    def pass_on(sender: Core, receiver: Core, now: float) -> None:
        said.append(sender.next_message(now))
        receiver.receive(said[-1], now)

    client.control.claim(Claim(1, "app", b"\xf0" * 16, start=True, options={}, default=""))
    pass_on(client, server, 0.0)
    server.control.answer_claim(Claimed(1, "app", "http://app.localhost:8080"))
    pass_on(server, client, 0.0)
    fields = ((b"Host", b"app.localhost:8080"),)
    get = ("http", 1, b"GET", b"/", b"1.1", fields, None, "http", "app.localhost:8080", "::1", 0)
    opened = Open(*get, connection=server.number_connection(), request=0)
    stream = server.open(opened, 0.0)
    server.send_end(stream)
    pass_on(server, client, 0.0)
    answering = client.streams[stream.id]
    client.send_head(answering, Head(200, b"OK", ((b"Content-Length", b"5"),), 5))
    client.send_data(answering, b"hello")
    client.send_end(answering)
    pass_on(client, server, 0.0)
    pass_on(server, client, 1.0)
    return said


def test_example_is_what_the_code_says() -> None:
    blocks = re.findall(r"```hex\n(.*?)```", DOC, re.DOTALL)
    lines = ["".join(line.split("#")[0] for line in block.splitlines()) for block in blocks]
    assert [bytes.fromhex(line) for line in lines] == messages_of_the_example()
