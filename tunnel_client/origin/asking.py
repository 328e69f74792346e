"""Questions that the client asks the app by itself: one GET each, on a connection of its own.

A question is made as the server and the client make a visitor's request, by the same functions, so
that the app is asked exactly as either identity would ask it, with the person's header edits. It
has no cookies and nothing that a visitor sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from protocol.errors import HttpError, NoHttpError
from protocol.http.bodies import body_reader
from protocol.http.fields import Fields, values_of
from protocol.http.forwarding import with_forwarding
from protocol.http.heads import ResponseHead, parse_response
from protocol.http.lenient import LenientChunkedBody, parse_lenient_response
from protocol.http.serialise import request_head
from protocol.limits import INFORMATIONAL_HEADS_MAX
from protocol.mux.messages import Open
from tunnel_client.identity.questions import AppAnswer, AppQuestion
from tunnel_client.identity.rewriting import Identity
from tunnel_client.origin.connection import OriginClosed, OriginConnection
from tunnel_client.origin.dial import OriginStream
from tunnel_client.origin.no_http import first_bytes
from tunnel_client.settings.addresses import DEFAULT_PORTS, SCHEMES
from tunnel_client.settings.values import Mode

BODY_MAX_BYTES: Final = 1 << 20  # links stand in the first part of a page
CLOSE_S: Final = 1.0

# RFC 5737: an address that is nobody's. Where apps judge by the visitor's, this is a stranger.
VISITOR: Final = "192.0.2.1"
# They end only when their reader goes.
_ENDLESS: Final = frozenset({b"text/event-stream", b"multipart/x-mixed-replace"})
_BY_PAGE: Final = ((b"Sec-Fetch-Site", b"same-origin"), (b"Sec-Fetch-Mode", b"cors"))


class Asker:
    """Asks one app.

    Args:
        connect: makes a connection at once, or raises OriginRefused.
        identities: the app as itself and by its public name.
        agent: the value of User-Agent.

    Attributes:
        first_bytes: what came in the place of the last answer, if that was no HTTP.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[OriginStream]],
        identities: dict[Mode, Identity],
        agent: str,
    ) -> None:
        self.first_bytes = b""
        self._connect = connect
        self._identities = identities
        self._agent = agent.encode("ascii", "replace")

    def __repr__(self) -> str:
        return f"<Asker {self._identities['local']!r}>"

    async def ask(self, question: AppQuestion, public: str) -> AppAnswer:
        """Ask, and read the answer's head and at most a MiB of its body.

        When cancelled, the connection is closed.

        Args:
            public: the public origin.

        Raises:
            OriginRefused, OriginClosed: there is no connection, or it broke.
            HttpError: the answer is no HTTP; NoHttpError: not even its beginning is.
        """
        head = self.head(question, public)
        connection = OriginConnection(await self._connect())
        try:
            await connection.send(head)
            answer = await _read_head(connection)
            body = await _read_body(connection, answer)
        except NoHttpError:
            self.first_bytes = await first_bytes(connection)
            raise
        finally:
            with trio.move_on_after(CLOSE_S, shield=True):
                await connection.aclose(CLOSE_S)
        return _answer(answer, body)

    def head(self, question: AppQuestion, public: str) -> bytes:
        """Return the request. Raises HttpError: the app's own link is no legal target."""
        opened = _opened(question, public, self._agent)
        asked, _ = self._identities[question.mode].asked(opened, opened.fields)
        if not question.names_visitor:
            asked = tuple(field for field in asked if field[0].lower() != b"x-forwarded-for")
        return request_head(b"GET", question.target, asked, body=None)


def _opened(question: AppQuestion, public: str, agent: bytes) -> Open:
    """The request as a server would send it, had a visitor asked."""
    scheme, _, host = public.partition("://")
    fields: Fields = (
        (b"Host", host.encode("ascii")),
        (b"Accept", b"text/html"),
        (b"Accept-Encoding", b"identity"),
        (b"User-Agent", agent),
    )
    if question.by_page:
        fields += ((b"Origin", public.encode("ascii")), *_BY_PAGE)
    said = host.rpartition(":")[2]
    port = int(said) if said.isdigit() else DEFAULT_PORTS[SCHEMES[scheme]]
    fields = with_forwarding(
        fields, visitor=VISITOR, scheme=scheme, host=host, port=port, trusted=False
    )
    return Open(
        *("http", 0, b"GET", question.target, b"1.1", fields, None),
        *(scheme, host, VISITOR, 0),
    )


async def _read_head(connection: OriginConnection) -> ResponseHead:
    """The final head."""
    informational = 0
    while informational <= INFORMATIONAL_HEADS_MAX:  # a visitor gets no more of them either
        raw = connection.answers.next_head()
        if raw is None:
            data = await connection.receive()
            if not data:
                raise OriginClosed
            connection.answers.feed(data)
        else:
            answer = _parsed(raw)
            if answer.status >= 200:
                return answer
            informational += 1
    raise HttpError("head-too-large", "too many informational heads")


def _parsed(raw: bytes) -> ResponseHead:
    """The head as visitors' requests would have it read."""
    try:
        return parse_response(raw, b"GET")
    except HttpError as refusal:
        return parse_lenient_response(raw, b"GET", refusal)


async def _read_body(connection: OriginConnection, answer: ResponseHead) -> bytes:
    """Return what has come of the body at its end, or when it is a MiB."""
    if answer.body is None or _media_type(answer.fields) in _ENDLESS:
        return b""
    reader = body_reader(answer.body, LenientChunkedBody)
    body = reader.feed(connection.answers.take_rest())
    while not reader.done and len(body) < BODY_MAX_BYTES:
        data = await connection.receive()
        if not data:
            reader.eof()  # HttpError, unless that was the end
            break
        body += reader.feed(data)
    return body[:BODY_MAX_BYTES]


def _answer(answer: ResponseHead, body: bytes) -> AppAnswer:
    fields = answer.fields
    links = b"\n".join((*values_of(fields, b"link"), *values_of(fields, b"refresh")))
    location = b"".join(values_of(fields, b"location")[:1])
    return AppAnswer(answer.status, _media_type(fields), location, links, body)


def _media_type(fields: Fields) -> bytes:
    value = b"".join(values_of(fields, b"content-type")[:1])
    return value.partition(b";")[0].strip(b" \t").lower()
