"""The host that the app takes itself for: its own origin, or the public one.

A dev server answers only to itself: it looks at Host, and at Origin beside it. With `local` every
request reaches the app as if a browser on this machine had asked it, and what the app says about
its own address is translated back. With `public` nothing of that is touched, and the app is told
everything about the visitor: for apps that know how to live behind a proxy.

A mixture of the two is what breaks apps. X-Forwarded-Host, -Proto and -Port are public facts, so
with `local` no request carries them: Rails refuses a Host that it does not know there too, and Next
refuses a Server Action whose Origin is not X-Forwarded-Host.

An Origin or Referer of anybody else is never touched, so that the app's own protection against
foreign pages works as it does without a tunnel. docs/identity.md has the table.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from protocol.http.fields import Fields, values_of
from protocol.mux.messages import Open
from protocol.names import MAX_HOST_LENGTH
from tunnel_client.identity.own_urls import OwnUrls, ToOwn, ToPublic, spelled
from tunnel_client.identity.signatures import signed_by
from tunnel_client.identity.url_fields import ANSWERED, ASKED, HeadRoom
from tunnel_client.settings.header_edits import NO_EDITS, HeaderEdits
from tunnel_client.settings.target import Target
from tunnel_client.settings.values import Mode

_PUBLIC_FACTS: Final = frozenset(
    {b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port", b"forwarded"}
)
_ASKED_NAMES: Final = _PUBLIC_FACTS.union(ASKED, {b"host", b"origin"})
_ALLOWED_ORIGIN: Final = b"access-control-allow-origin"
_ANSWER_NAMES: Final = frozenset(ANSWERED) | {_ALLOWED_ORIGIN}
# What a signature may cover, and no app looks at beside it (MinIO and its likes know no WebDAV).
_KEPT_SIGNED: Final = frozenset({b"destination", b"if"})


class Visited(NamedTuple):
    """The public origin that one request is for."""

    origin: bytes  # as browsers spell it; b"": there is none, and nothing is translated
    origin_rewritten: bool = False  # the request's Origin was this one, and became the app's own


class Identity:
    """Changes the end-to-end fields of requests and answers, as the mode and the person want it.

    Args:
        target: the app.
        mode: whether the app's own origin stands in for the public one.
        host: the value of Host in either mode, and the app's own host; None: as the mode has it.
        request_edits: made last, in what the app gets.
        answer_edits: made last, in the final head of what the visitor gets.
    """

    def __init__(
        self,
        target: Target,
        mode: Mode = "local",
        host: str | None = None,
        *,
        request_edits: HeaderEdits = NO_EDITS,
        answer_edits: HeaderEdits = NO_EDITS,
    ) -> None:
        self._mode = mode
        self._request_edits = request_edits
        self._answer_edits = answer_edits
        self._urls = OwnUrls(target, host)
        if host is None and mode == "local":
            host = target.authority
        self._host = None if host is None else host.encode("ascii")

    def __repr__(self) -> str:
        return f"<Identity {self._mode} {self._urls.origin.decode()}>"

    @property
    def asks_as_itself(self) -> bool:
        """Whether the app's own origin stands in for the public one."""
        return self._mode == "local"

    @property
    def own_origin(self) -> str:
        """The app's."""
        return self._urls.origin.decode("ascii")

    def asked(self, opened: Open, fields: Fields) -> tuple[Fields, Visited]:
        """Return the fields of a request that the app gets, and the part that `answered` needs.

        Args:
            opened: the request.
            fields: its end-to-end fields.
        """
        visited = visited_origin(opened)
        if self._mode == "public":
            asked: Fields = (*self._with_host(fields), forwarded(opened, fields))
        else:
            asked, visited = self._as_own(opened, fields, visited)
        return self._request_edits.apply(asked), visited

    def answered(self, fields: Fields, visited: Visited, *, final: bool) -> Fields:
        """Return the fields of an answer that the visitor gets.

        Args:
            final: it is no informational one.
        """
        if self._mode == "local":
            fields = self._as_public(fields, visited)
        return self._answer_edits.apply(fields) if final else fields

    # --- requests ---

    def _as_own(self, opened: Open, fields: Fields, visited: Visited) -> tuple[Fields, Visited]:
        asked = []
        rewritten = False
        room: HeadRoom | None = None
        for field in fields:
            lower = field[0].lower()
            if lower in _ASKED_NAMES:
                if lower in _PUBLIC_FACTS:
                    continue
                if lower in ASKED:
                    room = room or HeadRoom(fields)
                    value = self._asked_urls(lower, field[1], opened, visited, room)
                else:
                    value = self._asked_value(lower, field[1], visited)
                rewritten = rewritten or (lower == b"origin" and value is not field[1])
                field = (field[0], value)
            asked.append(field)
        return tuple(asked), visited._replace(origin_rewritten=True) if rewritten else visited

    def _asked_value(self, lower: bytes, value: bytes, visited: Visited) -> bytes:
        """That of Host or Origin; the very same object where nothing changes."""
        if lower == b"host":
            return value if self._host is None else self._host
        return self._urls.origin if spelled(value) == visited.origin != b"" else value

    def _asked_urls(
        self, lower: bytes, value: bytes, opened: Open, visited: Visited, room: HeadRoom
    ) -> bytes:
        """Likewise that of a field that holds URLs."""
        if not visited.origin:
            return value
        if lower in _KEPT_SIGNED and signed_by(opened.target, opened.fields):
            return value
        return room.translated(ASKED[lower], value, ToOwn(self._urls, visited.origin))

    def _with_host(self, fields: Fields) -> Fields:
        if self._host is None:
            return fields
        host = self._host
        return tuple([(n, host) if n.lower() == b"host" else (n, v) for n, v in fields])

    # --- answers ---

    def _as_public(self, fields: Fields, visited: Visited) -> Fields:
        names = [name.lower() for name, _ in fields]
        if _ANSWER_NAMES.isdisjoint(names) or not visited.origin:
            return fields
        room = HeadRoom(fields)
        answered = []
        to = ToPublic(self._urls, visited.origin)
        for lower, field in zip(names, fields, strict=True):
            if lower in ANSWERED:
                field = (field[0], room.translated(ANSWERED[lower], field[1], to))
            elif lower == _ALLOWED_ORIGIN:
                field = (field[0], self._allowed_origin(field[1], visited))
            answered.append(field)
        return tuple(answered)

    def _allowed_origin(self, value: bytes, visited: Visited) -> bytes:
        asked_as_own = visited.origin_rewritten and spelled(value) == self._urls.origin
        return visited.origin if asked_as_own else value


