"""Takes what a client says beside its streams: that it claims names, releases them, or leaves."""

from __future__ import annotations

import logging
from functools import partial

from protocol.drivers.session import Session, SessionEvent
from protocol.mux.events import ClaimAsked, GoingAway, Released
from protocol.mux.messages import Claim, Claimed, Refused
from protocol.names import is_legal_name
from tunnel_server.owners.ownership import short_owner
from tunnel_server.tunnels.directory import Directory

log = logging.getLogger(__name__)


def take_event(directory: Directory, session: Session, event: SessionEvent) -> None:
    """Take what a client says beside its streams; called in the session's reader."""
    if isinstance(event, ClaimAsked):
        directory.gate.answer(session, partial(_answer, directory, session, event.claim))
    elif isinstance(event, GoingAway):
        directory.gate.leave(session)  # what it has asked for it does not want any more
        directory.release(session)
        directory.leaving.add(session)
        if not session.core.control.server_stops:  # the newest holds, and would take that back
            session.goaway("no-error", "nothing more will be opened", 0)
    elif isinstance(event, Released):
        directory.release(session, event.release.claim)


def _answer(directory: Directory, session: Session, claim: Claim) -> None:
    """Answer a claim, which may have waited at the gate: a resume meanwhile asks it again."""
    if not session.core.control.awaits_answer(claim):
        return
    login = directory.sessions[session]
    if not directory.is_allowed(login):
        session.close("its token is not valid any more")
        return
    if session.core.control.peer_leaving is not None:  # a resume repeats both, in this order
        answer: Claimed | Refused = Refused(claim.claim, "draining", "this client stops")
    else:
        answer = directory.claim(session, claim)
    session.answer_claim(answer)
    said_of = session.log.by(log)
    if isinstance(answer, Refused) and answer.code == "name-released":
        said_of.info("%s, by %s", answer.message, short_owner(login.owner))
    elif isinstance(answer, Refused):
        what = _told_of(directory, claim)
        said_of.info("claim of %s refused: %s%s", short_owner(login.owner), answer.code, what)
    else:
        said_of.info("%s is online, of %s", answer.name, short_owner(login.owner))


def _told_of(directory: Directory, claim: Claim) -> str:
    """The owner of a name that was refused, for the log: the client is not told."""
    owner = directory.owner_of(claim.name) if is_legal_name(claim.name) else None
    return f" ({claim.name} is {short_owner(owner)}'s)" if owner is not None else ""
