"""Checks a client's opening handshake: who may have a session, in which version, and its share.

We do it, since the WebSocket library answers a bad one badly or never. The library gets a good one
in our own words, with nothing of the visitor's but the key.
"""

from __future__ import annotations

import logging
import secrets
from typing import Final

import trio

from protocol import CONTROL_PATH, SUBPROTOCOLS, best_version, subprotocol_of
from protocol.http.fields import elements, values_of
from protocol.http.heads import RequestHead
from protocol.http.upgrades import WEBSOCKET
from protocol.http.websocket import valid_key
from tunnel_server.answers.refusal import Refusal, browser_refused, version_refused
from tunnel_server.observing.strangers import by_stranger, crowd_key
from tunnel_server.owners.ownership import short_owner
from tunnel_server.owners.tokens import authorization_of
from tunnel_server.tunnels.directory import Directory, Login

log = logging.getLogger(__name__)

_SESSIONS_FULL: Final = (
    "It is tried again by itself. Stop clients that nobody needs, or ask whoever runs the server"
    " for more (--max-sessions)."
)

# RFC 6455, 4.2.1.
_HANDSHAKE: Final = (
    f"GET {CONTROL_PATH} HTTP/1.1\r\n"
    "Host: localhost\r\n"
    "Connection: Upgrade\r\n"
    "Upgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: %s\r\n"
    "Sec-WebSocket-Key: %s\r\n\r\n"
)


def check_handshake(directory: Directory, address: str, head: RequestHead) -> Login | Refusal:
    """The login of the session to come, or the refusal of the handshake.

    Args:
        directory: of the server.
        address: the client's, for the log, and for its share where it is a stranger's.
        head: the handshake.
    """
    found = _fault(directory, head) or _login(directory, address, head) or Refusal("unauthorized")
    if isinstance(found, Refusal):
        extra = by_stranger(address, found.code)
        log.info("%s: control handshake refused: %s", address, found.code, extra=extra)
        return found
    # Whoever has a session here may have come for that, which takes nothing more.
    comes_back = directory.resumes.has_one_of(found.owner)
    return (None if comes_back else fullness(directory, address, found)) or found


def _fault(directory: Directory, head: RequestHead) -> Refusal | None:
    """Return what is wrong with the handshake (RFC 6455 4.2.1), or None."""
    # Before all else, whatever its value is (empty, `null`, our own): a page that a developer
    # visits reaches a server on loopback, and would serve its own app under a name there.
    if values_of(head.fields, b"origin"):
        return browser_refused()
    if head.upgrade != WEBSOCKET:
        return Refusal("upgrade-required")
    if values_of(head.fields, b"sec-websocket-version") != [b"13"]:
        return Refusal("upgrade-required", "Only WebSocket version 13.")
    if not all(value.isascii() for _, value in head.fields):
        return Refusal("bad-request", "A field of the handshake is not ASCII.")
    key = values_of(head.fields, b"sec-websocket-key")
    if len(key) != 1 or not valid_key(key[0]):
        return Refusal("bad-request", "Sec-WebSocket-Key is not one key.")
    if _best_version(head) is None:
        return version_refused(SUBPROTOCOLS)
    if directory.draining:
        return Refusal("draining")
    return None


def _login(directory: Directory, address: str, head: RequestHead) -> Login | None:
    """Return the login, or None where a token is needed; a client without one owns itself."""
    login = directory.login_of(authorization_of(head))
    if directory.config.authentication_required:
        return login
    login = login or Login(f"anonymous:{secrets.token_hex(16)}", None)
    # A proxy that names no visitor brings everybody's clients; and a token costs its owner more
    # than an install key, so that its names are not a stranger's neighbours.
    counted = login.is_strange and not directory.config.trusts(address)
    return login._replace(source=crowd_key(address) if counted else None)


def fullness(directory: Directory, address: str, login: Login) -> Refusal | None:
    """Log and return the refusal where its owner, or its address, has its share of the sessions.

    It answers an opening handshake, or a first message.

    Args:
        directory: of the server.
        address: the client's, for the log.
        login: what it has shown.
    """
    clients, connected = directory.clients, directory.connected
    if connected.make_room(trio.current_time(), login.owner, login.source):
        return None
    full, most, owner = clients.full_key(login.owner, login.source), clients.most, login.owner
    share = f"its share of the {most} sessions"
    if full is None:
        text = f"This server has as many sessions as it may, {most}"
        why = f"there are as many sessions as may be, {most}, and {short_owner(owner)} wants one"
    elif full == owner:
        text = f"{'This client' if login.is_strange else 'This token'} has {share} of this server"
        why = f"{short_owner(owner)} has {share}"
    else:
        text = f"Your address has {share} of this server"
        why = f"its address {full} has {share}, and {short_owner(owner)} wants one"
    _log_full(address, login, full, why)
    return Refusal("overloaded", f"{text}.", next_step=_SESSIONS_FULL, case="service")


def _log_full(address: str, login: Login, full: str | None, why: str) -> None:
    """Log each reason by itself: a server that is full shows behind an owner that has its share.

    So does the next owner, unless it is one that costs nothing.
    """
    of_stranger = full is not None and full == login.owner and login.is_strange
    extra = by_stranger(address, "a client's share" if of_stranger else f"share of {full}")
    text = "%s: control handshake refused: overloaded: %s; --max-sessions allows more"
    log.info(text, address, why, extra=extra)


def _best_version(head: RequestHead) -> int | None:
    """The newest version that both ends speak."""
    offers = elements(b",".join(values_of(head.fields, b"sec-websocket-protocol")))
    return best_version(offer.decode("ascii") for offer in offers)


def own_handshake(head: RequestHead) -> bytes:
    """Return a handshake that was checked, in our own words for the WebSocket library."""
    version = _best_version(head)
    assert version is not None
    key = values_of(head.fields, b"sec-websocket-key")[0].decode("ascii")
    return (_HANDSHAKE % (subprotocol_of(version), key)).encode("ascii")
