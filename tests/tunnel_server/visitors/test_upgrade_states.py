"""The two tables of a WebSocket's directions, walked whole."""

from __future__ import annotations

import pytest
from trio.testing import memory_stream_pair

from protocol.errors import LocalProtocolError
from protocol.http.heads import parse_request
from tests.edge_fakes import VISITOR, World, make_edge
from tests.upgrade_peers import UPGRADE, switched
from tunnel_server.visitors import upgrade_states as module
from tunnel_server.visitors.connection import Connection
from tunnel_server.visitors.exchange import Exchange
from tunnel_server.visitors.upgrade import SESSION_GONE, VisitorUpgrade
from tunnel_server.visitors.upgrade_states import (
    FROM_VISITOR,
    TO_VISITOR,
    FromVisitor,
    FromVisitorEvent,
    ToVisitor,
    ToVisitorEvent,
)
from tunnel_server.visitors.visitor import Source


async def websocket(world: World) -> VisitorUpgrade:
    _, _, client = await switched(world, world.visit())
    connection = Connection(make_edge(), memory_stream_pair()[1], Source(VISITOR))
    stream = next(iter(client.server.core.streams.values())).driver
    return VisitorUpgrade(connection, Exchange(parse_request(UPGRADE)), stream)  # type: ignore[arg-type]  # a TunnelStream


async def test_each_event_moves_the_visitors_direction_as_the_table_says(world: World) -> None:
    walked = await websocket(world)
    for state in FromVisitor:
        for event in FromVisitorEvent:
            walked.from_visitor = state
            after = FROM_VISITOR.get((state, event))
            if after is None:
                error = f"{event.name} from a visitor that is {state.name}"
                with pytest.raises(LocalProtocolError, match=error):
                    walked.move_from_visitor(event)
            else:
                walked.move_from_visitor(event)
            assert walked.from_visitor is (after or state)


async def test_each_event_moves_the_apps_direction_as_the_table_says(world: World) -> None:
    walked = await websocket(world)
    for state in ToVisitor:
        for event in ToVisitorEvent:
            walked.to_visitor = state
            after = TO_VISITOR.get((state, event))
            if after is None:
                error = f"{event.name} to a visitor that is {state.name}"
                with pytest.raises(LocalProtocolError, match=error):
                    walked.move_to_visitor(event)
            else:
                walked.move_to_visitor(event)
            assert walked.to_visitor is (after or state)


async def test_the_first_to_ask_for_a_close_says_its_code(world: World) -> None:
    walked = await websocket(world)
    assert walked.code == SESSION_GONE
    walked.close(1012)
    walked.close(1001)
    assert walked.code == 1012
    assert "to app HELD" in repr(walked)
    assert "to visitor STOPPING" in repr(walked)


def test_the_tables_stand_at_the_top_of_the_module() -> None:
    lines = [line for line in (module.__doc__ or "").splitlines() if line.startswith("    ")]
    rows = [line.split() for line in lines]
    from_events = [event.name for event in FromVisitorEvent]
    to_events = [event.name for event in ToVisitorEvent]
    assert rows[0] == ["from", "the", "visitor", *from_events, "to", "the", "visitor", *to_events]
    told_from, told_to = {}, {}
    for row in rows[1:]:
        for name, after in zip(from_events, row[1:4], strict=True):
            if after != "-":
                told_from[FromVisitor[row[0]], FromVisitorEvent[name]] = FromVisitor[after]
        for name, after in zip(to_events, row[5:], strict=True):
            if after != "-":
                told_to[ToVisitor[row[4]], ToVisitorEvent[name]] = ToVisitor[after]
    assert told_from == FROM_VISITOR
    assert told_to == TO_VISITOR