def visited_origin(opened: Open) -> Visited:
    """The public origin of a request. The server spells it as browsers do.

    There is none where its host is longer than any can be, since each URL would become as long.
    """
    if len(opened.host) > MAX_HOST_LENGTH:
        return Visited(b"")
    origin = f"{opened.scheme}://{opened.host}"
    return Visited(origin.encode("ascii", "backslashreplace"))


def forwarded(opened: Open, fields: Fields) -> tuple[bytes, bytes]:
    """The Forwarded field (RFC 7239) that says what the X-Forwarded ones say.

    One element for each address on the way; the first, next to the visitor, has what was asked.
    What a trusted proxy said in a Forwarded of its own stands for all but the last address.
    """
    chain = [node for value in values_of(fields, b"x-forwarded-for") for node in value.split(b",")]
    nodes = [_node(node.strip(b" \t")) for node in chain]
    said = values_of(fields, b"forwarded")
    if said:
        return b"Forwarded", b", ".join([*said, *nodes[-1:]])
    facts = f';host="{opened.host}";proto={opened.scheme}'.encode("ascii", "backslashreplace")
    first, *others = nodes or [b"for=unknown"]
    return b"Forwarded", b", ".join([first + facts, *others])


def _node(address: bytes) -> bytes:
    """An address as RFC 7239 6 writes it: IPv6 in brackets, and then in quotes."""
    return b'for="[%b]"' % address if b":" in address else b"for=%b" % address
