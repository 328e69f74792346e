"""Giving a kept name up: one connection, one claim, and its release for good.

A name that is claimed is shown to be its owner's, or nobody's. The claim is a reconnect's (`start`
is false), so that a client that serves under the name keeps it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from protocol.drivers.session import Session, SessionEvent
from protocol.drivers.stream import TunnelStream
from protocol.errors import HandshakeRefused, TunnelError
from protocol.limits import HANDSHAKE_TIMEOUT_S
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.events import ClaimAnswered, GoingAway
from protocol.mux.messages import Claim, Refused, Welcome
from protocol.program.text import printable
from tunnel_client.settings.config import ClientConfig
from tunnel_client.uplink.connect import ConnectFailed, open_stream
from tunnel_client.uplink.opening import failure_of, open_transport

FOR_GOOD: Final = "name-released"
_CLAIM: Final = 1
_WORDS_MAX: Final = 8  # of the server; two are asked for
_LOST: Final = "the connection to the server was lost before it had answered"


class ReleaseFailed(TunnelError):
    """The name is what it was.

    Attributes:
        final: the server refused; else trying again may help.
    """

    def __init__(self, message: str, *, final: bool) -> None:
        super().__init__(message)
        self.final = final


async def release_name(config: ClientConfig, name: str, version: str) -> None:
    """Make a name nobody's, if it is this owner's or nobody's. Cancellation drops the connection.

    Args:
        config: where the server is, and what to show it.
        version: of this program.

    Raises:
        ReleaseFailed: it could not be done; the text is for the person.
    """
    url = str(config.server_url)
    try:
        stream = await open_stream(config.server_url, config.proxy, config.server_ca)
    except ConnectFailed as error:
        raise ReleaseFailed(str(error), final=False) from None
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            await _release_on(nursery, stream, config, name, version)
            nursery.cancel_scope.cancel()
    except* Exception as group:  # noqa: BLE001  # the library's own are among them
        failure = group
    finally:
        await trio.aclose_forcefully(stream)
    if failure is not None:
        raise _not_released(failure, url) from None


async def _release_on(
    nursery: trio.Nursery, stream: trio.abc.Stream, config: ClientConfig, name: str, version: str
) -> None:
    transport, welcome = await open_transport(nursery, stream, config, version)
    assert isinstance(welcome, Welcome)  # no session was asked for
    said, heard = trio.open_memory_channel[SessionEvent](_WORDS_MAX)
    session = Session(
        Core(
            is_server=False,
            heartbeat=Heartbeat(welcome.ping_interval_s, welcome.timeout_s),
            now=trio.current_time(),
        ),
        transport,
        session_id=welcome.session,
        on_stream=_refuse,
        on_event=partial(_pass_on, said),
        on_closed=said.close,
    )
    nursery.start_soon(session.run)
    session.claim(Claim(_CLAIM, name, os.urandom(16), start=False, options={}))
    with trio.fail_after(HANDSHAKE_TIMEOUT_S):
        await _hear_answer(heard, name)
        session.release(_CLAIM, FOR_GOOD, "nobody is to keep it")
        # The server answers a goaway after it has read what came before.
        session.goaway("shutting-down", "all is said", 0)
        await _hear_goodbye(heard)
    session.close("all is said")


def _refuse(stream: TunnelStream) -> None:
    """Turn away a visitor of the moment in which the name was held."""
    stream.cancel("refused")


def _pass_on(said: trio.MemorySendChannel[SessionEvent], event: SessionEvent) -> None:
    """Called in the session's reader; a server that says more than was asked is not listened to."""
    with suppress(trio.WouldBlock, trio.ClosedResourceError):
        said.send_nowait(event)


async def _hear_answer(heard: trio.MemoryReceiveChannel[SessionEvent], name: str) -> None:
    async for event in heard:
        if isinstance(event, GoingAway):
            raise ConnectFailed(f"the server stops ({event.goaway.message})")
        if isinstance(event, ClaimAnswered):
            if isinstance(event.answer, Refused):
                raise HandshakeRefused(event.answer.code, f"{name}: {event.answer.message}")
            return
    raise ConnectFailed(_LOST)


async def _hear_goodbye(heard: trio.MemoryReceiveChannel[SessionEvent]) -> None:
    async for event in heard:
        if isinstance(event, GoingAway):
            return
    raise ConnectFailed(_LOST)


def _not_released(error: BaseException, url: str) -> ReleaseFailed:
    failure = failure_of(error, url)
    return ReleaseFailed(printable(str(failure)), final=isinstance(failure, HandshakeRefused))
