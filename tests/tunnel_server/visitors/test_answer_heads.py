"""The heads of an app's answer as the visitor gets them, final ones and informational ones."""

from __future__ import annotations

import pytest
import trio

from protocol.drivers.stream import TunnelStream
from protocol.http.fields import BodyForm
from protocol.mux.messages import Head
from tests.edge_fakes import (
    HELLO,
    HELLO_AND_CLOSE,
    VISITOR,
    App,
    World,
    echo,
    get,
    head,
    hello,
    open_world,
    tunnel_error,
)
from tests.tunnel_server.visitors.test_answering import OLD, POST, asked, says
from tunnel_server.settings.values import PublicUrl, parse_networks

# --- fields --------------------------------------------------------------------------------------


async def test_status_reason_and_fields_leave_as_the_app_sent_them(world: World) -> None:
    said = head(299, b"Fine \xe9", b"x-A: 1", b"Set-Cookie: a", b"X-a: 2", b"Set-Cookie: b", body=0)
    await world.client(says(said))
    visitor = world.visit()
    await visitor.send(get())
    await visitor.expect(
        b"HTTP/1.1 299 Fine \xe9\r\nx-A: 1\r\nSet-Cookie: a\r\nX-a: 2\r\nSet-Cookie: b\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    await visitor.nothing_comes()


async def test_the_word_of_an_app_is_never_the_tunnels(world: World) -> None:
    app = says(head(502, b"Bad", b"tunnel-error: origin-refused", b"TUNNEL-ERROR: x", body=0))
    await world.client(app)
    visitor = world.visit()
    await visitor.send(get())
    assert tunnel_error(await visitor.head()) == (502, None)


WIDE = b"Set-Cookie: a=b; Path=/; Domain=localhost; Secure"


@pytest.mark.parametrize("wide", [False, True])
async def test_an_app_sets_no_cookie_for_other_tunnels(wide: bool) -> None:
    said = b"a=b; Path=/; Domain=localhost; Secure" if wide else b"a=b; Path=/; Secure"

    async def app(stream: TunnelStream) -> None:
        for informs in (head(103, b"Early Hints", WIDE), head(200, b"OK", WIDE, body=0)):
            await stream.send_head(informs)
        stream.send_eof()

    async with open_world(wide_cookies=wide) as world:
        await world.client(app)
        visitor = world.visit()
        await visitor.send(get())
        for line in (b"HTTP/1.1 103 Early Hints", b"HTTP/1.1 200 OK"):
            assert (await visitor.head()).startswith(line + b"\r\nSet-Cookie: " + said + b"\r\n")


async def test_nor_for_those_of_the_public_url_where_a_proxy_has_put_another_host() -> None:
    async def app(stream: TunnelStream) -> None:
        await stream.send_head(head(200, b"OK", b"Set-Cookie: a=b; Domain=example.com", body=0))
        stream.send_eof()

    public = PublicUrl("https", "example.com", 443)
    async with open_world(public_url=public, open=True) as world:
        await world.client(app)
        visitor = world.visit()
        await visitor.send(get())
        assert b"\r\nSet-Cookie: a=b\r\n" in await visitor.head()


@pytest.mark.parametrize(
    "said",
    [
        head(200, b"OK", b"X: a\r\nInjected: 1", body=0),
        head(200, b"OK", b"X Y: a", body=0),
        head(200, b"OK\r\nInjected: 1", body=0),
        head(200, b"OK", b"Transfer-Encoding: chunked", body=0),
        head(200, b"OK", b"Connection: close", body=0),
        head(200, b"OK", b"Content-Length: 1", body=0),
        head(200, b"OK", b"Content-Length: 1", body="chunked"),
        head(200, b"OK", body=None),
        head(103, b"Hints", b"X: a\nb"),
    ],
)
async def test_a_head_that_breaks_the_rules_becomes_a_502(world: World, said: Head) -> None:
    """The other end of the wire is not trusted."""

    async def app(stream: TunnelStream) -> None:
        await stream.send_head(said)
        if said.status < 200:
            await stream.send_head(head())

    await world.client(app)
    visitor = world.visit()
    await visitor.send(get())
    assert tunnel_error(await visitor.head()) == (502, "origin-protocol-error")


# --- body forms on each hop ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (5, b"Content-Length: 5\r\n\r\nhello"),
        ("chunked", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        ("until-close", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ],
)
async def test_to_http_1_1_every_form_keeps_the_connection(
    world: World, form: BodyForm, expected: bytes
) -> None:
    await world.client(says(head(body=form), b"hello"))
    visitor = world.visit()
    for _ in range(2):
        await visitor.send(get())
        await visitor.expect(b"HTTP/1.1 200 OK\r\n" + expected)


@pytest.mark.parametrize("form", ["chunked", "until-close"])
@pytest.mark.parametrize("option", [b"", b"Connection: keep-alive\r\n"])
async def test_to_http_1_0_a_body_without_length_ends_with_the_connection(
    world: World, form: BodyForm, option: bytes
) -> None:
    raw = await asked(world, says(head(body=form), b"hello"), OLD + option + b"\r\n")
    assert raw == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"


async def test_http_1_0_closes_unless_it_asked_for_keep_alive(world: World) -> None:
    assert await asked(world, hello, OLD + b"\r\n") == HELLO_AND_CLOSE


async def test_http_1_0_with_keep_alive_is_told_so(world: World) -> None:
    await world.client(hello)
    visitor = world.visit()
    for _ in range(2):
        await visitor.send(OLD + b"Connection: keep-alive\r\n\r\n")
        await visitor.expect(HELLO.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"))


@pytest.mark.parametrize(
    ("sent", "said", "expected"),
    [
        (
            b"HEAD / HTTP/1.1\r\nHost: app.localhost\r\n\r\n",
            head(200, b"OK", b"Content-Length: 5", body=None),
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            b"HEAD / HTTP/1.0\r\nHost: app.localhost\r\nConnection: keep-alive\r\n\r\n",
            head(200, b"OK", body=None),
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n",
        ),
        (get(), head(204, b"No Content", body=None), b"HTTP/1.1 204 No Content\r\n\r\n"),
        (
            get(),
            head(204, b"No Content", b"Content-Length: 0", body=None),
            b"HTTP/1.1 204 No Content\r\n\r\n",
        ),
        (
            get(),
            head(304, b"Not Modified", b"Content-Length: 5", body=None),
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        ),
    ],
)
async def test_an_answer_without_a_body_frames_nothing_and_keeps_the_connection(
    world: World, sent: bytes, said: Head, expected: bytes
) -> None:
    await world.client(says(said))
    visitor = world.visit()
    for _ in range(2):
        await visitor.send(sent)
        await visitor.expect(expected)
    await visitor.nothing_comes()


@pytest.mark.parametrize("form", [5, "chunked", "until-close"])
@pytest.mark.parametrize("status", [200, 204, 304])
async def test_a_body_where_http_has_none_is_refused(
    world: World, form: BodyForm, status: int
) -> None:
    """Its bytes would be the next answer."""
    app = says(head(status, b"OK", body=form), b"evil!")
    await world.client(app)
    visitor = world.visit()
    await visitor.send(b"HEAD / HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
    assert tunnel_error(await visitor.head()) == (502, "origin-protocol-error")
    await visitor.nothing_comes()


# --- informational answers -----------------------------------------------------------------------


def informs(*heads: Head) -> App:
    async def app(stream: TunnelStream) -> None:
        for said in heads:
            await stream.send_head(said)
        await hello(stream)

    return app


async def test_every_informational_answer_crosses_in_order(world: World) -> None:
    app = informs(
        head(100, b"Continue"),
        head(103, b"Early Hints", b"Link: </a>", b"Link: </b>", b"Tunnel-Error: x"),
        head(199, b"", b"Content-Length: 3"),
    )
    await world.client(app)
    visitor = world.visit()
    await visitor.send(get())
    await visitor.expect(
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n"
        b"HTTP/1.1 199 \r\n\r\n" + HELLO
    )


async def test_32_informational_answers_cross(world: World) -> None:
    await world.client(informs(*[head(103, b"Early Hints")] * 32))
    visitor = world.visit()
    await visitor.send(get())
    await visitor.expect(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 32 + HELLO)


async def test_none_crosses_to_http_1_0(world: World) -> None:
    app = informs(head(100, b"Continue"), head(103, b"Early Hints"))
    assert await asked(world, app, OLD + b"\r\n") == HELLO_AND_CLOSE


@pytest.mark.parametrize(
    ("fields", "passed"),
    [
        (b"", b""),
        (b"Expect: 100-continue\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (  # of a large head little is kept
            b"Expect: 100-continue\r\nCookie: %b\r\n" % (b"x" * 8_000),
            b"HTTP/1.1 100 Continue\r\n\r\n",
        ),
    ],
)
async def test_to_a_trusted_proxy_goes_what_it_has_asked_for(fields: bytes, passed: bytes) -> None:
    app = informs(head(100, b"Continue"), head(103, b"Early Hints", b"Link: </a>"))
    async with open_world(trusted_proxies=parse_networks(VISITOR, "")) as world:
        await world.client(app)
        visitor = world.visit()
        await visitor.send(POST + fields + b"Content-Length: 0\r\n\r\n")
        await visitor.expect(passed + HELLO)


async def test_100_is_the_apps_and_expect_passes(world: World) -> None:
    go = trio.Event()

    async def app(stream: TunnelStream) -> None:
        await go.wait()
        await stream.send_head(head(100, b"Continue"))
        await echo(stream)

    client = await world.client(app)
    visitor = world.visit()
    await visitor.send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    await visitor.nothing_comes()
    assert (b"Expect", b"100-continue") in client.streams[0].opened.fields
    go.set()
    await visitor.expect(b"HTTP/1.1 100 Continue\r\n\r\n")
    await visitor.nothing_comes()
    await visitor.send(b"hello")
    await visitor.expect(HELLO)
