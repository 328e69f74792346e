"""The answers that the tunnel itself makes: errors, the landing page, health.

Plain functions of their arguments: they send nothing. An `Answer` has all its end-to-end fields,
Content-Length among them; framing and whether the connection closes are the serialiser's matter. To
HEAD the caller sends it without the body (RFC 9110, 9.3.2).

Every error carries `Tunnel-Error: CODE`, which apps cannot set, so a script can tell the tunnel's
502 from the app's. Nothing here is ever cached: the same URL works again in a moment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

from protocol.http.fields import Fields
from protocol.statuses import STATUSES
from tunnel_server.answers import pages
from tunnel_server.answers.negotiation import Form, preferred_form
from tunnel_server.answers.refusal import Refusal
from tunnel_server.answers.texts import CASES, ERRORS, ErrorText
from tunnel_server.settings.config import client_command

# A cause may quote what a visitor or an app sent; nobody reads more than this.
MAX_CAUSE_LENGTH: Final = 500

# Of an owner's names in the details of health: as many as are kept for one. They are 17 KiB at
# most, of a visitor that does not read them, too.
NAMES_LISTED_MAX: Final = 256


class Answer(NamedTuple):
    """A whole answer; `reason` is the standard one of the status."""

    status: int
    reason: bytes
    fields: Fields
    body: bytes


class OwnDetails(NamedTuple):
    """The details of health for an owner, which are its own, under the names of the fields."""

    version: str
    owner: str
    sessions: int
    names: tuple[str, ...]  # held now; of more than NAMES_LISTED_MAX those held for longest
    more_names: int  # held as well
    token: str | None  # its name; None: an install key has none
    may_have: tuple[str, ...]  # patterns of names; none: any name
    expires: str | None  # of the token; None: never


class HealthDetails(NamedTuple):
    """The totals of a server, for whoever runs it, under the names of the fields."""

    version: str
    sessions: int
    streams: int
    unacked_bytes: int  # kept by all sessions, retransmitted after a resume
    held_sessions: int  # without a connection; they may be resumed
    parked_requests: int  # wait for a client that is away


class Landing(NamedTuple):
    """The landing page, before it is known how the visitor wants to read it.

    Attributes:
        public_url: the apex.
        token_needed: sharing needs a token.
    """

    public_url: str
    token_needed: bool


def answer_to(
    found: Refusal | Landing | Answer, accept: bytes, *, name: str = "", method: bytes = b"GET"
) -> Answer:
    """The whole answer for what a request came to.

    Args:
        found: what it is answered with.
        accept: the visitor's Accept.
        name: the tunnel that was asked for; empty where there is none.
        method: of the request; only what a GET brought loads itself again.
    """
    if isinstance(found, Refusal):
        return error_answer(found, accept, name=name, method=method)
    return landing_page(found, accept) if isinstance(found, Landing) else found


def error_answer(
    refusal: Refusal, accept: bytes = b"", *, name: str = "", method: bytes = b"GET"
) -> Answer:
    """The answer for a refusal, as HTML, JSON or text; the arguments are those of `answer_to`.

    The cause may quote strangers: it is cut, cleaned of control characters, and escaped.

    Raises:
        KeyError: no such code.
    """
    code = refusal.code
    text = CASES[refusal.case] if refusal.case else ERRORS[code]
    if refusal.next_step:
        text = text._replace(next_step=refusal.next_step)
    number = HTTPStatus(STATUSES[refusal.code] if refusal.status is None else refusal.status)
    cause = _clean(refusal.cause) or text.cause
    form = preferred_form(accept)
    safe = method in (b"GET", b"HEAD")
    if form is Form.HTML:
        body = pages.error_page(code, text, number, cause, name, safe=safe)
    elif form is Form.JSON:
        body = _json(_error_object(code, text, number, cause, name) | dict(refusal.extra or {}))
    else:
        body = _error_text(code, text, number, cause)
    given = {field.lower() for field, _ in refusal.fields}
    defaults = [field for field in _error_fields(number, text) if field[0].lower() not in given]
    more = ((b"Tunnel-Error", code.encode()), *defaults, *refusal.fields)
    waits = text.passes and safe
    policy = pages.WAITING_POLICY if waits else pages.CONTENT_SECURITY_POLICY
    return _answer(number, form, body, more, policy)


def landing_page(landing: Landing, accept: bytes = b"") -> Answer:
    """200 for `/` on the apex: what this is, and how to share an app through it."""
    public_url, token_needed = landing
    share = client_command(public_url, token_needed=token_needed)
    title = "A tunnel service"
    about = (
        f"{public_url} gives a web app on a developer's machine a public URL, for as long as the"
        " developer shares it."
    )
    steps = [
        ("1. Start your app, or any folder of files", "python3 -m http.server 3000"),
        ("2. Share it; the URL is printed", share),
    ]
    footer = "Anybody may share an app here; no token is needed."
    if token_needed:
        footer = "Sharing needs a token. Whoever runs this service makes you one."
    form = preferred_form(accept)
    if form is Form.HTML:
        body = pages.landing(title, about, steps, footer)
    elif form is Form.JSON:
        body = _json({"url": public_url, "share": share, "token_needed": token_needed})
    else:
        lines = [f"{heading}\n\n    {command}\n" for heading, command in steps]
        body = "\n".join([f"{about}\n", *lines, f"{footer}\n"]).encode()
    return _answer(HTTPStatus.OK, form, body, ())


def health(details: HealthDetails | OwnDetails | None = None) -> Answer:
    """200 for `/_tunnel/health`; details only for those who may know them."""
    body = _json({"status": "ok"} | (details._asdict() if details else {}))
    return _answer(HTTPStatus.OK, Form.JSON, body, ())


def certificate_allowed() -> Answer:
    """200 for `/_tunnel/tls-check`."""
    return _answer(HTTPStatus.OK, Form.JSON, _json({"status": "ok"}), ())


def ready(details: HealthDetails | OwnDetails | None = None, *, draining: bool) -> Answer:
    """The same for `/_tunnel/ready`, but 503 once the server takes nothing new."""
    if not draining:
        return health(details)
    body = _json({"status": "draining"} | (details._asdict() if details else {}))
    text = ERRORS["draining"]
    status = HTTPStatus(STATUSES["draining"])
    fields = ((b"Tunnel-Error", b"draining"), *_error_fields(status, text))
    return _answer(status, Form.JSON, body, fields)


def _answer(
    status: HTTPStatus,
    form: Form,
    body: bytes,
    more: Fields,
    policy: bytes = pages.CONTENT_SECURITY_POLICY,
) -> Answer:
    fields = [
        (b"Content-Type", form.value),
        (b"Content-Length", b"%d" % len(body)),
        (b"Cache-Control", b"no-store"),
        (b"X-Content-Type-Options", b"nosniff"),
    ]
    if form is Form.HTML:
        fields.append((b"Content-Security-Policy", policy))
    return Answer(status.value, status.phrase.encode("ascii"), (*fields, *more), body)


def _error_fields(status: HTTPStatus, text: ErrorText) -> Fields:
    """Return what a status wants beside it: RFC 9110, 10.2.3, 11.6.1, 15.5.22; RFC 6455, 4.4."""
    if status is HTTPStatus.UNAUTHORIZED:
        return ((b"WWW-Authenticate", b'Bearer realm="tunnel"'),)
    if status is HTTPStatus.UPGRADE_REQUIRED:
        upgrade = ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"))
        return (*upgrade, (b"Sec-WebSocket-Version", b"13"))
    if text.retry_after_s is not None:
        return ((b"Retry-After", b"%d" % text.retry_after_s),)
    return ()


def _error_object(
    code: str, text: ErrorText, status: HTTPStatus, cause: str, name: str
) -> dict[str, object]:
    found: dict[str, object] = {
        "error": code,
        "status": status.value,
        "title": text.title,
        "cause": cause,
        "side": text.side.word,
        "next": text.next_step,
    }
    if text.owner_step:
        found["next_for_owner"] = text.owner_step
    if name:
        found["tunnel"] = name
    return found


def _error_text(code: str, text: ErrorText, status: HTTPStatus, cause: str) -> bytes:
    lines = [
        f"{status.value} {text.title} ({code})",
        "",
        f"What happened:  {cause}",
        f"Whose side:     {text.side.words}",
        f"What to do:     {text.next_step}",
    ]
    if text.owner_step:
        lines.append(f"                {text.owner_step}")
    return "\n".join([*lines, ""]).encode("utf-8", "replace")


def _json(members: Mapping[str, object]) -> bytes:
    return json.dumps(members).encode("ascii")


def _clean(detail: str) -> str:
    """The detail on one line, without what could move a terminal's cursor, and cut to a length."""
    words = "".join(char if char.isprintable() else " " for char in detail[:2000]).split()
    line = " ".join(words)
    return line if len(line) <= MAX_CAUSE_LENGTH else line[: MAX_CAUSE_LENGTH - 3] + "..."
