"""Questions to the app as whom it is to be asked, and its answers, as the rule sees them."""

from __future__ import annotations

from typing import NamedTuple

from tunnel_client.settings.values import Mode


class AppQuestion(NamedTuple):
    """A GET to send to the app.

    Fields:
        target: path and query.
        mode: as whom it is asked.
        by_page: as a script of the app's own page asks: with Origin, and Sec-Fetch-Site.
        names_visitor: with X-Forwarded-For, as all that visitors ask.
    """

    target: bytes
    mode: Mode
    by_page: bool = False
    names_visitor: bool = True


class AppAnswer(NamedTuple):
    """An answer of the app.

    Fields:
        media_type: of Content-Type, in lower case and without parameters.
        location: the value of Location; empty if there is none.
        links: the values of Link and Refresh.
        body: the first MiB.
    """

    status: int
    media_type: bytes
    location: bytes = b""
    links: bytes = b""
    body: bytes = b""

    @property
    def kind(self) -> tuple[int, bytes]:
        return self.status, self.media_type

    @property
    def is_redirect(self) -> bool:
        return 300 <= self.status < 400 and bool(self.location)

    @property
    def text(self) -> bytes:
        """All in which an origin may stand."""
        return b"\n".join((self.body, self.location, self.links))
