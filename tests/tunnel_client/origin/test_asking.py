from __future__ import annotations

import pytest

from protocol.errors import HttpError
from protocol.limits import INFORMATIONAL_HEADS_MAX
from tests.asked_apps import a_talking_app, page
from tunnel_client.identity.questions import AppAnswer, AppQuestion
from tunnel_client.identity.rewriting import Identity
from tunnel_client.origin.asking import BODY_MAX_BYTES, Asker
from tunnel_client.origin.connection import OriginClosed
from tunnel_client.origin.dial import Dialer, OriginDown
from tunnel_client.settings.header_edits import NO_EDITS, HeaderEdits
from tunnel_client.settings.target import Target

PUBLIC = "https://demo.example:8443"
FIRST = AppQuestion(b"/", "local")


def an_asker(target: Target, edits: HeaderEdits = NO_EDITS) -> Asker:
    local = Identity(target, "local", request_edits=edits)
    public = Identity(target, "public", request_edits=edits)
    return Asker(Dialer(target).open, {"local": local, "public": public}, "an-agent/1")


async def answer_of(raw: bytes) -> AppAnswer:
    async with a_talking_app(lambda head: raw) as app:
        return await an_asker(app.target).ask(FIRST, PUBLIC)


def head(question: AppQuestion, edits: HeaderEdits = NO_EDITS) -> list[bytes]:
    lines = an_asker(Target.parse("3000"), edits).head(question, PUBLIC).split(b"\r\n")
    assert lines[-2:] == [b"", b""]
    return lines[:-2]


OURS = [b"Accept: text/html", b"Accept-Encoding: identity", b"User-Agent: an-agent/1"]
FROM_PAGE = [b"Sec-Fetch-Site: same-origin", b"Sec-Fetch-Mode: cors"]
FACTS = [
    b"X-Forwarded-Host: demo.example:8443",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Port: 8443",
    b"Tunnel-Hops: 1",
    b'Forwarded: for=192.0.2.1;host="demo.example:8443";proto=https',
]


@pytest.mark.parametrize(
    ("question", "lines"),
    [
        (
            AppQuestion(b"/", "local"),
            [b"Host: localhost:3000", *OURS, b"X-Forwarded-For: 192.0.2.1", b"Tunnel-Hops: 1"],
        ),
        (
            AppQuestion(b"/a?b", "public"),
            [b"Host: demo.example:8443", *OURS, b"X-Forwarded-For: 192.0.2.1", *FACTS],
        ),
        (
            AppQuestion(b"/", "local", by_page=True),
            [
                *(b"Host: localhost:3000", *OURS, b"Origin: http://localhost:3000", *FROM_PAGE),
                *(b"X-Forwarded-For: 192.0.2.1", b"Tunnel-Hops: 1"),
            ],
        ),
        (
            AppQuestion(b"/", "public", by_page=True),
            [
                *(b"Host: demo.example:8443", *OURS, b"Origin: " + PUBLIC.encode(), *FROM_PAGE),
                *(b"X-Forwarded-For: 192.0.2.1", *FACTS),
            ],
        ),
        (
            AppQuestion(b"/", "local", names_visitor=False),
            [b"Host: localhost:3000", *OURS, b"Tunnel-Hops: 1"],
        ),
    ],
)
def test_a_question_has_what_a_visitors_request_has_in_that_identity_and_no_cookie(
    question: AppQuestion, lines: list[bytes]
) -> None:
    assert head(question) == [b"GET " + question.target + b" HTTP/1.1", *lines]


def test_the_persons_header_edits_are_made_in_questions_too() -> None:
    edits = HeaderEdits(((b"X-Key", b"secret"),), frozenset({b"x-forwarded-for"}))
    lines = head(FIRST, edits)
    assert lines[-1] == b"X-Key: secret"
    assert not [line for line in lines if line.startswith(b"X-Forwarded-For")]


async def test_an_answer_is_its_status_type_links_and_body() -> None:
    raw = page(b"<p>", 302, b"Location: /a\r\nLink: <b>\r\nRefresh: 5; url=c\r\nLink: <d>\r\n")
    assert await answer_of(raw) == AppAnswer(
        302, b"text/html", b"/a", b"<b>\n<d>\n5; url=c", b"<p>"
    )


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (
            b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            b"abc",
        ),
        (b"HTTP/1.1 200 x\r\n\r\nabc", b"abc"),
        (b"HTTP/1.0 200 x\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 x\nContent-Length: 3\n\nabc", b"abc"),
        (b"HTTP/1.1 204 x\r\n\r\n", b""),
        (b"HTTP/1.1 103 x\r\nLink: <a>\r\n\r\nHTTP/1.1 200 x\r\nContent-Length: 1\r\n\r\na", b"a"),
    ],
)
async def test_every_framing_is_read(raw: bytes, body: bytes) -> None:
    assert (await answer_of(raw)).body == body


@pytest.mark.parametrize("size", [BODY_MAX_BYTES, BODY_MAX_BYTES + 1])
async def test_a_mib_of_a_body_is_read_and_no_more(size: int) -> None:
    assert len((await answer_of(page(b"x" * size))).body) == BODY_MAX_BYTES


async def test_events_are_not_waited_for() -> None:
    raw = b"HTTP/1.1 200 x\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"
    assert await answer_of(raw) == AppAnswer(200, b"text/event-stream")


async def test_as_many_informational_heads_are_read_as_a_visitor_gets_and_not_one_more() -> None:
    many = b"HTTP/1.1 103 x\r\n\r\n" * INFORMATIONAL_HEADS_MAX
    last = b"HTTP/1.1 200 x\r\nContent-Length: 1\r\n\r\na"
    assert (await answer_of(many + last)).body == b"a"
    async with a_talking_app(lambda head: b"HTTP/1.1 103 x\r\n\r\n" + many + last) as app:
        with pytest.raises(HttpError, match="too many informational heads"):
            await an_asker(app.target).ask(FIRST, PUBLIC)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 x\r\nContent-Le",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 x\r\nContent-Length: 5\r\n\r\nab",
    ],
)
async def test_what_is_no_whole_answer_is_an_error(raw: bytes) -> None:
    async with a_talking_app(lambda head: raw) as app:
        with pytest.raises((OriginClosed, HttpError)):
            await an_asker(app.target).ask(FIRST, PUBLIC)


async def test_an_app_that_is_not_there_is_an_error() -> None:
    async with a_talking_app(lambda head: b"") as app:
        pass
    with pytest.raises(OriginDown):
        await an_asker(app.target).ask(FIRST, PUBLIC)


async def test_a_link_that_is_no_target_is_an_error_and_not_sent() -> None:
    async with a_talking_app(lambda head: page(b"")) as app:
        with pytest.raises(HttpError):
            await an_asker(app.target).ask(AppQuestion(b"/a b", "local"), PUBLIC)
        assert app.heads == []


async def test_each_question_has_a_connection_of_its_own_that_is_closed() -> None:
    async with a_talking_app(lambda head: page(b"")) as app:
        asker = an_asker(app.target)
        for _ in range(3):
            await asker.ask(FIRST, PUBLIC)
        assert len(app.heads) == 3
        await app.all_closed()
