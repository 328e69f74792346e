"""The tables of states of what stands between a stream and the app, walked pair by pair."""

from __future__ import annotations

from collections.abc import Callable

import trio

from tests.memory_streams import MemoryStream, an_open
from tests.state_tables import walk
from tunnel_client.identity.rewriting import Identity
from tunnel_client.origin import replay_states, request_states, upgrade_states as upgrades
from tunnel_client.origin.connection import OriginConnection
from tunnel_client.origin.replay import Replay, ReplayConfig
from tunnel_client.origin.replay_states import ReplayEvent, ReplayState
from tunnel_client.origin.request import Request
from tunnel_client.origin.request_states import SendEvent, SendState
from tunnel_client.origin.tap import PlainTap
from tunnel_client.origin.upgrade import OriginUpgrade
from tunnel_client.origin.upgrade_states import RelayEvent, RelayState
from tunnel_client.settings.target import Target

A_REPLAY = """
            BYTES     FINAL_HEAD ANSWER_END TIMEOUT   ABORT
ASKED       ANSWERING .          .          OVERDUE   ABORTED
ANSWERING   ANSWERING ANSWERED   .          OVERDUE   ABORTED
ANSWERED    .         .          FINISHING  .         ABORTED
FINISHING   .         .          .          FINISHING ABORTED
OVERDUE     .         OVERDUE    OVERDUE    .         OVERDUE
ABORTED     .         ABORTED    ABORTED    .         ABORTED
"""

A_REQUEST = """
            SEND    STOP    CUT
UNDER_WAY   SENT    STOPPED CUT_OFF
SENT        .       .       .
STOPPED     STOPPED STOPPED STOPPED
CUT_OFF     .       .       .
"""

A_WEBSOCKET = """
              VISITOR_END   APP_END    REFUSAL       LOSS     STOP     ABORT
OPEN          VISITOR_ENDED APP_ENDED  REFUSING      LOST     STOPPING ABORTED
VISITOR_ENDED .             BOTH_ENDED VISITOR_ENDED LOST     STOPPING ABORTED
APP_ENDED     BOTH_ENDED    .          BOTH_ENDED    LOST     STOPPING ABORTED
BOTH_ENDED    .             .          BOTH_ENDED    LOST     STOPPING ABORTED
REFUSING      .             BOTH_ENDED .             LOST     STOPPING ABORTED
LOST          LOST          LOST       LOST          LOST     LOST     ABORTED
STOPPING      STOPPING      STOPPING   STOPPING      STOPPING STOPPING ABORTED
ABORTED       ABORTED       ABORTED    ABORTED       ABORTED  ABORTED  ABORTED
"""


async def test_a_replay_moves_as_its_table_says(nursery: trio.Nursery) -> None:
    config = ReplayConfig(Identity(Target.parse("3000")), 600, nursery)

    def begin(
        state: ReplayState,
    ) -> tuple[Callable[[ReplayEvent], object], Callable[[], ReplayState]]:
        replay = Replay(MemoryStream(an_open("http", b"GET", None)), config, PlainTap(0))
        replay.state = state
        return replay.happened, lambda: replay.state

    walk(replay_states.TRANSITIONS, A_REPLAY, begin, ReplayState, ReplayEvent)


async def test_an_aborted_replay_has_no_deadline_and_keeps_its_first_reason(
    nursery: trio.Nursery,
) -> None:
    config = ReplayConfig(Identity(Target.parse("3000")), 600, nursery)
    replay = Replay(MemoryStream(an_open("http", b"GET", None)), config, PlainTap(0))
    replay.start_timeout()
    replay.abort()
    replay.start_timeout()  # by a task that is not told yet
    replay.sweep(trio.current_time() + 601)
    assert replay.state is ReplayState.ABORTED


async def test_a_request_moves_as_its_table_says_and_tells_its_end_once(
    nursery: trio.Nursery,
) -> None:
    config = ReplayConfig(Identity(Target.parse("3000")), 600, nursery)

    def begin(
        state: SendState,
    ) -> tuple[Callable[[SendEvent], object], Callable[[], SendState]]:
        kept = MemoryStream(an_open("http", b"POST", 5))
        stream, _ = trio.testing.memory_stream_pair()
        connection = OriginConnection(stream)  # type: ignore[arg-type]  # nothing is sent
        request = Request(kept, connection, Replay(kept, config, PlainTap(0)))
        request.state = state
        told: list[SendState] = []
        request.on_over = lambda: told.append(request.state)

        def state_now() -> SendState:
            moved = state is SendState.UNDER_WAY and request.state is not state
            assert told == [request.state] * moved
            return request.state

        return request._happened, state_now

    walk(request_states.SENDING, A_REQUEST, begin, SendState, SendEvent)


async def test_a_websocket_moves_as_its_table_says() -> None:
    def begin(
        state: RelayState,
    ) -> tuple[Callable[[RelayEvent], object], Callable[[], RelayState]]:
        stream, _ = trio.testing.memory_stream_pair()
        connection = OriginConnection(stream)  # type: ignore[arg-type]  # nothing is sent
        kept = MemoryStream(an_open("websocket", b"GET", None))
        socket = OriginUpgrade(kept, connection, PlainTap(0), ws_keepalive_s=0)
        socket._state = state
        return socket._happened, lambda: socket._state

    walk(upgrades.TRANSITIONS, A_WEBSOCKET, begin, RelayState, RelayEvent)
