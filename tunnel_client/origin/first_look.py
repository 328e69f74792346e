"""One look at the app when the client starts: a wrong port is known before a visitor comes.

What is found wrong is a warning and never a refusal: the app may be started later, or be busy. The
look is one GET of `/` on a connection of its own; the first bytes of the answer are enough. Where
somebody has said how the app is to be asked it is a connection alone.
`warning_of` judges what happened, whoever asked.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import trio

from protocol.errors import HttpError, NoHttpError
from protocol.program.observing import Sink
from tunnel_client.observing.events import Warned
from tunnel_client.origin.connection import OriginClosed, OriginConnection
from tunnel_client.origin.dial import Dialer, OriginDown, OriginRefused
from tunnel_client.origin.no_http import first_bytes, what_speaks, why_no_http
from tunnel_client.settings.target import Target

# Most apps answer at once. A dev server that compiles its first page takes longer, and is told of
# as such; whoever has shared the wrong port should not wait for that.
SILENT_S: Final = 2.0
REST_BYTES_MAX: Final = 1 << 20  # of an answer, read and dropped; most pages are shorter
_BEGINNING: Final = b"HTTP/1."
_CLOSE_S: Final = 0.5  # for the close_notify of TLS

# Said where the problem is known; a visitor would get an error with the same code.
Problem = OriginRefused | OriginClosed | NoHttpError | trio.TooSlowError


async def look_at_app(dialer: Dialer, agent: str, sink: Sink[Warned], *, asks: bool) -> None:
    """Look once, and tell the sink what is wrong, if anything is. Cancelling leaves nothing open.

    Args:
        dialer: one that does not wait for the app.
        agent: the value of User-Agent.
        asks: send a request; else a connection that can be made is enough.
    """
    problem, data = await _asked(dialer, agent if asks else None)
    if problem is not None:
        sink.tell(warning_of(dialer.target, problem, data))


def warning_of(target: Target, problem: Problem, data: bytes = b"") -> Warned:
    """The warning about an app that was asked and did not answer in HTTP.

    Args:
        problem: why there is no answer.
        data: what came instead.
    """
    if isinstance(problem, trio.TooSlowError):
        said = f"{target} takes connections, and has said nothing for {SILENT_S:g} s: it is busy,"
        return Warned("origin-silent", f"{said} or no web app")
    if isinstance(problem, NoHttpError):
        service = what_speaks(data)
        why = f"this is {service}" if service else why_no_http(problem, target, data)
        return Warned("origin-protocol-error", f"{target} is no web app: {why}")
    if isinstance(problem, OriginClosed):
        said = f"{target} closed the connection without an answer; is it a web app?"
        return Warned("origin-protocol-error", said)
    hint = "; start the app, or give its port" if isinstance(problem, OriginDown) else ""
    return Warned(problem.code, f"{problem}{hint}")


async def _asked(dialer: Dialer, agent: str | None) -> tuple[Problem | None, bytes]:
    """The reason why there is no answer, if there is none, and what came instead."""
    try:
        connection = OriginConnection(await dialer.open())
    except OriginRefused as error:
        return error, b""
    fields = f"Host: {dialer.target.authority}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n"
    try:
        if agent is None:
            return None, b""
        with trio.fail_after(SILENT_S):
            await connection.send(f"GET / HTTP/1.1\r\n{fields}Connection: close\r\n\r\n".encode())
            problem, data = await _answered(connection)
        if problem is None:
            await _drop_rest(connection)
        return problem, data
    except (OriginClosed, trio.TooSlowError) as error:
        return error, b""
    finally:
        await connection.aclose(_CLOSE_S)


async def _drop_rest(connection: OriginConnection) -> None:
    """Read on for a while: an app that is hung up on writes a traceback into its terminal."""
    left_bytes = REST_BYTES_MAX
    with suppress(OriginClosed), trio.move_on_after(SILENT_S):
        while left_bytes > 0 and (data := await connection.receive()):
            left_bytes -= len(data)


async def _answered(connection: OriginConnection) -> tuple[Problem | None, bytes]:
    """Read as much as shows whether it is HTTP. Raises OriginClosed where nothing comes."""
    while len(connection.answers) < len(_BEGINNING):
        data = await connection.receive()
        if not data:
            raise OriginClosed
        connection.answers.feed(data)
        try:
            if connection.answers.next_head() is not None:
                break
        except NoHttpError as error:
            return error, await first_bytes(connection)
        except HttpError:
            break  # it is HTTP, if bad: the first visitor's request tells of that
    return None, b""
