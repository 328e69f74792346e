"""A question to a server: whose a token is. No session is needed for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import h11
import trio

from protocol.errors import RemoteProtocolError
from protocol.limits import HANDSHAKE_TIMEOUT_S
from protocol.program.text import printable
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.proxy import Proxy
from tunnel_client.uplink.connect import ConnectFailed, open_stream

_PATH: Final = "/_tunnel/health"
_ANSWER_MAX_BYTES: Final = 64 * 1024  # a hundred names of an owner have 7 KiB
_SHOWN_CHARS: Final = 80
_STRANGE: Final = ":"  # stands in the owner that an install key is, and in no token's


class TokenStanding(NamedTuple):
    """The standing of a token at a server.

    Fields:
        needs_token: the server serves nobody without one.
        owner: whose the token is; "": the server does not take it, or takes everybody.
        names: that are served by that owner's clients now.
        token: its name, "" where the server tells none.
        may_have: patterns of the names that it may claim; none: any name.
        expires: `2026-01-31T10:24:03Z`; None: never, or nobody tells.
    """

    needs_token: bool
    owner: str = ""
    names: tuple[str, ...] = ()
    token: str = ""
    may_have: tuple[str, ...] = ()
    expires: str | None = None


class Way(NamedTuple):
    """The way to a server, as `open_stream` takes it."""

    server: ServerUrl
    proxy: Proxy | None
    ca: Path | None


async def standing_of(way: Way, token: str) -> TokenStanding:
    """Ask a server about a token; "": as somebody who has none. Cancellation drops the connection.

    Raises:
        ConnectFailed: it cannot be asked; the text is for the person.
    """
    server = way.server
    stream = await open_stream(server, way.proxy, way.ca)
    try:
        with trio.fail_after(HANDSHAKE_TIMEOUT_S):
            status, body = await _ask(stream, server, token)
    except trio.TooSlowError:
        text = f"{server} did not answer within {HANDSHAKE_TIMEOUT_S} s"
        raise ConnectFailed(text) from None
    except (h11.RemoteProtocolError, RemoteProtocolError, trio.BrokenResourceError):
        raise _no_server(server) from None
    finally:
        await trio.aclose_forcefully(stream)
    if status != 200:
        raise _no_server(server, f" ({status})")
    return _read(body, server)


async def _ask(stream: trio.abc.Stream, server: ServerUrl, token: str) -> tuple[int, bytes]:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_ANSWER_MAX_BYTES)
    headers = [
        ("Host", server.authority),
        ("Accept", "application/json"),
        ("Connection", "close"),
        *([("Authorization", f"Bearer {token}")] if token else []),
    ]
    request = h11.Request(method="GET", target=_PATH, headers=headers)
    await stream.send_all(connection.send(request) + connection.send(h11.EndOfMessage()))
    status, body = 0, b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(_ANSWER_MAX_BYTES)))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
            if len(body) > _ANSWER_MAX_BYTES:
                raise RemoteProtocolError("the answer is too long")
        elif isinstance(event, h11.EndOfMessage):
            return status, body


def _read(body: bytes, server: ServerUrl) -> TokenStanding:
    """Read it. Without a right a server says `status` alone; where none is needed, counts."""
    try:
        said: Any = json.loads(body)
        if said["status"] != "ok":
            raise ValueError("not ok")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _no_server(server) from None
    owner = said.get("owner")
    if isinstance(owner, str) and owner and _STRANGE not in owner:
        expires = said.get("expires")
        return TokenStanding(
            True,
            _shown(owner),
            _all_shown(said.get("names")),
            _shown(said.get("token") or ""),
            _all_shown(said.get("may_have")),
            None if expires is None else _shown(expires),
        )
    return TokenStanding(needs_token=owner is None and "sessions" not in said)


def _shown(text: object) -> str:
    """Somebody else's words, for a terminal."""
    return printable(str(text))[:_SHOWN_CHARS]


def _all_shown(texts: object) -> tuple[str, ...]:
    return tuple(map(_shown, texts)) if isinstance(texts, list) else ()


def _no_server(server: ServerUrl, beside: str = "") -> ConnectFailed:
    text = f"what answers at {server} is not a tunnel-server{beside}"
    return ConnectFailed(text, final=True, code="not-a-server")
