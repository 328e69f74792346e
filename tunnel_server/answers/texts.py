"""The words of every error answer that the tunnel itself makes, one entry a code.

The codes and their statuses are fixed (`protocol/statuses.py`). Two readers are thought of: a
visitor, who may never have heard of a tunnel and gets `title` and `next_step`, and the developer
whose tunnel it is, who gets `owner_step`. `cause` stands in where whoever answers knows nothing
finer.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class Side(Enum):
    """The side where it went wrong, in the order of a request's way: JSON's word, a person's words.

    Members:
        VISITOR: the request as it arrived.
        SERVICE: this server.
        TUNNEL: the client, or the connection to it.
        APP: what the client shares.
    """

    VISITOR = ("visitor", "the request, as it was sent")
    SERVICE = ("service", "this tunnel service")
    TUNNEL = ("tunnel", "the connection to the developer's machine")
    APP = ("app", "the app on the developer's machine")

    def __init__(self, word: str, words: str) -> None:
        self.word = word
        self.words = words


class ErrorText(NamedTuple):
    """One code's words; `retry_after_s` is for statuses that should have one.

    `passes` is for what goes away by itself and has kept the request from the app: to ask again is
    safe, so a page of this error does so until the app answers.
    """

    side: Side
    title: str
    cause: str
    next_step: str
    owner_step: str = ""
    retry_after_s: int | None = None
    passes: bool = False


_SENDER: Final = "Ask the person who sent you this link"

ERRORS: Final[dict[str, ErrorText]] = {
    "bad-request": ErrorText(
        Side.VISITOR,
        "This request cannot be understood",
        "It breaks the rules of HTTP.",
        "Try again with a current browser or HTTP client; the fault is in what sent the request.",
    ),
    "unauthorized": ErrorText(
        Side.VISITOR,
        "A valid token is needed",
        "The request has no token, or one that this service does not know.",
        "Ask whoever runs this service for a token.",
        "Give the token to tunnel-client with --token-file or TUNNEL_TOKEN; on the server,"
        " tunnel-server token create NAME makes one.",
    ),
    "forbidden": ErrorText(
        Side.VISITOR,
        "This is not allowed",
        "The token is valid, but it does not give this right.",
        "Ask whoever runs this service for the right to do it.",
    ),
    "tunnel-not-found": ErrorText(
        Side.VISITOR,
        "There is nothing at this address",
        "No tunnel has this name now.",
        "Check the address for a slip.",
        "If this should be your tunnel, start tunnel-client and open the URL that it prints.",
    ),
    "request-timeout": ErrorText(
        Side.VISITOR,
        "The request took too long to arrive",
        "Its beginning came, and the rest did not come in time.",
        "Check your connection, then try again.",
    ),
    "uri-too-long": ErrorText(
        Side.VISITOR,
        "This address is too long",
        "The address has more characters than a request may have.",
        "Use a shorter address; long data belongs in the body of a POST.",
    ),
    "unknown-host": ErrorText(
        Side.VISITOR,
        "This service does not answer for that host",
        "The host that was asked for does not belong to this service.",
        "Check the address for a slip.",
        "If you run this service: its host is set by --domain and --public-url, and a proxy in"
        " front of it has to pass Host on unchanged.",
    ),
    "upgrade-required": ErrorText(
        Side.VISITOR,
        "This address is for tunnel-client",
        "It speaks WebSocket only, and the request did not ask for that.",
        "Connect with tunnel-client, and give it this service's URL as --server.",
        "If tunnel-client got this answer, a proxy in between took Upgrade and Connection out of"
        " the request: let it pass WebSockets.",
    ),
    "too-many-requests": ErrorText(
        Side.VISITOR,
        "Too many requests",
        "More requests came from you than this service takes in so short a time.",
        "Wait a little, then try again more slowly.",
        retry_after_s=10,
    ),
    "head-too-large": ErrorText(
        Side.VISITOR,
        "The request's header is too large",
        "Its fields, cookies among them, are more than a request may have.",
        "Delete the cookies of this site, then try again.",
    ),
    "internal": ErrorText(
        Side.SERVICE,
        "Something went wrong in the tunnel service",
        "This is a fault of the service, not of your request and not of the app.",
        "Try again; if it stays, tell whoever runs the service.",
        "The server's log has the cause.",
    ),
    "method-not-supported": ErrorText(
        Side.VISITOR,
        "This method is not supported",
        "A tunnel carries HTTP requests and WebSockets; it is no forward proxy.",
        "Use another method.",
    ),
    "origin-refused": ErrorText(
        Side.APP,
        "The app cannot be reached",
        "The tunnel works, but the app on the other side does not accept connections.",
        f"{_SENDER} to start the app.",
        "If it is yours: start the app, or start tunnel-client with the port that it listens on.",
        retry_after_s=5,
        passes=True,
    ),
    "origin-untrusted": ErrorText(
        Side.APP,
        "The app's certificate is not trusted",
        "The app is there, and shows a certificate that the client has no reason to trust.",
        f"{_SENDER} to look at the app.",
        "If it is yours: start tunnel-client with --origin-insecure, which takes any certificate,"
        " or with --origin-ca FILE for the CA that signed it.",
    ),
    "origin-protocol-error": ErrorText(
        Side.APP,
        "The app's answer cannot be understood",
        "What listens on the app's port did not answer in valid HTTP.",
        f"{_SENDER} to look at the app.",
        "If it is yours: check that tunnel-client has the right port, and https://HOST:PORT as its"
        " TARGET if the app speaks HTTPS.",
    ),
    "tunnel-lost": ErrorText(
        Side.TUNNEL,
        "The connection to the app broke off",
        "The tunnel went away while it carried this request.",
        "Try again. The app may have seen the request: look before you repeat a payment or an"
        " order.",
        "If it is yours: tunnel-client connects again by itself, and its terminal says why it had"
        " to.",
    ),
    "tunnel-offline": ErrorText(
        Side.TUNNEL,
        "This tunnel is offline",
        "It was here before, and is not connected now.",
        "Try again later, or ask the person who sent you this link to start the tunnel.",
        "If it is yours: start tunnel-client with the same --subdomain.",
        retry_after_s=10,
        passes=True,
    ),
    "loop-detected": ErrorText(
        Side.APP,
        "This tunnel leads back to itself",
        "Each tunnel leads to another tunnel's server, or to the same one again.",
        "Tell the person who shares this page.",
        "TARGET of tunnel-client should be the app; this one is a tunnel-server.",
    ),
    "overloaded": ErrorText(
        Side.TUNNEL,
        "This tunnel is busy",
        "It serves as many requests at once as it can.",
        "Try again in a moment.",
        retry_after_s=1,
        passes=True,
    ),
    "no-ports": ErrorText(
        Side.TUNNEL,
        "The developer's machine has no port left",
        "The tunnel works, but the machine that shares the app has used up its ports for"
        " connections to it. One that was closed keeps its port for up to a minute.",
        "Try again in a minute.",
        "If it is yours: send fewer requests at a time, or widen net.ipv4.ip_local_port_range on"
        " the machine of tunnel-client.",
        retry_after_s=10,
        passes=True,
    ),
    "draining": ErrorText(
        Side.SERVICE,
        "The tunnel service is restarting",
        "It finishes what it has begun and takes nothing new.",
        "Try again in a few seconds.",
        retry_after_s=5,
        passes=True,
    ),
    "origin-timeout": ErrorText(
        Side.APP,
        "The app took too long to answer",
        "The tunnel works and the app took the request, but no answer came.",
        "Try again later.",
        "If it is yours: look for what the app waits for, or give tunnel-client a longer"
        " --origin-timeout.",
    ),
    "version-not-supported": ErrorText(
        Side.VISITOR,
        "This version is not supported",
        "This service speaks HTTP/1.1 and HTTP/1.0.",
        "Try again with HTTP/1.1.",
    ),
}

_BUSY: Final = ERRORS["overloaded"]
_YOURS: Final = (
    "Close other pages, downloads or programs of your network that use it, or try again in a"
    " moment."
)

_DRAINING: Final = ERRORS["draining"]

CASES: Final[dict[str, ErrorText]] = {
    "client-stops": _DRAINING._replace(
        side=Side.TUNNEL,
        title="This tunnel is being stopped",
        cause="It finishes what it has begun and takes nothing new.",
        next_step="Try again later, or ask the person who sent you this link to start the tunnel.",
        owner_step="If it is yours: start tunnel-client again.",
    ),
    "service": _BUSY._replace(side=Side.SERVICE, title="This tunnel service is busy"),
    "address-of-service": _BUSY._replace(
        side=Side.SERVICE, title="Too many requests from your address", next_step=_YOURS
    ),
    "gate": ErrorText(
        Side.TUNNEL,
        "This tunnel is not open to you",
        "Its owner has not let your address in.",
        "Ask the person who sent you this link.",
        "If it is yours: --allow-ip and --deny-ip of tunnel-client say who may see it. Behind a"
        " proxy the server has to know that one (--trusted-proxies), or all have its address.",
    ),
    "address-of-tunnel": _BUSY._replace(
        title="Too many requests from your address", next_step=_YOURS
    ),
}
"""Cases of a code in which it is another side that stops, is busy, or refuses."""
