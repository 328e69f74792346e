"""One request on one connection to the app, and the app's answer back to the visitor.

Neither direction waits for the other one to end. A request without a body costs no task, cancel
scope or timeout.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import trio

from protocol.http.fields import values_of
from protocol.http.heads import ResponseHead
from protocol.mux.streams import WEBSOCKET
from tunnel_client.origin.answer import relay_body, relay_heads
from tunnel_client.origin.connection import OriginClosed, OriginConnection
from tunnel_client.origin.replay import STALLED_S, Replay
from tunnel_client.origin.replay_states import ReplayEvent, ReplayState
from tunnel_client.origin.request import GONE, Request
from tunnel_client.origin.request_states import SendState
from tunnel_client.origin.upgrade import OriginUpgrade

# What a tunnel-server behind this client says, of a request that has been through too many.
_LOOP: Final = [b"loop-detected"]
LEADS_BACK: Final = "TARGET leads back to a tunnel-server"

# Each request asks for these, and a global costs a third of an enum's member.
_OVERDUE: Final = ReplayState.OVERDUE
_SENT: Final = SendState.SENT


async def relay(replay: Replay, connection: OriginConnection, head: bytes) -> bool:
    """Send the request and relay the answer; whether the connection may be used again.

    Raises:
        OriginClosed: the connection broke; `state` and the tap's `status` and `error` tell what
            that means.
        HttpError: the app's answer is no HTTP, or too much for the tunnel.
        StreamStopped, SessionClosed: nobody wants it any more.
    """
    replay.connection = connection
    if replay.state >= _OVERDUE:  # in the instant before
        raise OriginClosed
    replay.tap.asked(head)
    request = Request(replay.stream, connection, replay)
    await request.send(head, replay.config.tasks)
    answer = await relay_heads(replay, connection, request)
    if answer.upgrade:
        await _relay_upgrade(replay, connection)
        return False
    connection.app_closes = not answer.keep_alive
    left_over = await relay_body(replay, connection, answer)
    if request.state is not _SENT:
        left_over = await _finish_request(replay, connection, request, answer) or left_over
    if answer.status == 508 and values_of(answer.fields, b"tunnel-error") == _LOOP:
        replay.tap.error = LEADS_BACK  # whatever an app says, it is told here alone
    if connection.lenient or left_over:
        return False
    return answer.keep_alive and replay.state < _OVERDUE


async def _relay_upgrade(replay: Replay, connection: OriginConnection) -> None:
    """Relay both ways behind a 101, to its end."""
    if replay.config.on_socket is not None and replay.stream.opened.kind == WEBSOCKET:
        replay.config.on_socket(replay.stream)
    replay.upgrade = OriginUpgrade(
        replay.stream, connection, replay.tap, ws_keepalive_s=replay.config.ws_keepalive_s
    )
    await replay.upgrade.run(connection.answers.take_rest())
    replay.upgrade = None  # they would hold one another


async def _finish_request(
    replay: Replay, connection: OriginConnection, request: Request, answer: ResponseHead
) -> bool:
    """The answer has ended before its request, which goes on to an end of its own.

    Returns whether the app has sent or ended something behind its answer.

    Raises:
        OriginClosed: the visitor is gone, or the session.
    """
    # The answer may be faster than the task that is just being told of its last write. It gets two
    # rounds: the tasks of one run in any order.
    await trio.lowlevel.checkpoint()
    await trio.lowlevel.checkpoint()
    more = await _until_request_over(replay, request, answer)
    if replay.aborted and replay.stream.reset_code != "no-error":  # that is a server's of version 1
        raise OriginClosed
    if request.state is _SENT:
        return more
    if connection.dropped and not replay.aborted:
        replay.tap.error = f"the app took no more of the request for {STALLED_S:g} s"
    if request.state is SendState.STOPPED:
        replay.stream.stop_sending("no-error")
        replay.abort()
    return True


async def _until_request_over(replay: Replay, request: Request, answer: ResponseHead) -> bool:
    """Wait for that end; whether the app sent something meanwhile."""
    replay.stream.on_gone = partial(_abort_if_gone, replay)
    replay.happened(ReplayEvent.ANSWER_END)
    if request.is_writing:
        replay.start_timeout()
    try:
        _abort_if_gone(replay)
        if answer.body == "until-close" and request.state is SendState.UNDER_WAY:
            request.stop()  # its end was that of the connection
        return await request.wait_over()
    finally:
        replay.stream.on_gone = None


def _abort_if_gone(replay: Replay) -> None:
    """Nothing comes or goes by the stream any more: reset the app if the visitor has gone."""
    if replay.stream.reset_code in GONE:
        replay.abort()
