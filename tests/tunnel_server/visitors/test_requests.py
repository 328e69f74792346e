from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from protocol.errors import StreamReset
from tests.edge_fakes import (
    FORWARDING,
    HELLO,
    HELLO_AND_CLOSE,
    World,
    answer,
    echo,
    get,
    head,
    hello,
    open_world,
    tunnel_error,
)
from tunnel_server.visitors.connection import Connection

POST = b"POST / HTTP/1.1\r\nHost: app.localhost\r\n"
UPLOAD = POST + b"Content-Length: 10\r\n\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


class Gated:
    """An app that answers when the test lets it."""

    def __init__(self) -> None:
        self.go = trio.Event()
        self.failure: StreamReset | None = None

    async def __call__(self, stream: TunnelStream) -> None:
        await self.go.wait()
        await hello(stream)


class Collector:
    """An app that takes the request's body, answers at its end, and notes how it ended."""

    def __init__(self) -> None:
        self.body = b""
        self.trailers: object = None
        self.reset: str | None = None

    async def __call__(self, stream: TunnelStream) -> None:
        try:
            while data := await stream.receive_some():
                self.body += data
        except StreamReset as error:
            self.reset = error.code
            stream.cancel("cancelled")
            return
        self.trailers = stream.trailers
        await hello(stream)


# --- heads ---------------------------------------------------------------------------------------


async def test_a_request_is_served_however_its_bytes_are_split(world: World) -> None:
    client = await world.client(echo)
    visitor = world.visit()
    for at in range(len(UPLOAD)):
        await visitor.send(UPLOAD[at : at + 1])
    for byte in b"0123456789":
        await visitor.send(bytes([byte]))
    await visitor.expect(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789")
    assert len(client.streams) == 1


async def test_one_empty_line_in_front_of_a_request_is_dropped(world: World) -> None:
    await world.client(hello)
    visitor = world.visit()
    await visitor.send(b"\r\n" + get())
    await visitor.expect(HELLO)


async def test_a_connection_serves_one_request_after_the_other(world: World) -> None:
    client = await world.client(hello)
    visitor = world.visit()
    for target in (b"/1", b"/2", b"/3"):
        await visitor.send(get(target))
        await visitor.expect(HELLO)
    assert [stream.opened.target for stream in client.streams] == [b"/1", b"/2", b"/3"]
    await visitor.nothing_comes()


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400, "bad-request"),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400, "bad-request"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "bad-request"),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "version-not-supported"),
        (b"GET / HTTP/1.0\r\n\r\n", 421, "unknown-host"),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501, "method-not-supported"),
        (b"GET /" + b"a" * 16384 + b" HTTP/1.1\r\n", 414, "uri-too-long"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 32768, 431, "head-too-large"),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 257 + b"\r\n", 431, "head-too-large"),
        (CHUNKED.replace(b"chunked", b"gzip, chunked"), 400, "bad-request"),
    ],
)
async def test_what_is_no_request_gets_its_code_and_the_connection_closes(
    world: World, sent: bytes, status: int, code: str
) -> None:
    visitor = world.visit()
    await visitor.send(sent)
    raw = await visitor.rest()
    assert tunnel_error(raw) == (status, code)
    assert b"\r\nConnection: close\r\n" in raw
    await visitor.end()
    await visitor.done.wait()
    await world.nothing_is_left()


async def test_an_end_in_the_middle_of_a_head_is_met_with_an_end(world: World) -> None:
    visitor = world.visit()
    await visitor.send(b"GET / HT")
    await visitor.end()
    assert await visitor.rest() == b""
    await visitor.done.wait()


