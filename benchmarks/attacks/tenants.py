"""Clients of the server in our own hands, which need not be what they should be."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import trio
import trio_websocket

from benchmarks.attacks.visitors import DOMAIN
from benchmarks.attacks.ways import Entrance
from protocol import CONTROL_PATH, SUBPROTOCOLS, VERSION
from protocol.drivers.session import Session, SessionEvent
from protocol.drivers.stream import TunnelStream
from protocol.drivers.transport import CountingStream, WebSocketTransport
from protocol.errors import SessionClosed, StreamReset, StreamStopped
from protocol.limits import FIRST_CREDIT_BYTES, MESSAGE_MAX_BYTES, READ_BYTES, STREAMS_MAX
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.events import ClaimAnswered
from protocol.mux.handshake import (
    hello_message,
    read_answer_to_hello,
    read_answer_to_resume,
    resume_message,
)
from protocol.mux.messages import Claim, Claimed, Hello, Resume, Welcome
from tunnel_server.owners.tokens import make_token

HANDSHAKE_S = 30.0

Serve = Callable[[TunnelStream], Awaitable[None]]


def token_of(owner: str) -> str:
    """The same for both programs that have to know it."""
    return make_token(hashlib.sha256(owner.encode()).digest())


class Rejected(Exception):
    """The server has refused a handshake; the text is its status."""


@asynccontextmanager
async def control_connection(
    entrance: Entrance, address: str, token: str
) -> AsyncIterator[WebSocketTransport]:
    """A control connection after the WebSocket's handshake; dropped without a word at the end.

    Raises Rejected or OSError.
    """
    stream = await entrance.connect(address)
    counting = CountingStream(stream, masked=False)
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(HANDSHAKE_S):
                connection = await trio_websocket.wrap_client_stream(
                    nursery,
                    counting,  # type: ignore[arg-type]  # any trio.abc.Stream does
                    DOMAIN,
                    CONTROL_PATH,
                    subprotocols=SUBPROTOCOLS[:1],
                    extra_headers=[
                        (b"Authorization", f"Bearer {token}".encode()),
                        *entrance.fields(address),
                    ],
                    message_queue_size=0,
                    max_message_size=MESSAGE_MAX_BYTES,
                    receive_buffer_size=READ_BYTES,
                )
            yield WebSocketTransport(connection, counting, VERSION)
            nursery.cancel_scope.cancel()
    except* trio_websocket.ConnectionRejected as group:
        rejection = first_of(group)
        assert isinstance(rejection, trio_websocket.ConnectionRejected)
        raise Rejected(str(rejection.status_code)) from None
    finally:
        await trio.aclose_forcefully(stream)


def first_of(error: BaseException) -> BaseException:
    """The first exception of a group, however deep it stands."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def greet(transport: WebSocketTransport, body_credit: int = FIRST_CREDIT_BYTES) -> Welcome:
    """Begin a session."""
    hello = Hello((), "attack/1", STREAMS_MAX, body_credit)
    await transport.send(hello_message(hello))
    return read_answer_to_hello(await transport.receive())


async def resume(transport: WebSocketTransport, welcome: Welcome, attempt: int) -> bool:
    """Ask for a session on which nothing has been counted; whether the server gives it."""
    asked = Resume(welcome.session, welcome.secret, attempt, 0)
    await transport.send(resume_message(asked))
    return read_answer_to_resume(await transport.receive()) is not None


def claim_of(number: int, name: str, options: Mapping[str, object] | None = None) -> Claim:
    return Claim(number, name, b"attacker" * 2, True, options or {})


@asynccontextmanager
async def tenant(
    entrance: Entrance,
    owner: str,
    address: str,
    name: str,
    serve: Serve,
    options: Mapping[str, object] | None = None,
) -> AsyncIterator[Session]:
    """A client that keeps to the protocol, and serves what visitors ask for as it likes.

    Args:
        owner: whose token it shows.
        address: where it comes from.
        name: the one that it claims; it has it when the block begins.
        serve: called for each request, in a task of its own; what it raises when a visitor has
            gone is no fault.
    """
    claimed = trio.Event()

    def on_event(event: SessionEvent) -> None:
        if isinstance(event, ClaimAnswered):
            assert isinstance(event.answer, Claimed), event
            claimed.set()

    async with (
        control_connection(entrance, address, token_of(owner)) as transport,
        trio.open_nursery() as nursery,
    ):
        welcome = await greet(transport)
        heartbeat = Heartbeat(welcome.ping_interval_s, welcome.timeout_s)
        session = Session(
            Core(is_server=False, heartbeat=heartbeat, now=trio.current_time()),
            transport,
            session_id=welcome.session,
            on_stream=lambda stream: nursery.start_soon(_served, serve, stream),
            on_event=on_event,
        )
        nursery.start_soon(session.run)
        session.claim(claim_of(1, name, options))
        with trio.fail_after(HANDSHAKE_S):
            await claimed.wait()
        yield session
        nursery.cancel_scope.cancel()


async def _served(serve: Serve, stream: TunnelStream) -> None:
    try:
        await serve(stream)
    except (StreamReset, StreamStopped, SessionClosed):
        stream.cancel("no-error")  # the visitor has gone
