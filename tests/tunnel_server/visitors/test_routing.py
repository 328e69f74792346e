from __future__ import annotations

import json
import logging

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.latch import Latch
from protocol.drivers.session_log import SessionLog
from protocol.drivers.stream import TunnelStream
from protocol.errors import SessionClosed
from protocol.http.fields import Fields
from protocol.http.heads import parse_request
from protocol.mux.messages import Claim, Open
from protocol.names import APEX
from tests.edge_fakes import (
    FORWARDING,
    VISITOR,
    World,
    answer,
    get,
    head,
    hello,
    logged,
    make_edge,
    open_world,
    tunnel_error,
)
from tunnel_server.owners.waiting import WAIT_S
from tunnel_server.settings.values import parse_networks, parse_public_url
from tunnel_server.visitors.routing import is_control, name_of


async def opened(world: World, sent: bytes, *, secure: bool = False) -> Open:
    """What the client of `app` is told of a request."""
    client = await world.client(hello)
    visitor = world.visit(secure=secure)
    await visitor.send(sent)
    assert (await visitor.head()).startswith(b"HTTP/1.1 200 OK\r\n")
    return client.streams[0].opened


async def status(world: World, sent: bytes) -> tuple[int, str | None]:
    visitor = world.visit()
    await visitor.send(sent)
    return tunnel_error(await visitor.head())


# --- what the client is told ---------------------------------------------------------------------


async def test_a_request_crosses_as_it_came(world: World) -> None:
    sent = (
        b"DELETE /a%2f/../b?q=%zz;x HTTP/1.1\r\nhost: APP.localhost\r\nX-b: 1\r\nx-A: \xe9\r\n"
        b"X-b: 2\r\nConnection: x-hop, close\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers, gzip\r\n"
        b"Proxy-Connection: x\r\nUpgrade: h2c\r\n\r\n"
    )
    told = await opened(world, sent)
    assert told == Open(
        "http",
        1,
        b"DELETE",
        b"/a%2f/../b?q=%zz;x",
        b"1.1",
        (
            (b"host", b"APP.localhost"),
            (b"X-b", b"1"),
            (b"x-A", b"\xe9"),
            (b"X-b", b"2"),
            *FORWARDING,
            (b"TE", b"trailers"),
        ),
        None,
        "http",
        "app.localhost",
        VISITOR,
        told.credit,
        connection=1,
        request=0,
    )


async def test_absolute_form_goes_on_as_origin_form(world: World) -> None:
    told = await opened(
        world, b"GET http://app.localhost/a%2F?b HTTP/1.1\r\nHost: app.localhost\r\n\r\n"
    )
    assert told.target == b"/a%2F?b"


async def test_the_version_of_the_visitor_is_told(world: World) -> None:
    told = await opened(world, b"GET / HTTP/1.0\r\nHost: app.localhost\r\n\r\n")
    assert told.version == b"1.0"


FORGED = (
    b"X-Forwarded-For: 10.0.0.1",
    b"X_Forwarded_For: 10.0.0.2",
    b"X.Forwarded.Host: bank.example",
    b"Forwarded: for=10.0.0.3",
    b"X-Real-Ip: 10.0.0.4",
    b"X-Forwarded-Proto: https",
    b"Connection: X-Forwarded-For",
)


async def test_a_visitor_cannot_say_who_it_is(world: World) -> None:
    told = await opened(world, get(b"/", *FORGED))
    assert told.fields == ((b"Host", b"app.localhost"), *FORWARDING)
    assert told.scheme == "http"


async def test_a_trusted_proxy_can() -> None:
    trusted = parse_networks(VISITOR, "")
    async with open_world(trusted_proxies=trusted) as world:
        told = await opened(
            world,
            get(
                b"/",
                b"X-Forwarded-For: 198.51.100.7",
                b"X-Forwarded-Proto: https",
                b"X_Forwarded_For: evil",
                b"X.Forwarded.Host: evil",
                b"Connection: close, X-Forwarded-For, X-Forwarded-Proto",
            ),
        )
        assert told.scheme == "https"
        assert told.fields == (
            (b"Host", b"app.localhost"),
            (b"X-Forwarded-Proto", b"https"),
            (b"X-Forwarded-For", b"198.51.100.7, " + VISITOR.encode()),
            (b"X-Forwarded-Host", b"app.localhost"),
            (b"X-Forwarded-Port", b"443"),
            (b"Tunnel-Hops", b"1"),
        )


