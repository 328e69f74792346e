"""Every WebSocket case again, one after the other through the two programs and one session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.websocket_cases import CASES
from tests.conformance.websocket_player import Differs, play
from tests.conformance.websocket_ways import LoopbackWay, listen
from tests.programs import open_programs


@pytest.mark.timeout(300)
async def test_every_case_through_the_programs(tmp_path: Path) -> None:
    listener, port = await listen()
    failed: dict[str, Differs] = {}
    async with listener, open_programs(tmp_path) as programs:
        tunnel = await programs.tunnel(port, "--identity", "public")
        await (await listener.accept()).aclose()  # the client's look at its app
        way = LoopbackWay(tunnel.address.port, listener, exact=True)
        for case in CASES:
            try:
                await play(case, way)
            except Differs as error:
                failed[case.name] = error
                await way.drain()
    assert failed == {}
