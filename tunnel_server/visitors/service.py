"""The service's own addresses: the landing page, health, and whether a host gets a certificate."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from protocol.http.heads import RequestHead
from tunnel_server.answers.answer import (
    NAMES_LISTED_MAX,
    Answer,
    HealthDetails,
    Landing,
    OwnDetails,
    health,
    ready,
)
from tunnel_server.answers.refusal import Refusal, method_not_allowed
from tunnel_server.owners.tokens import authorization_of
from tunnel_server.tunnels.directory import Directory, Login
from tunnel_server.tunnels.totals import totals
from tunnel_server.visitors.edge import Edge
from tunnel_server.visitors.tls_check import tls_check

_HEALTH: Final = b"/_tunnel/health"
_READY: Final = b"/_tunnel/ready"
_TLS_CHECK: Final = b"/_tunnel/tls-check"


def service_answer(edge: Edge, head: RequestHead) -> Refusal | Landing | Answer:
    """Return what a request to the service's own host is answered with."""
    directory = edge.directory
    path, _, query = head.target.partition(b"?")
    if head.method not in (b"GET", b"HEAD"):
        return method_not_allowed(b"GET, HEAD")
    if path == b"/":
        return Landing(edge.public_url, edge.config.authentication_required)
    if path == _HEALTH:
        return health(health_details(directory, authorization_of(head)))
    if path == _READY:
        details = health_details(directory, authorization_of(head))
        return ready(details, draining=directory.draining)
    if path == _TLS_CHECK:
        return tls_check(directory, query)
    return Refusal("tunnel-not-found", "This address is not one of the service.")


def health_details(
    directory: Directory, authorization: bytes | None
) -> HealthDetails | OwnDetails | None:
    """The totals where this machine alone can ask, to an owner its own, to strangers nothing."""
    config = directory.config
    if config.public_by is None and not config.authentication_required:
        return totals(directory)
    login = directory.login_of(authorization)
    return None if login is None else _own(directory, login)


def _own(directory: Directory, login: Login) -> OwnDetails:
    owner, right = login.owner, directory.right_of(login)
    names = sorted(directory.registry.first_of(owner, NAMES_LISTED_MAX))
    more = directory.registry.count_of(owner) - len(names)
    sessions = directory.sessions.count_of(owner)
    return OwnDetails(
        *(directory.version, owner, sessions, tuple(names), more),
        *(right.token or None, right.names, _utc(right.expires_at)),
    )


def _utc(at: int | None) -> str | None:
    """Seconds since the epoch as `2026-01-31T10:24:03Z`."""
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
