"""The counts over all sessions of a server, for whoever runs it."""

from __future__ import annotations

from collections.abc import Mapping

from protocol.drivers.session import Session
from tunnel_server.answers.answer import HealthDetails
from tunnel_server.owners.share_counts import Counted
from tunnel_server.owners.tokens import fingerprint_of
from tunnel_server.tunnels.directory import Directory, Login


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


def sessions(directory: Directory) -> list[dict[str, object]]:
    """Say of each session whose it is, by which token, from where, and what it carries."""
    return sorted(
        (_session(directory, session, login) for session, login in directory.sessions.items()),
        key=lambda each: (str(each["owner"]), str(each["address"])),
    )


def _session(directory: Directory, session: Session, login: Login) -> dict[str, object]:
    right = directory.right_of(login)
    return {
        "owner": login.owner,
        "token": right.token or None,
        "fingerprint": None if login.digest is None else fingerprint_of(login.digest),
        "address": login.address or None,
        "names": directory.registry.names_of(session),
        "connected": session.attached,
        "requests": len(session.core.streams),
    }


def shares(directory: Directory) -> Mapping[str, Counted]:
    """The shares of owners and addresses in what all sessions have, by their names in JSON."""
    return {
        "session_connections": directory.clients,
        "held_sessions": directory.resumes.share,
        "parked_requests": directory.parking.share,
        "memory_bytes": directory.memory,
    }
