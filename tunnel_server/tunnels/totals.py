"""The counts over all sessions of a server, for whoever runs it."""

from __future__ import annotations

from collections.abc import Mapping

from tunnel_server.answers.answer import HealthDetails
from tunnel_server.owners.share_counts import Counted
from tunnel_server.tunnels.directory import Directory


def totals(directory: Directory) -> HealthDetails:
    """Count what there is now."""
    cores = [session.core for session in directory.sessions]
    return HealthDetails(
        directory.version,
        len(cores),
        sum(len(core.streams) for core in cores),
        sum(core.sent.unacked_bytes for core in cores),
        len(directory.resumes.held()),
        directory.parking.count,
    )


def shares(directory: Directory) -> Mapping[str, Counted]:
    """The shares of owners and addresses in what all sessions have, by their names in JSON."""
    return {
        "session_connections": directory.clients,
        "held_sessions": directory.resumes.share,
        "parked_requests": directory.parking.share,
        "memory_bytes": directory.memory,
    }
