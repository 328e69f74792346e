"""Giving a kept name up: one connection, and a claim whose option says so.

Nothing is claimed: the answer is a refusal, whose code says whether the name was released. A client
that serves under the name keeps it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from protocol.drivers.session import Session, SessionEvent
from protocol.errors import HandshakeRefused, TunnelError
from protocol.limits import CLOSE_TIMEOUT_S, HANDSHAKE_TIMEOUT_S
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.events import ClaimAnswered, GoingAway
from protocol.mux.messages import Claim, Refused, Welcome
from protocol.options import Options
from protocol.program.text import printable
from tunnel_client.settings.config import ClientConfig
from tunnel_client.uplink.connect import ConnectFailed, open_stream
from tunnel_client.uplink.next_steps import with_next_step
from tunnel_client.uplink.opening import FOR_NOW, failure_of, open_transport

RELEASED: Final = "name-released"
_OPTIONS: Final = Options(release=True).as_map()
_WORDS_MAX: Final = 8  # of the server; one is asked for


class ReleaseFailed(TunnelError):
    """The name is what it was.

    Attributes:
        final: the server refused; else trying again may help.
    """

    def __init__(self, message: str, *, final: bool) -> None:
        super().__init__(message)
        self.final = final


async def release_name(config: ClientConfig, name: str, version: str) -> str:
    """Make a name nobody's, if it is this owner's or nobody's. Cancellation drops the connection.

    Args:
        config: where the server is, and what to show it.
        version: of this program.

    Returns: what the server says about it, for the person.

    Raises:
        ReleaseFailed: it could not be done; the text is for the person.
    """
    try:
        stream = await open_stream(config.server_url, config.proxy, config.server_ca)
    except ConnectFailed as error:
        raise ReleaseFailed(str(error), final=False) from None
    answer: Refused | ConnectFailed | HandshakeRefused
    try:
        async with trio.open_nursery() as nursery:
            answer = await _release_on(nursery, stream, config, name, version)
            nursery.cancel_scope.cancel()
    except* Exception as group:  # noqa: BLE001  # the library's own are among them
        answer = failure_of(group, str(config.server_url))
    finally:
        await trio.aclose_forcefully(stream)
    return _said(answer, config)


def _said(answer: Refused | ConnectFailed | HandshakeRefused, config: ClientConfig) -> str:
    """The server's words. Raises ReleaseFailed."""
    if isinstance(answer, ConnectFailed):
        raise ReleaseFailed(printable(str(answer)), final=False)
    if answer.code == "unknown-option":
        text = f"{config.server_url} keeps no names: it is older than this client"
        raise ReleaseFailed(text, final=True)
    if answer.code != RELEASED:
        text = printable(answer.message)
        if isinstance(answer, HandshakeRefused):  # another name is no answer to a release
            text = with_next_step(answer.code, text, has_token=config.has_token)
        raise ReleaseFailed(text, final=answer.code not in FOR_NOW)
    return printable(answer.message)


async def _release_on(
    nursery: trio.Nursery, stream: trio.abc.Stream, config: ClientConfig, name: str, version: str
) -> Refused:
    transport, welcome = await open_transport(nursery, stream, config, version)
    assert isinstance(welcome, Welcome)  # no session was asked for
    said, heard = trio.open_memory_channel[SessionEvent](_WORDS_MAX)
    session = Session(
        Core(
            is_server=False,
            heartbeat=Heartbeat(welcome.ping_interval_s, welcome.timeout_s),
            now=trio.current_time(),
            version=transport.version,
        ),
        transport,
        session_id=welcome.session,
        on_event=partial(_pass_on, said),
        on_closed=said.close,
    )
    ended = trio.Event()

    async def run() -> None:
        await session.run()
        ended.set()

    nursery.start_soon(run)
    session.claim(Claim(1, name, os.urandom(16), start=False, options=_OPTIONS, default=""))
    with trio.fail_after(HANDSHAKE_TIMEOUT_S):
        answer = await _answer(heard)
    session.close("all is said")
    with trio.move_on_after(CLOSE_TIMEOUT_S):  # a Close, so that the server knows that this is all
        await ended.wait()
    return answer


def _pass_on(said: trio.MemorySendChannel[SessionEvent], event: SessionEvent) -> None:
    """Called in the session's reader; a server that says more than was asked is not listened to."""
    with suppress(trio.WouldBlock, trio.ClosedResourceError):
        said.send_nowait(event)


async def _answer(heard: trio.MemoryReceiveChannel[SessionEvent]) -> Refused:
    async for event in heard:
        if isinstance(event, GoingAway):
            raise ConnectFailed(f"the server stops ({event.goaway.message})")
        if isinstance(event, ClaimAnswered):
            if isinstance(event.answer, Refused):
                return event.answer
            raise ConnectFailed("the server gave the name where it was to take it")
    raise ConnectFailed("the connection to the server was lost before it had answered")
