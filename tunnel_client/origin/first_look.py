"""A look at the app when a tunnel has its name: a wrong port is known before a visitor comes.

What is found wrong is a warning and never a refusal: the app may be started later, or be busy. With
`--identity auto` its first question is the look, so there is one GET and not two. Where nothing may
be asked a connection is enough: it shows who speaks first, and what is wrong with TLS. That nobody
listens is told by the dialer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from protocol.errors import HttpError, NoHttpError
from protocol.program.observing import Sink
from tunnel_client.observing.events import ClientEvent, TunnelReady, Warned
from tunnel_client.origin.connection import OriginClosed, OriginConnection
from tunnel_client.origin.dial import OriginDown, OriginRefused, OriginStream
from tunnel_client.origin.no_http import (
    first_bytes,
    is_alert,
    refuses_plain,
    shared_by_tls,
    what_speaks,
    why_no_http,
)
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.target import Target

# Most apps answer at once. A dev server that compiles its first page takes longer, and is told of
# as such; whoever has shared the wrong port should not wait for that.
SILENT_S: Final = 2.0
# A server that speaks first does so at once. An app that serves one connection at a time serves
# nobody else meanwhile.
LISTENS_S: Final = 0.5
_CLOSE_S: Final = 0.5  # for the close_notify of TLS

Problem = OriginRefused | OriginClosed | HttpError | trio.TooSlowError


class FirstLook:
    """The first question of a program to its app, and what it shows; one thing is told at most.

    Args:
        target: the app.
        sink: is told what is wrong.
        known: a thing that is wrong whatever the app answers; None: nothing is.
    """

    def __init__(self, target: Target, sink: Sink[Warned], known: Warned | None = None) -> None:
        self._target = target
        self._known = known
        self._sink = sink
        self._asked = trio.Event()
        self._over = trio.Event()

    def __repr__(self) -> str:
        state = "over" if self._over.is_set() else "asked" if self._asked.is_set() else "to come"
        return f"<FirstLook at {self._target} {state}>"

    async def watch(self) -> None:
        """Tell it when the app is asked and says nothing for SILENT_S; return when it is over."""
        await self._asked.wait()
        with trio.move_on_after(SILENT_S):
            await self._over.wait()
        self.failed(trio.TooSlowError())

    def asked(self) -> None:
        """A connection for the first question is made; of others nothing is told."""
        self._asked.set()

    def answered(self) -> None:
        """The look is over: the app has answered, or nobody listens there."""
        if self._known is not None and not self._over.is_set():
            self._sink.tell(self._known)
        self._over.set()
        self._asked.set()

    def saw(self, status: int, body: bytes) -> None:
        """Tell of an answer, if it is the first, that says that the app speaks TLS."""
        self._found(_speaks_tls(self._target) if refuses_plain(status, body) else None)

    def failed(self, problem: Problem, data: bytes = b"") -> None:
        """Tell of it, if it is the first: see `warning_of`."""
        self._found(warning_of(self._target, problem, data))

    def _found(self, warning: Warned | None) -> None:
        if not self._over.is_set():
            self._known = self._known or warning
        self.answered()


class SilentLook:
    """A look that sends nothing; it tells what comes unasked.

    It stands before another sink, since what is told of the tunnel is when to look.

    Args:
        first: tells what is found.
        sink: is told everything.
    """

    def __init__(self, first: FirstLook, sink: Sink[ClientEvent]) -> None:
        self._first = first
        self._sink = sink
        self._is_ready = trio.Event()

    def __repr__(self) -> str:
        return f"<SilentLook {'begun' if self._is_ready.is_set() else 'to come'} {self._first!r}>"

    def tell(self, event: ClientEvent) -> None:
        """See Sink."""
        self._sink.tell(event)
        if isinstance(event, TunnelReady):
            self._is_ready.set()

    async def run(self, connect: Callable[[], Awaitable[OriginStream]]) -> None:
        """Look once, when the tunnel has its name. Cancelling leaves nothing open.

        Args:
            connect: makes a connection to the app at once, or raises OriginRefused.
        """
        await self._is_ready.wait()
        try:
            connection = OriginConnection(await connect())
        except OriginDown:
            self._first.answered()  # the dialer has told it
        except OriginRefused as error:
            self._first.failed(error)
        else:
            await self._listen(connection)

    async def _listen(self, connection: OriginConnection) -> None:
        """A web app waits for a request; that it closes without one says nothing either."""
        try:
            with trio.move_on_after(LISTENS_S):
                while data := await connection.receive():
                    connection.answers.feed(data)
                    if connection.answers.next_head() is not None:
                        break
        except NoHttpError as error:
            self._first.failed(error, await first_bytes(connection))
        except (OriginClosed, HttpError):
            pass  # what is bad HTTP is told by the first visitor's request
        finally:
            with trio.move_on_after(_CLOSE_S, shield=True):
                await connection.aclose(_CLOSE_S)
        self._first.answered()


def warning_of(target: Target, problem: Problem, data: bytes = b"") -> Warned | None:
    """The warning about an app that was asked and did not answer in HTTP; None: it did, if badly.

    Args:
        problem: why there is no answer.
        data: what came instead.
    """
    if isinstance(problem, trio.TooSlowError):
        said = f"{target} takes connections, and has said nothing for {SILENT_S:g} s: it is busy,"
        return Warned("origin-silent", f"{said} or no web app")
    if isinstance(problem, NoHttpError):
        if is_alert(data):
            return _speaks_tls(target)
        service = what_speaks(data)
        why = f"this is {service}" if service else why_no_http(problem, target, data)
        return Warned("origin-protocol-error", f"{target} is no web app: {why}")
    if isinstance(problem, OriginClosed):
        hint = shared_by_tls(target, " If it speaks TLS: ")
        said = f"{target} closed the connection without an answer; is it a web app?{hint}"
        return Warned("origin-protocol-error", said)
    if isinstance(problem, OriginRefused):
        return Warned(problem.code, str(problem))
    return None  # the first visitor's request tells of that


def _speaks_tls(target: Target) -> Warned:
    said = f"{target} speaks TLS, and was asked without it"
    return Warned("origin-protocol-error", f"{said}{shared_by_tls(target, '; share it by: ')}")


def leads_back(target: Target, server: ServerUrl) -> Warned | None:
    """The warning about a target that is the tunnel-server itself; None: it is not."""
    if not target.is_at(server):
        return None
    said = f"{target} is the tunnel-server itself, and no app of yours"
    return Warned("loop-detected", f"{said}: give the port that your app listens on")
