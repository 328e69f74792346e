"""An app answers with fields that steer a proxy, behind each with its file of deploy/."""

from __future__ import annotations

import h11
import pytest
import trio

from tests.programs import Address, Programs
from tests.system.deploy_files import FRONTS, Kind, each
from tests.system.fronts import open_front
from tests.system.origin import CHUNKED, Exchange, Fields, Origin, serve
from tests.system.peer import h11_event
from tests.system.visitor import SMALL_S, Answer, visit

# nginx obeys these by default, and hides them in either case: they are an app's words to its own
# nginx, and one more nginx before ours would obey them.
ACCEL: Fields = [
    ("X-Accel-Redirect", "/"),  # another page of the app's
    ("X-Accel-Buffering", "yes"),
    ("X-Accel-Limit-Rate", "1"),
    ("X-Accel-Charset", "koi8-r"),
    ("X-Accel-Expires", "1000"),
]
OTHERS: Fields = [
    ("X-Sendfile", "/etc/hostname"),  # Apache's, with a module of its own
    ("X-LIGHTTPD-send-file", "/etc/hostname"),
    ("Cache-Control", "public, max-age=1000"),
    ("Expires", "Thu, 01 Jan 2099 00:00:00 GMT"),
    ("ETag", '"one"'),
    ("Vary", "Origin"),
    ("Set-Cookie", "a=b"),
    ("Content-Type", "text/html"),
    ("Content-Encoding", "gzip"),  # which the visitor has not asked for
    # nginx.conf's own name of the server, which it would put another one in the place of.
    ("Location", "http://tunnel_server/next"),
    ("Refresh", "1; url=http://tunnel_server/next"),
    ("Server", "the app's"),
    ("Date", "Mon, 01 Jan 2001 00:00:00 GMT"),
    ("Alt-Svc", 'h3=":1"'),
    ("Link", "</style.css>; rel=preload"),
    ("X-Forwarded-For", "203.0.113.9"),
]
# What the visitor is not told as the app wrote it. Date is nginx's own, Alt-Svc Caddy's.
KEPT = {"nginx": {*(name for name, _ in ACCEL), "Date"}, "caddy": {"Alt-Svc"}}
HINT = ("Link", "</style.css>; rel=preload; as=style")
REST = b"second" * 10_000


class Steering(Origin):
    """An app with two more routes."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = 0
        self.routes |= {"/steer": self.steer, "/hints": self.hints}

    async def steer(self, exchange: Exchange) -> None:
        """All of the fields with the beginning of an answer; its rest once the gate is open."""
        self.answered += 1
        own = ("Upgrade", "h2c"), ("Connection", "Upgrade")
        await exchange.head([*ACCEL, *OTHERS, *own, *CHUNKED])
        await exchange.send(b"first")
        await self.gate.wait()
        await exchange.send(REST)
        await exchange.end()

    async def hints(self, exchange: Exchange) -> None:
        """Early hints, and what else may come before an answer."""
        for status, field in ((102, ACCEL[0]), (103, HINT)):
            early = h11.InformationalResponse(status_code=status, headers=[field])
            await exchange.stream.send_all(exchange.connection.send(early) or b"")
        await exchange.answer("hinted")


@pytest.fixture
async def app(nursery: trio.Nursery) -> Steering:
    app = Steering()
    await serve(app, nursery)
    return app


async def steered(address: Address, app: Steering) -> Answer:
    """An answer whose beginning comes at once, and whose rest is not slow."""
    app.gate = trio.Event()
    with trio.fail_after(SMALL_S):
        async with visit(address) as visitor:
            await visitor.request("/steer")
            answer = await visitor.answer()
            assert await anext(visitor.body()) == b"first"
            app.gate.set()
            assert b"".join([data async for data in visitor.body()]) == REST
    return answer


@each(FRONTS)
async def test_an_app_steers_no_proxy(programs: Programs, app: Steering, kind: Kind) -> None:
    async with open_front(kind, programs, app) as front:
        for answered in (1, 2):  # nothing keeps the first for the second
            answer = await steered(front.address, app)
            assert (answer.status, app.answered) == (200, answered)
            said = [*ACCEL, *OTHERS]
            kept = {name for name, value in said if answer.fields.get(name.lower()) != value}
            assert kept == KEPT.get(kind.program, set())
            assert "upgrade" not in answer.fields


@each(FRONTS)
async def test_early_hints_pass_where_no_proxy_reads_http_and_the_connection_stays(
    programs: Programs, app: Steering, kind: Kind
) -> None:
    async with open_front(kind, programs, app) as front, visit(front.address) as visitor:
        for _ in range(2):
            with trio.fail_after(SMALL_S):
                await visitor.request("/hints")
                seen = []
                event = await h11_event(visitor.stream, visitor.connection)
                while isinstance(event, h11.InformationalResponse):
                    seen.append((event.status_code, dict(event.headers).get(b"link")))
                    event = await h11_event(visitor.stream, visitor.connection)
                assert isinstance(event, h11.Response)
                assert event.status_code == 200
                hints = [(102, None), (103, HINT[1].encode())]
                assert seen == ([] if kind.reads_http else hints)
                assert b"".join([data async for data in visitor.body()]) == b"hinted"
                visitor.connection.start_next_cycle()
