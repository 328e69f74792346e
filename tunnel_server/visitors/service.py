"""The service's own addresses: the landing page, health, and whether a host gets a certificate."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from protocol.http.heads import RequestHead
from tunnel_server.answers.answer import (
    Answer,
    HealthDetails,
    error_answer,
    health,
    landing_page,
    method_not_allowed,
    offline_answer,
    ready,
)
from tunnel_server.answers.negotiation import accept_of
from tunnel_server.owners.tokens import authorization_of
from tunnel_server.tunnels.directory import Directory
from tunnel_server.visitors.edge import Edge
from tunnel_server.visitors.tls_check import tls_check

_HEALTH: Final = b"/_tunnel/health"
_READY: Final = b"/_tunnel/ready"
_TLS_CHECK: Final = b"/_tunnel/tls-check"


def service_answer(edge: Edge, head: RequestHead) -> Answer:
    """The answer for a request to the service's own host."""
    directory = edge.directory
    path, _, query = head.target.partition(b"?")
    accept = accept_of(head)
    if head.method not in (b"GET", b"HEAD"):
        return method_not_allowed(b"GET, HEAD", accept)
    if path == b"/":
        needed = edge.config.authentication_required
        return landing_page(edge.public_url, accept, token_needed=needed)
    if path == _HEALTH:
        return health(health_details(directory, authorization_of(head)))
    if path == _READY:
        details = health_details(directory, authorization_of(head))
        return ready(details, draining=directory.draining)
    if path == _TLS_CHECK:
        return tls_check(directory, query, accept)
    return error_answer("tunnel-not-found", "This address is not one of the service.", accept)


def health_details(directory: Directory, authorization: bytes | None) -> HealthDetails | None:
    """The details of health, for those who may know them."""
    may_know = not directory.config.authentication_required
    if not may_know and (authorization is None or directory.owner_of(authorization) is None):
        return None
    cores = [session.core for session in directory.sessions]
    return HealthDetails(
        directory.version,
        len(cores),
        sum(len(core.streams) for core in cores),
        sum(core.sent.unacked_bytes for core in cores),
        len(directory.resumes.held()),
        directory.parking.count,
    )


def missing(directory: Directory, name: str, accept: bytes, method: bytes = b"GET") -> Answer:
    """The answer for a tunnel that nobody holds."""
    left_at = directory.registry.left_at(name)
    if left_at is None:
        return error_answer("tunnel-not-found", "", accept, name=name)
    since = datetime.fromtimestamp(left_at, UTC)
    return offline_answer(name, since, datetime.now(UTC), accept, method=method)
