"""Refusals: a code, and what is particular about this case.

Whatever refuses a request returns one of these, and knows neither the visitor's Accept nor how a
page looks: the answer is made once, where it is written (`answer.answer_to`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from protocol.http.fields import Fields


class Refusal(NamedTuple):
    """The reason why a request does not get what it asks for.

    Attributes:
        code: one of those in `texts.ERRORS`.
        cause: what happened, in one or two sentences; the code's own cause if empty. It may quote
            strangers.
        status: another one than the code's.
        fields: more of them; one of them takes the place of a default of the same name.
        extra: more members of the JSON form.
        next_step: what to do in this case; the code's own if empty.
        case: one of `texts.CASES`, whose words take the place of the code's; empty: none.
    """

    code: str
    cause: str = ""
    status: int | None = None
    fields: Fields = ()
    extra: Mapping[str, object] | None = None
    next_step: str = ""
    case: str = ""


def browser_refused() -> Refusal:
    """The refusal of a control handshake that a page in a browser may have made.

    Browsers put Origin into every handshake and let no page leave it out (RFC 6455, 10.2), while
    clients of tunnels have no origin to name.
    """
    return Refusal(
        "forbidden",
        "The handshake has the field Origin, so it is a browser's request, or that of a WebSocket"
        " library that sends it; no page in a browser may speak to this address.",
        next_step="If it was a library, switch Origin off there (websocket-client:"
        " suppress_origin=True); else connect with tunnel-client.",
    )


def version_refused(versions: Sequence[str]) -> Refusal:
    """The refusal of a control handshake that offers no version of ours: 400, with our list.

    Args:
        versions: the subprotocols that this server speaks, newest first.
    """
    listed = ", ".join(versions)
    return Refusal(
        "version-not-supported",
        f"tunnel-client and this server speak no common version; the server speaks {listed}.",
        status=400,
        fields=((b"Sec-WebSocket-Protocol", listed.encode()),),
        extra={"versions": list(versions)},
    )


def method_not_allowed(allow: bytes) -> Refusal:
    """405, for a path of the service that takes only the methods in `allow` (`GET, HEAD`)."""
    return Refusal(
        "method-not-supported",
        f"This address takes {allow.decode('ascii')} only.",
        status=405,
        fields=((b"Allow", allow),),
    )


def offline(since: datetime, now: datetime) -> Refusal:
    """503 for a tunnel that was there, with the moment it went away.

    Args:
        since: when it went away, in UTC.
        now: for how long that is ago.
    """
    moment = since.strftime("%Y-%m-%d %H:%M:%S UTC")
    ago = _duration((now - since).total_seconds())
    return Refusal(
        "tunnel-offline",
        f"It has been offline since {moment}, for {ago}.",
        extra={"since": since.isoformat()},
    )


def _duration(seconds: float) -> str:
    """Whole seconds, minutes, hours or days, rounded down; a clock that was set back is 0."""
    number, unit = max(0, int(seconds)), "second"
    for size, larger in ((60, "minute"), (60, "hour"), (24, "day")):
        if number < size:
            break
        number, unit = number // size, larger
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
