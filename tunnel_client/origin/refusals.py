"""The app refuses requests for what a tunnel makes of them: said once, with the flag that helps.

Nothing here is for certain. A 400 to every request may be the app's own, and a bad signature a bad
signature; so each is a line in the terminal, once in a run, and no request is treated differently.
"""

from __future__ import annotations

import logging
from typing import Final

from protocol.http.fields import values_of
from protocol.http.heads import end_to_end
from protocol.mux.messages import Open
from tunnel_client.identity.hints import REFUSES_FORWARDED
from tunnel_client.identity.rewriting import Identity
from tunnel_client.identity.signatures import signed_by
from tunnel_client.origin.choosing import IdentityChooser
from tunnel_client.origin.visitor_stream import VisitorStream

log = logging.getLogger(__name__)

REFUSED: Final = frozenset({400, 401, 403})
"""The statuses that may be a refusal of what the tunnel adds or changes."""

# One may be a scanner's nonsense, two a browser's page and its icon.
ANSWERS: Final = 3

_FORWARDED: Final = (
    "the app has answered 400 to everything so far, and each request had X-Forwarded-For, which"
    " says who the visitor is. Some apps refuse it from a proxy that they do not know, as Home"
    " Assistant does: have the app trust this machine as a proxy, or use"
    " --request-header-remove X-Forwarded-For (docs/dev-servers.md)"
)
_SIGNED: Final = (
    "a request that is signed (%s) was answered %d: a signature is of the address that visitors"
    " use, %s://%s, and the app is asked as %s. --identity public shows it that address; where Host"
    " alone is signed --host-header %s will do (docs/dev-servers.md)"
)


class Refusals:
    """Looks at the answers of one run of the program.

    Args:
        chooser: may have said the same of the app; None: it is not asked.

    Attributes:
        settled_life: the life of the app in which no more is to be learnt from answers that are no
            refusals; None at first.
    """

    def __init__(self, chooser: IdentityChooser | None = None) -> None:
        self.settled_life: int | None = None
        self._chooser = chooser
        self._life = 0  # the app's, that is counted
        self._bad_requests = 0  # answers of this life, each of them a 400
        self._told_of_forwarded = False
        self._told_of_signature = False

    def __repr__(self) -> str:
        return f"<Refusals {self._bad_requests} of life {self._life}, settled {self.settled_life}>"

    def answered(
        self, stream: VisitorStream, status: int | None, life: int, identity: Identity
    ) -> None:
        """Take the status of an answer, or None where there was none.

        Args:
            stream: the request's.
            life: the app's, as a dialer counts them.
            identity: how it was asked.
        """
        if status is None or not stream.opened.fields:
            return  # of a request that was reset the fields are kept no longer
        if status != 400:
            if status in REFUSED:
                self._look_for_signature(stream, status, identity)
            self.settled_life = life
        elif life != self.settled_life:
            self._count(stream, life, identity)

    def _count(self, stream: VisitorStream, life: int, identity: Identity) -> None:
        if life != self._life:
            self._life, self._bad_requests = life, 0
        if not _tells_address(stream.opened, identity):
            self.settled_life = life
            return
        self._bad_requests += 1
        if self._bad_requests == ANSWERS:
            self.settled_life = life
            if not (self._told_of_forwarded or self._is_said_by_chooser()):
                self._told_of_forwarded = True
                stream.log_by(log).warning(_FORWARDED)

    def _is_said_by_chooser(self) -> bool:
        return self._chooser is not None and self._chooser.has_said(REFUSES_FORWARDED)

    def _look_for_signature(self, stream: VisitorStream, status: int, identity: Identity) -> None:
        opened = stream.opened
        if self._told_of_signature or not identity.asks_as_itself:
            return
        by = signed_by(opened.target, opened.fields)
        if by is not None:
            self._told_of_signature = True
            public = (opened.scheme, opened.host)
            own = identity.own_origin
            stream.log_by(log).warning(_SIGNED, by, status, *public, own, opened.host)


def _tells_address(opened: Open, identity: Identity) -> bool:
    """Whether the app got X-Forwarded-For: a flag may take it away."""
    asked, _ = identity.asked(opened, end_to_end(opened.fields))
    return bool(values_of(asked, b"x-forwarded-for"))