async def test_a_tunnel_that_leads_to_its_own_server_is_told_after_three_rounds(
    world: World,
) -> None:
    """Else one GET would take every stream that there is."""
    seen: list[bytes] = []

    async def app(stream: TunnelStream) -> None:
        hops = dict(stream.opened.fields)[b"Tunnel-Hops"]
        seen.append(hops)
        again = world.visit()
        await again.send(get(b"/", b"Tunnel-Hops: " + hops))
        code, error = tunnel_error(await again.head())
        said = json.dumps([code, error]).encode() if error else b"deeper"
        await answer(stream, head(body=len(said)), said)

    await world.client(app)
    visitor = world.visit()
    await visitor.send(get())
    assert (await visitor.head()).startswith(b"HTTP/1.1 200 ")
    assert seen == [b"1", b"2", b"3"]
    assert await status(world, get(b"/", b"Tunnel-Hops: 3")) == (508, "loop-detected")


@pytest.mark.parametrize("said", [b"ftp", b"https, http", b"https\r\nX-Forwarded-Proto: http"])
async def test_a_proxys_scheme_that_is_none_is_not_believed(said: bytes) -> None:
    async with open_world(trusted_proxies=parse_networks(VISITOR, "")) as world:
        told = await opened(world, get(b"/", b"X-Forwarded-Proto: " + said))
        assert told.scheme == "http"


@pytest.mark.parametrize(
    ("host", "secure", "scheme", "port"),
    [
        (b"app.localhost", False, "http", b"80"),
        (b"app.localhost:8080", False, "http", b"8080"),
        (b"app.localhost", True, "https", b"443"),
    ],
)
async def test_the_public_origin_is_the_listeners_scheme_and_the_port_of_host(
    world: World, host: bytes, secure: bool, scheme: str, port: bytes
) -> None:
    told = await opened(world, get(b"/", host=host), secure=secure)
    assert told.scheme == scheme
    assert told.fields[-3:-1] == (
        (b"X-Forwarded-Proto", scheme.encode()),
        (b"X-Forwarded-Port", port),
    )


async def test_a_public_url_says_it_for_all() -> None:
    async with open_world(public_url=parse_public_url("https://example.com:8443", "")) as world:
        told = await opened(world, get(b"/", host=b"app.example.com"))
        assert (told.scheme, told.host) == ("https", "app.example.com:8443")
        assert told.fields[-2] == (b"X-Forwarded-Port", b"8443")


@pytest.mark.parametrize(
    ("host", "url", "spelled"),
    [
        (b"App.Example.com:443", "https://example.com", "app.example.com"),
        (b"app.example.com:80", "https://example.com", "app.example.com"),
        (b"app.example.com", "http://example.com:8080", "app.example.com:8080"),
        (b"APP.localhost:080", None, "app.localhost"),
        (b"app.localhost.:8080", None, "app.localhost.:8080"),
    ],
)
async def test_the_public_host_is_spelled_as_browsers_do(
    host: bytes, url: str | None, spelled: str
) -> None:
    async with open_world(public_url=parse_public_url(url, "") if url else None) as world:
        told = await opened(world, get(b"/", host=host))
        assert told.host == spelled
        assert told.fields[0] == (b"Host", host)
        assert (b"X-Forwarded-Host", spelled.encode()) in told.fields


# --- where a request goes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", [b"a.app.localhost", b"example.com", b"localhost.", b"-.localhost"]
)
async def test_host_decides(world: World, host: bytes) -> None:
    await world.client(hello)
    expected = (200, None) if host == b"localhost." else (421, "unknown-host")
    assert await status(world, get(b"/", host=host)) == expected


@pytest.mark.parametrize("host", [b"localhost", b"LOCALHOST:99", b"127.0.0.1", b"[::1]:8080"])
async def test_the_apex_is_the_service(world: World, host: bytes) -> None:
    assert await status(world, get(b"/", host=host)) == (200, None)
    assert await status(world, get(b"/_tunnel/health", host=host)) == (200, None)
    assert await status(world, get(b"/_tunnel/health?x", host=host)) == (200, None)
    assert await status(world, get(b"/_tunnel/ready", host=host)) == (200, None)
    assert await status(world, get(b"/other", host=host)) == (404, "tunnel-not-found")


