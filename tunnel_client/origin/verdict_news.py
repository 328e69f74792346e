"""News of verdicts: the event of each, and hints, of which a developer has each kind once."""

from __future__ import annotations

from protocol.http.fields import values_of
from protocol.mux.messages import Open
from protocol.program.observing import Sink
from tunnel_client.identity import hints
from tunnel_client.identity.inquiry import Inquiry
from tunnel_client.identity.own_urls import spelled
from tunnel_client.identity.verdicts import origin_of
from tunnel_client.observing.events import IdentityChosen


class VerdictNews:
    """Tells a sink.

    Args:
        sink: is told each verdict, and what else is new about it.
    """

    def __init__(self, sink: Sink[IdentityChosen]) -> None:
        self._sink = sink
        self._hinted: set[str] = set()  # hints, and the modes of which there was one

    def __repr__(self) -> str:
        return f"<VerdictNews {len(self._hinted)} said>"

    def has_said(self, hint: str) -> bool:
        """Whether the developer has had this hint already."""
        return hint in self._hinted

    def concluded(self, inquiry: Inquiry) -> None:
        """An inquiry has its verdict."""
        assert inquiry.verdict is not None
        mode, path, reason, asks, hint, _ = inquiry.verdict
        if mode == "public" and inquiry.start != b"/":
            hint = hints.RELOAD
        elif hint is not None:
            hint = self._once("local", hint)
        self._sink.tell(IdentityChosen(mode, path, reason, asks, inquiry.origins.public, hint))

    def refused(self, opened: Open, status: int) -> None:
        """An app that is asked by its public name has refused a request, perhaps of its own page.

        One that takes Origins from a list of its own may have taken those on localhost.
        """
        origin = origin_of(opened)
        if origin not in (
            spelled(v).decode("latin-1") for v in values_of(opened.fields, b"origin")
        ):
            return
        path = opened.target.partition(b"?")[0]
        hint = self._once("public", hints.refused_post(opened.method, path, status))
        if hint is not None:
            reason = "a request with its public Origin was refused"
            self._sink.tell(IdentityChosen("public", path, reason, 0, origin, hint))

    def _once(self, kind: str, hint: str) -> str | None:
        """One hint of a kind is help; the next are noise."""
        if kind in self._hinted:
            return None
        self._hinted |= {kind, hint}
        return hint
