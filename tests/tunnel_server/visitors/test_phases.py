from __future__ import annotations

import pytest
from trio.testing import memory_stream_pair

from protocol.errors import LocalProtocolError
from tests.edge_fakes import VISITOR, make_edge
from tunnel_server.visitors import phases
from tunnel_server.visitors.connection import Connection
from tunnel_server.visitors.phases import PHASES, Phase, PhaseEvent
from tunnel_server.visitors.visitor import Source


@pytest.mark.parametrize("event", PhaseEvent)
@pytest.mark.parametrize("phase", Phase)
async def test_each_event_moves_a_connection_as_the_table_says_or_not_at_all(
    phase: Phase, event: PhaseEvent
) -> None:
    connection = Connection(make_edge(), memory_stream_pair()[0], Source(VISITOR))
    connection.phase = phase
    after = PHASES.get((phase, event))
    if after is None:
        error = f"{event.name} of a connection that is {phase.name}"
        with pytest.raises(LocalProtocolError, match=error):
            connection.move(event)
    else:
        connection.move(event)
    assert connection.phase is (after or phase)


def test_the_table_stands_at_the_top_of_the_module() -> None:
    lines = [line for line in (phases.__doc__ or "").splitlines() if line.startswith("    ")]
    rows = [line.split() for line in lines]
    events = rows[0][1:]
    assert events == [event.name for event in PhaseEvent]
    told = {
        (Phase[row[0]], PhaseEvent[name]): Phase[after]
        for row in rows[1:]
        for name, after in zip(events, row[1:], strict=True)
        if after != "-"
    }
    assert told == PHASES