async def test_every_path_of_a_subdomain_is_its_tunnels(world: World) -> None:
    own = (b"health", b"ready", b"tls-check", b"control")
    for path in (b"/", *(b"/_tunnel/" + name for name in own)):
        assert (await opened(world, get(path))).target == path


async def test_the_service_takes_get_and_head_only(world: World) -> None:
    visitor = world.visit()
    await visitor.send(b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    raw = await visitor.head()
    assert tunnel_error(raw) == (405, "method-not-supported")
    assert b"\r\nAllow: GET, HEAD\r\n" in raw
    visitor = world.visit()
    await visitor.send(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await visitor.head()).startswith(b"HTTP/1.1 200 OK\r\n")
    await visitor.nothing_comes()


async def test_ready_is_503_on_a_server_that_stops(world: World) -> None:
    visitor = world.visit()
    await wait_all_tasks_blocked()
    world.directory.draining = True
    await visitor.send(get(b"/_tunnel/ready", host=b"localhost"))
    raw = await visitor.rest()
    assert tunnel_error(raw) == (503, "draining")
    assert raw.endswith(b'"unacked_bytes": 0, "held_sessions": 0, "parked_requests": 0}')


async def test_a_name_that_was_never_held_is_404(world: World) -> None:
    assert await status(world, get()) == (404, "tunnel-not-found")


async def test_a_name_that_was_held_is_503_and_says_since_when(world: World) -> None:
    client = await world.client(hello)
    client.session.close("gone")
    visitor = world.visit()
    await wait_all_tasks_blocked()
    await visitor.send(get(b"/", b"Accept: application/json"))
    raw = await visitor.head()
    assert tunnel_error(raw) == (503, "tunnel-offline")
    length = int(raw.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
    assert b'"since": "20' in await visitor.receive(length)


async def test_a_session_that_is_just_closing_is_offline_already(world: World) -> None:
    client = await world.client(hello)
    visitor = world.visit()
    client.server._end("closing")  # and its transport takes a while
    await visitor.send(get())
    assert tunnel_error(await visitor.head()) == (503, "tunnel-offline")
    assert world.directory.registry.find("app") is None


async def test_visitors_beyond_what_the_client_serves_at_once_are_told_so(
    world: World, autojump_clock: MockClock
) -> None:
    go = trio.Event()

    async def app(stream: TunnelStream) -> None:
        await go.wait()
        await hello(stream)

    client = await world.client(app, max_streams=2)
    visitors = [world.visit() for _ in range(3)]
    for visitor in visitors:
        await visitor.send(get())
        await wait_all_tasks_blocked()
    began = trio.current_time()
    assert tunnel_error(await visitors[2].head()) == (503, "overloaded")
    assert trio.current_time() - began == pytest.approx(WAIT_S)
    go.set()
    for visitor in visitors[:2]:
        await visitor.expect(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    await wait_all_tasks_blocked()
    assert await status(world, get()) == (200, None)
    assert len(client.streams) == 3


async def test_the_largest_head_crosses(world: World) -> None:
    fields = [b"%d: %s" % (number, b"x" * 100) for number in range(255)]
    sent = get(b"/", *fields)
    client = await world.client(hello)
    visitor = world.visit()
    await visitor.send(sent)
    assert tunnel_error(await visitor.head()) == (200, None)
    assert len(client.streams[0].opened.fields) == 256 + len(FORWARDING)


# --- what a head says ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        (b"/_tunnel/control", b"localhost", True),
        (b"/_tunnel/control?x", b"127.0.0.1", True),
        (b"/_tunnel/control/", b"localhost", False),
        (b"/_tunnel/contro%6c", b"localhost", False),
        (b"/_tunnel/control", b"app.localhost", False),
        (b"/_tunnel/control", b"example.com", False),
    ],
)
def test_the_control_endpoint_is_on_the_apex_alone(
    target: bytes, host: bytes, expected: bool
) -> None:
    head = parse_request(get(target, host=host))
    apex = name_of(make_edge(), head) == APEX
    assert (apex and is_control(head)) is expected


# --- what serves a name need be no session -------------------------------------------------------


class Elsewhere:
    """A Carrier that is no session."""

    def __init__(self, *, has_room: bool = True) -> None:
        self.log = SessionLog(logging.getLogger(__name__), b"elsewhere")
        self.away = False
        self.has_room = has_room
        self.streams_max = 4
        self.batch_is_full = True
        self.paced = 0
        self.opened: list[Open] = []

    def __repr__(self) -> str:
        return "<Elsewhere>"

    async def wait_for_batch(self) -> None:
        self.paced += 1
        await trio.lowlevel.checkpoint()

    def open(self, opened: Open, readable: Latch | None = None) -> TunnelStream:
        self.opened.append(opened)
        raise SessionClosed("gone")

    @property
    def serves_upgrades(self) -> bool:
        return False

    def number_connection(self) -> int | None:
        return 3

    def gone(self, connection: int) -> None:
        raise NotImplementedError

    def release(self, claim: int, code: str, message: str) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("has_room", "error"), [(True, (503, "tunnel-offline")), (False, (503, "overloaded"))]
)
async def test_a_request_begins_at_whatever_carries_the_name(
    world: World, has_room: bool, error: tuple[int, str]
) -> None:
    carrier = Elsewhere(has_room=has_room)
    world.directory.registry.claim(carrier, "alice", Claim(7, "app", b"i" * 16, True, {}))
    visitor = world.visit()
    await visitor.send(get())
    assert tunnel_error(await visitor.head()) == error
    assert carrier.paced == 1
    assert [opened.claim for opened in carrier.opened] == [7] * has_room
    assert (world.directory.registry.find("app") is None) is has_room