class Counter(trio.abc.Instrument):
    """What a request costs in tasks and scopes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tasks = 0
        self.scopes = 0
        init = trio.CancelScope.__init__

        def count(scope: trio.CancelScope, *arguments: object, **options: object) -> None:
            if trio.lowlevel.current_task().name.endswith((".serve", "AnswerWriter.run")):
                self.scopes += 1  # and not those of the sessions' timers
            init(scope, *arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(trio.CancelScope, "__init__", count)

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.tasks += 1


async def test_a_request_without_a_body_costs_no_task_and_no_scope(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await world.client(hello)
    visitor = world.visit()
    await visitor.send(get())
    await visitor.expect(HELLO)
    counter = Counter(monkeypatch)
    trio.lowlevel.add_instrument(counter)
    for _ in range(10):
        await visitor.send(get())
        await visitor.expect(HELLO)
    trio.lowlevel.remove_instrument(counter)
    assert len(client.streams) == 11
    assert (counter.tasks, counter.scopes) == (10, 0)  # the tasks are the fake app's own


# --- pipelining ----------------------------------------------------------------------------------


async def test_pipelined_requests_are_answered_in_order_one_stream_at_a_time(
    world: World,
) -> None:
    gate = Gated()
    client = await world.client(gate)
    visitor = world.visit()
    await visitor.send(get(b"/1") + get(b"/2") + get(b"/3"))
    await wait_all_tasks_blocked()
    assert len(client.streams) == 1
    gate.go.set()
    await visitor.expect(HELLO * 3)
    assert [stream.opened.target for stream in client.streams] == [b"/1", b"/2", b"/3"]


async def test_pipelined_bodies_stay_with_their_requests(world: World) -> None:
    await world.client(echo)
    visitor = world.visit()
    await visitor.send(UPLOAD + b"aaaaaaaaaa" + CHUNKED + b"2\r\nbb\r\n0\r\n\r\n" + get())
    await visitor.expect(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\naaaaaaaaaa")
    await visitor.expect(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nbb")
    await visitor.expect(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def test_the_answer_to_a_pipelined_fault_waits_its_turn(world: World) -> None:
    gate = Gated()
    await world.client(gate)
    visitor = world.visit()
    await visitor.send(get() + b"nonsense\r\n\r\n")
    await visitor.nothing_comes()
    gate.go.set()
    await visitor.expect(HELLO)
    assert tunnel_error(await visitor.rest()) == (400, "bad-request")


async def test_what_follows_a_request_that_closes_is_never_opened(world: World) -> None:
    client = await world.client(hello)
    visitor = world.visit()
    await visitor.send(get(b"/", b"Connection: close") + get(b"/2"))
    assert await visitor.rest() == HELLO_AND_CLOSE
    await visitor.end()
    await visitor.done.wait()
    assert len(client.streams) == 1


async def test_requests_before_an_end_are_all_answered(world: World) -> None:
    """As `printf ... | nc -N` sends them."""
    gate = Gated()
    client = await world.client(gate)
    visitor = world.visit()
    await visitor.send(get(b"/1") + get(b"/2"))
    await visitor.end()
    await wait_all_tasks_blocked()
    gate.go.set()
    assert await visitor.rest() == HELLO * 2
    await visitor.done.wait()
    assert len(client.streams) == 2


async def test_of_a_large_head_is_kept_what_an_answer_asks_for(world: World) -> None:
    """Its fields take twice its size, and an answer may be long in coming."""
    gate = Gated()
    client = await world.client(gate)
    wanted = b"Accept: application/json"
    for count, kept in ((10, None), (250, ((b"Accept", b"application/json"),))):
        visitor = world.visit()
        await visitor.send(get(b"/", wanted, *(b"X-%d: %s" % (n, b"x" * 99) for n in range(count))))
        await wait_all_tasks_blocked()
        [exchange] = [
            each.exchange
            for each in world.edge.connections
            if isinstance(each, Connection) and each.exchange and not each.exchange.over
        ]
        assert exchange.head is not None
        assert exchange.stream is not None
        if kept is None:
            assert len(exchange.head.fields) == count + 2
        else:
            assert exchange.head.fields == kept
            assert exchange.stream.opened.fields == ()
        assert len(client.streams[-1].opened.fields) == count + 2 + len(FORWARDING)
        client.streams[-1].cancel("origin-refused")
        raw = await visitor.head()
        assert tunnel_error(raw) == (502, "origin-refused")
        assert b"Content-Type: application/json" in raw


# --- bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "form", "body"),
    [
        (UPLOAD + b"0123456789", 10, b"0123456789"),
        (POST + b"Content-Length: 0\r\n\r\n", 0, b""),
        (CHUNKED + b"3;x=y\r\nabc\r\n02\r\nde\r\n0\r\n\r\n", "chunked", b"abcde"),
        (POST + b"\r\n", None, b""),
    ],
)
async def test_a_body_crosses_with_its_form(
    world: World, sent: bytes, form: object, body: bytes
) -> None:
    app = Collector()
    client = await world.client(app)
    visitor = world.visit()
    await visitor.send(sent)
    await visitor.expect(HELLO)
    assert (app.body, client.streams[0].opened.body) == (body, form)
    assert app.trailers == ()


async def test_a_chunked_body_brings_its_trailers_but_those_that_belong_in_a_head(
    world: World,
) -> None:
    app = Collector()
    await world.client(app)
    visitor = world.visit()
    await visitor.send(CHUNKED + b"0\r\nX-Sum: 1\r\nHost: evil\r\nX-Forwarded-For: 1\r\n\r\n")
    await visitor.expect(HELLO)
    assert app.trailers == ((b"X-Sum", b"1"),)


async def test_a_body_goes_on_as_it_comes(world: World) -> None:
    app = Collector()
    await world.client(app)
    visitor = world.visit()
    await visitor.send(UPLOAD + b"01234")
    await wait_all_tasks_blocked()
    assert app.body == b"01234"
    await visitor.send(b"56789")
    await visitor.expect(HELLO)


async def test_the_visitor_is_held_back_while_the_app_does_not_take_the_body(
    world: World, autojump_clock: MockClock
) -> None:
    go = trio.Event()

    async def slow(stream: TunnelStream) -> None:
        await go.wait()
        await echo(stream)

    await world.client(slow)
    visitor = world.visit(lockstep=True)
    size = 1 << 20
    await visitor.send(POST + b"Content-Length: %d\r\n\r\n" % size)
    taken = 0

    async def upload() -> None:
        nonlocal taken
        while taken < size:
            await visitor.send(b"x" * 4096)
            taken += 4096

    async with trio.open_nursery() as nursery:
        nursery.start_soon(upload)
        await trio.sleep(1000)  # no time limit counts while it is us who do not take it
        assert taken <= (256 + 64 + 64) * 1024  # credit, the stream's queue, one read
        go.set()
        await visitor.expect(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)


async def test_a_body_that_breaks_the_rules_is_answered_and_aborted(world: World) -> None:
    app = Collector()
    await world.client(app)
    visitor = world.visit()
    await visitor.send(CHUNKED + b"2\r\nab\r\n")
    await wait_all_tasks_blocked()
    assert app.body == b"ab"
    await visitor.send(b"zz\r\n")
    assert tunnel_error(await visitor.rest()) == (400, "bad-request")
    assert app.reset == "cancelled"
    await visitor.end()
    await visitor.done.wait()
    await world.nothing_is_left()


async def test_trailers_beyond_the_limit_are_431(world: World) -> None:
    await world.client(Collector())
    visitor = world.visit()
    await visitor.send(CHUNKED + b"0\r\nX: " + b"a" * 8192)
    assert tunnel_error(await visitor.rest()) == (431, "head-too-large")


async def test_an_end_in_the_middle_of_a_body_cuts_the_request_off_visibly(world: World) -> None:
    app = Collector()
    await world.client(app)
    visitor = world.visit()
    await visitor.send(UPLOAD + b"01234")
    await visitor.end()
    assert tunnel_error(await visitor.rest()) == (400, "bad-request")
    assert (app.body, app.reset) == (b"01234", "truncated")
    await visitor.done.wait()
    await world.nothing_is_left()


async def test_after_a_half_close_the_answer_goes_on_while_it_is_taken(
    world: World, autojump_clock: MockClock
) -> None:
    async def slow(stream: TunnelStream) -> None:
        await stream.send_head(head(body=4))
        for _ in range(4):
            await trio.sleep(4.9)
            await stream.send_all(b"x")
        stream.send_eof()

    await world.client(slow)
    visitor = world.visit()
    await visitor.send(get())
    await visitor.end()
    assert (await visitor.rest()).endswith(b"\r\n\r\nxxxx")
    await visitor.done.wait()
    await world.nothing_is_left()


async def test_the_time_of_a_half_closed_visitor_stands_still_while_the_client_is_away(
    world: World, autojump_clock: MockClock
) -> None:
    app = Gated()
    client = await world.client(app)
    visitor = world.visit()
    await visitor.send(get())
    await visitor.end()
    await trio.testing.wait_all_tasks_blocked()
    client.server.detached_at = trio.current_time()
    await trio.sleep(50)
    assert not visitor.done.is_set()
    client.server.detached_at = None
    began = trio.current_time()
    await visitor.done.wait()
    assert 3 <= trio.current_time() - began <= 7


async def test_after_a_half_close_5_s_without_progress_count_as_gone(
    world: World, autojump_clock: MockClock
) -> None:
    client = await world.client(Gated())
    visitor = world.visit()
    began = trio.current_time()
    await visitor.send(get())
    await visitor.end()
    await visitor.done.wait()
    assert 5 <= trio.current_time() - began <= 7
    await client.stopped[0].wait()
    assert client.streams[0].stopped == "visitor-gone"
    await world.nothing_is_left()


# --- a visitor who leaves ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        get(),
        get() + get(),
        UPLOAD,
        UPLOAD + b"01234",
        CHUNKED + b"1\r\n",
        get(b"/", b"Upgrade: websocket", b"Connection: upgrade"),
    ],
)
async def test_a_reset_aborts_the_request_at_once(sent: bytes) -> None:
    async with open_world() as world:
        client = await world.client(Gated())
        visitor = await world.visit_by_tcp()
        await visitor.send(sent)
        while not client.streams:
            await wait_all_tasks_blocked(0.01)
        await visitor.reset()
        await client.stopped[0].wait()
        assert client.streams[0].stopped == "visitor-gone"
        await visitor.done.wait()


# --- deadlines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [b"", b"\r\n"])
async def test_an_idle_connection_closes_silently_after_75_s(
    world: World, begun: bytes, autojump_clock: MockClock
) -> None:
    visitor = world.visit()
    await visitor.send(begun)
    began = trio.current_time()
    assert await visitor.rest() == b""
    assert 75 <= trio.current_time() - began <= 77
    await visitor.end()
    await visitor.done.wait()


async def test_an_idle_connection_closes_silently_after_an_answer_too(
    world: World, autojump_clock: MockClock
) -> None:
    await world.client(hello)
    visitor = world.visit()
    for _ in range(2):
        await trio.sleep(70)
        await visitor.send(get())
        await visitor.expect(HELLO)
    began = trio.current_time()
    assert await visitor.rest() == b""
    assert 75 <= trio.current_time() - began <= 77


async def test_a_head_must_be_whole_30_s_after_its_first_byte(
    world: World, autojump_clock: MockClock
) -> None:
    visitor = world.visit()
    await trio.sleep(70)
    began = trio.current_time()
    with trio.move_on_after(29):
        for byte in get():
            await visitor.send(bytes([byte]))
            await trio.sleep(5)
    raw = await visitor.rest()
    assert tunnel_error(raw) == (408, "request-timeout")
    assert b"Connection: close" in raw
    assert 30 <= trio.current_time() - began <= 32
    await visitor.end()
    await visitor.done.wait()


async def test_the_head_of_a_second_request_has_30_s_as_well(
    world: World, autojump_clock: MockClock
) -> None:
    await world.client(hello)
    visitor = world.visit()
    await visitor.send(get() + b"GET /")
    await visitor.expect(HELLO)
    began = trio.current_time()
    assert tunnel_error(await visitor.rest()) == (408, "request-timeout")
    assert 30 <= trio.current_time() - began <= 32


async def test_a_body_that_stalls_for_5_minutes_is_408(
    world: World, autojump_clock: MockClock
) -> None:
    app = Collector()
    await world.client(app)
    visitor = world.visit()
    await visitor.send(UPLOAD)
    for _ in range(5):
        await trio.sleep(299)
        await visitor.send(b"x")
    began = trio.current_time()
    assert tunnel_error(await visitor.rest()) == (408, "request-timeout")
    assert 300 <= trio.current_time() - began <= 302
    assert app.reset == "cancelled"
    await visitor.end()
    await visitor.done.wait()
    await world.nothing_is_left()


async def test_a_quiet_answer_has_no_limit(world: World, autojump_clock: MockClock) -> None:
    async def quiet(stream: TunnelStream) -> None:
        await trio.sleep(3600)
        await answer(stream, head(body=5), b"hello")

    await world.client(quiet)
    visitor = world.visit()
    await visitor.send(get())
    await visitor.expect(HELLO)


async def test_a_reset_is_noticed_by_the_sweep_while_nobody_reads() -> None:
    """The app does not take the body, so we do not read: no read can fail."""
    async with open_world() as world:
        client = await world.client(Gated())
        visitor = await world.visit_by_tcp()
        await visitor.send(POST + b"Content-Length: 10000000\r\n\r\n")
        with trio.move_on_after(0.3):
            await visitor.send(bytes(10_000_000))
        (connection,) = world.edge.connections
        connection.sweep(trio.current_time())
        await wait_all_tasks_blocked(0.01)
        assert not client.stopped[0].is_set()
        await visitor.reset()
        await wait_all_tasks_blocked(0.01)
        assert not client.stopped[0].is_set()
        connection.sweep(trio.current_time())
        await client.stopped[0].wait()
        await visitor.done.wait()


@pytest.mark.parametrize("last", [b"", b"zz\r\n"], ids=["end", "no chunk"])
async def test_a_body_that_breaks_off_as_its_time_passes_is_answered(
    world: World, last: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await world.client(echo)
    visitor = world.visit()
    await visitor.send(
        b"POST / HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    await wait_all_tasks_blocked()
    (connection,) = world.edge.connections
    assert isinstance(connection, Connection)
    assert isinstance(connection.stream, trio.StapledStream)
    arriving = connection.stream.receive_stream
    assert isinstance(arriving, trio.testing.MemoryReceiveStream)
    # In one step of the loop: the last bytes are there, and the sweep finds the time over.
    if last:
        arriving.put_data(last)
    else:
        arriving.put_eof()
    connection.sweep(connection.deadlines.read + 1)
    assert tunnel_error(await visitor.head()) == (400, "bad-request")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
