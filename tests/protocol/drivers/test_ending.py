"""Whoever waits at a stream hears that the session has ended, and others have turns meanwhile."""

from __future__ import annotations

from collections import Counter

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.ending import TOLD_AT_ONCE
from protocol.drivers.session import Session
from protocol.errors import SessionClosed
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from tests.fakes import transport_pair
from tests.protocol.mux.pair import GET

STREAMS = 10 * TOLD_AT_ONCE


class Passes(trio.abc.Instrument):
    """Counts the passes of the loop: in each it looks once at what comes from outside."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


async def test_so_many_are_told_in_a_pass_and_all_in_the_end() -> None:
    session = Session(Core(is_server=True, heartbeat=Heartbeat(15, 30)), transport_pair()[0])
    passes = Passes()
    told: Counter[int] = Counter()
    gone: list[int] = []

    async def wait() -> None:
        stream = session.open(GET)
        stream.on_gone = lambda: gone.append(passes.count)
        with pytest.raises(SessionClosed):
            await stream.receive_head()
        told[passes.count] += 1

    async with trio.open_nursery() as nursery:
        for _ in range(STREAMS):
            nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        trio.lowlevel.add_instrument(passes)
        session.close("the test is over")
        assert len(gone) == TOLD_AT_ONCE
    trio.lowlevel.remove_instrument(passes)
    assert sum(told.values()) == len(gone) == STREAMS
    assert max(told.values()) == TOLD_AT_ONCE


def test_where_the_program_ends_there_is_no_later_pass() -> None:
    gone: list[None] = []

    async def until_the_end(session: Session) -> None:
        try:
            await trio.sleep_forever()
        finally:
            session.close("the program ends")

    async def main() -> None:
        session = Session(Core(is_server=True, heartbeat=Heartbeat(15, 30)), transport_pair()[0])
        for _ in range(STREAMS):
            session.open(GET).on_gone = lambda: gone.append(None)
        trio.lowlevel.spawn_system_task(until_the_end, session)

    trio.run(main)
    assert len(gone) == STREAMS
