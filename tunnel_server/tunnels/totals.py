"""The counts over all sessions of a server, for whoever runs it."""

from __future__ import annotations

from tunnel_server.answers.answer import HealthDetails
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