async def test_what_a_trusted_proxy_may_not_say_is_told_once_with_the_flag(
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxies = parse_networks(VISITOR, "")
    fields = b"X-Forwarded-User: ann", b"X-Forwarded-Email: a@example.com"
    passed = frozenset((b"x-forwarded-email",))
    got: list[Fields] = []

    async def app(stream: TunnelStream) -> None:
        got.append(stream.opened.fields)
        await hello(stream)

    async with open_world(trusted_proxies=proxies, trusted_fields=passed) as world:
        await world.client(app)
        for _ in range(2):
            assert await status(world, get(b"/", *fields)) == (200, None)
        for number in range(40):  # as many as a visitor likes
            await status(world, get(b"/", b"X-Forwarded-%d: x" % number))
    names = [name.lower() for name, _ in got[0]]
    assert b"x-forwarded-email" in names
    assert b"x-forwarded-user" not in names
    lines = [line for line in logged(caplog.records) if "--trusted-fields" in line]
    assert len(lines) == 17
    assert lines[0].endswith("add x-forwarded-user to --trusted-fields")


async def test_what_a_visitor_makes_up_does_not_use_up_the_lines_for_ever(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    async with open_world(trusted_proxies=parse_networks(VISITOR, "")) as world:
        await world.client(hello)
        for number in range(20):
            await status(world, get(b"/", b"X-Forwarded-%d: x" % number))
        await trio.sleep(61)
        for name in (b"X-Forwarded-User", b"X_Forwarded_User"):
            await status(world, get(b"/", name + b": x"))
    told = [line for line in logged(caplog.records) if "a trusted proxy has sent" in line]
    assert len(told) == 18
    assert told[16].endswith("--trusted-fields x-forwarded-user lets it pass")
    assert told[17].endswith("x_forwarded_user, which may be what a visitor wrote, and is dropped")


async def test_each_request_of_a_connection_goes_where_its_own_host_says(world: World) -> None:
    async def other(stream: TunnelStream) -> None:
        await answer(stream, head(body=5), b"other")

    await world.client(hello)
    await world.client(other, "other")
    visitor = world.visit()
    for host, said in [("app", b"hello"), ("other", b"other"), ("app", b"hello"), ("", None)] * 2:
        await visitor.send(get(host=f"{host or 'no.app'}.localhost".encode()))
        raw = await visitor.head()
        if said is None:
            assert tunnel_error(raw) == (421, "unknown-host")
            await visitor.receive(int(raw.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))
        else:
            await visitor.expect(said)
