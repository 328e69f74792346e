"""An answer that ends does not end its request: with real visitors, as without the tunnel.

What a visitor does when it has read an early answer is its own business: curl sends no more when
that has a status from 300 on or says that the connection closes. So each upload is tried without
the tunnel as well, and must end in the same way through it, at the visitor and at the app.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
import trio

from tests.e2e.dev_servers import dev_server
from tests.needs import lacks, needs
from tests.patience import PATIENCE
from tests.programs import Address, Programs
from tests.system.early_app import HOWS, LONG_ANSWER_BYTES, EarlyApp
from tests.system.early_visitors import (
    BODY_BYTES,
    PROGRAMS,
    Body,
    Program,
    Seen,
    a_body,
    direct,
    number,
)
from tests.system.line_to_cut import LineToCut

RAW_S = 30 * PATIENCE
# The app reads these to the end.
READING = ("202", "202-closes", "202-old", "202-old-kept", "202-chunked", "202-long")
DRAINING = ("413-drained", "413-drained-closes")
# Programs start slowly: they try what decides about a visitor.
TRIED = ("202", "202-closes", "202-old", "202-long", *DRAINING)
LEAVING = ("413-leaves", "413-ends", "413-resets", "old-until-close")


@pytest.fixture
async def app(nursery: trio.Nursery) -> EarlyApp:
    return await EarlyApp().serve(nursery)


@pytest.fixture
async def shared(programs: Programs, app: EarlyApp) -> Address:
    # The app counts its connections, and knows no page to be asked for.
    return (await programs.tunnel(app.port, "--identity", "local")).address


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Body:
    return a_body(tmp_path_factory.mktemp("body"))


# --- programs ------------------------------------------------------------------------------------


async def outcome(
    app: EarlyApp, address: Address, program: Program, how: str, body: Body, mode: str
) -> tuple[Seen, bool]:
    """What the visitor saw, and whether the app got all."""
    this = number()
    seen = await program(address, f"/{how}?{this}", body.path, mode)
    taken = await app.taken(this)
    whole = taken.sha256 == body.sha256
    assert whole is taken.whole
    return seen, whole


@pytest.mark.timeout(300)
@pytest.mark.needs("curl", "node")
@pytest.mark.parametrize("how", TRIED)
@pytest.mark.parametrize(("program", "modes"), PROGRAMS)
async def test_a_body_reaches_the_app_as_it_does_without_the_tunnel(
    app: EarlyApp, shared: Address, body: Body, program: Program, modes: tuple[str, ...], how: str
) -> None:
    for mode in modes:
        expected = await outcome(app, direct(app), program, how, body, mode)
        through = await outcome(app, shared, program, how, body, mode)
        assert (mode, *through) == (mode, *expected)


# --- a visitor that holds its connection in its hand ---------------------------------------------


class Raw:
    """Sends and reads as the test says."""

    def __init__(self, stream: trio.SocketStream, address: Address) -> None:
        self.stream = stream
        self._address = address
        self._held = b""

    async def head(
        self, target: str, *fields: bytes, version: bytes = b"1.1", method: bytes = b"POST"
    ) -> None:
        host = self._address.authority.encode()
        lines = b"".join(field + b"\r\n" for field in fields)
        line = method + b" " + target.encode() + b" HTTP/" + version
        await self.stream.send_all(line + b"\r\nHost: " + host + b"\r\n" + lines + b"\r\n")

    async def get(self, target: str) -> None:
        await self.head(target, method=b"GET")

    async def next(self) -> bytes:
        """Ask for `/next`; the status line of the answer."""
        await self.get("/next")
        return (await self.answer(4))[0].split(b"\r\n")[0]

    async def answer(self, size: int) -> tuple[bytes, bytes]:
        """A head, and so much behind it."""
        while b"\r\n\r\n" not in self._held:
            await self._more()
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        while len(self._held) < size:
            await self._more()
        body, self._held = self._held[:size], self._held[size:]
        return head, body

    async def rest(self) -> bytes:
        """All to the end."""
        while data := await self.stream.receive_some(65536):
            self._held += data
        return self._held

    async def exactly(self, expected: bytes) -> None:
        while len(self._held) < len(expected):
            await self._more()
        assert self._held[: len(expected)] == expected
        self._held = self._held[len(expected) :]

    async def _more(self) -> None:
        data = await self.stream.receive_some(65536)
        assert data, f"an end after {self._held!r}"
        self._held += data


@asynccontextmanager
async def raw(address: Address) -> AsyncIterator[Raw]:
    with trio.fail_after(RAW_S):
        async with await trio.open_tcp_stream("127.0.0.1", address.port) as stream:
            yield Raw(stream, address)


LENGTH = b"Content-Length: %d" % BODY_BYTES


@pytest.mark.timeout(300)
@pytest.mark.parametrize("asks", ["1.1", "close", "1.0"])
async def test_a_visitor_that_reads_the_answer_first_sends_all_behind_it(
    app: EarlyApp, shared: Address, body: Body, asks: str
) -> None:
    fields = (LENGTH, b"Connection: close") if asks == "close" else (LENGTH,)
    version = b"1.0" if asks == "1.0" else b"1.1"
    # To HTTP/1.0 an app ends by closing what has no length.
    for how in [*READING, *DRAINING] if asks != "1.0" else ["202", "202-closes", *DRAINING]:
        this = number()
        async with raw(shared) as visitor:
            await visitor.head(f"/{how}?{this}", *fields, version=version)
            said = HOWS[how].answer.partition(b"\r\n\r\n")[2]
            head, _ = await visitor.answer(len(said))
            closes = HOWS[how].then == "closes"
            assert (b"\r\nConnection: close" in head) is closes, how
            if asks == "1.0":
                assert await visitor.rest() == b""  # our end alone
            await visitor.stream.send_all(body.data)
            assert await app.taken(this) == (body.sha256, BODY_BYTES, True), how
            if asks == "1.1" and not closes:
                assert await visitor.next() == b"HTTP/1.1 200 OK"
            else:
                assert await visitor.rest() == b"", how


async def test_a_visitor_that_reads_late_has_sent_all(
    app: EarlyApp, shared: Address, body: Body
) -> None:
    for how in ("202", "202-closes", "202-long", "413-drained"):
        this = number()
        async with raw(shared) as visitor:
            await visitor.head(f"/{how}?{this}", LENGTH)
            await visitor.stream.send_all(body.data)
            assert (await app.taken(this)).sha256 == body.sha256
            size = LONG_ANSWER_BYTES if how == "202-long" else 2
            assert len((await visitor.answer(size))[1]) == size


async def test_an_answer_and_an_upload_that_are_both_slow(app: EarlyApp, shared: Address) -> None:
    this, pieces = number(), [b"%d" % piece * 100 for piece in range(50)]
    async with raw(shared) as visitor:
        await visitor.head(f"/slow?{this}", b"Content-Length: %d" % len(b"".join(pieces)))
        assert b" 202 " in (await visitor.answer(0))[0]
        for piece in pieces:
            await visitor.stream.send_all(piece)
            await visitor.exactly(b"1\r\nx\r\n")
        await visitor.exactly(b"0\r\n\r\n")
        assert (await app.taken(this)).sha256 == hashlib.sha256(b"".join(pieces)).hexdigest()
        assert await visitor.next() == b"HTTP/1.1 200 OK"


async def test_a_second_request_on_the_same_connection(
    app: EarlyApp, shared: Address, body: Body
) -> None:
    """Sent at once behind the first one, and begun when both of its directions have ended."""
    first, second = number(), number()
    async with raw(shared) as visitor:
        for this in (first, second):
            await visitor.head(f"/202?{this}", LENGTH)
            await visitor.stream.send_all(body.data)
        for this in (first, second):
            assert await visitor.answer(2) == (HOWS["202"].answer[:-6], b"ok")
            assert (await app.taken(this)).sha256 == body.sha256
        assert await visitor.next() == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("how", LEAVING)
async def test_an_app_that_leaves_stops_the_upload_and_its_answer_comes_first(
    app: EarlyApp, shared: Address, how: str
) -> None:
    for asks in (b"1.1", b"1.0"):
        await see_it_leave(app, shared, how, asks)


async def see_it_leave(app: EarlyApp, shared: Address, how: str, asks: bytes) -> None:
    this = number()
    async with raw(shared) as visitor:
        await visitor.head(f"/{how}?{this}", LENGTH, version=asks)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_while_taken, visitor)
            head, _ = await visitor.answer(2)
            assert head.split(b" ")[1] == HOWS[how].answer.split(b" ")[1]
            app.go(this)
            # It takes no more: the visitor's connection ends, by a reset if it goes on sending.
            with suppress(trio.BrokenResourceError):
                await visitor.rest()
    if HOWS[how].then == "ends":
        assert not (await app.taken(this)).whole


async def send_while_taken(visitor: Raw) -> None:
    with pytest.raises(trio.BrokenResourceError):
        await visitor.stream.send_all(bytes(10 * BODY_BYTES))


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_an_app_that_stops_the_upload_while_the_session_is_detached(
    programs: Programs, app: EarlyApp, nursery: trio.Nursery, when: str
) -> None:
    """Its answer, which came before, comes first, and then the end."""
    _, port = await programs.server()
    line = await LineToCut(port).serve(nursery)
    flags = ("--subdomain", "app", "--identity", "local")  # as above
    client = await programs.client(app.port, line.port, *flags)
    await client.event("ready")
    this = number()
    answer, _, _ = HOWS["413-ends-later"].answer.partition(b"\r\n\r\n")
    async with raw(Address(port, "app.localhost")) as visitor:
        if when == "before":
            await visitor.head(f"/413-ends-later?{this}", LENGTH)
            assert await visitor.answer(2) == (answer, b"ok")
            line.cut()
        else:
            await visitor.head(f"/413-later?{this}", LENGTH)
            await app.asked(this)
            line.cut()
        await client.event("reconnecting")
        app.go(this)
        await app.left(this)
        line.mend()
        await client.event("resumed")
        if when == "meanwhile":
            head, said = await visitor.answer(2)
            assert (head.startswith(answer), said) == (True, b"ok")
        assert await visitor.rest() == b""


# --- a real app ----------------------------------------------------------------------------------

# Answers at once, as many apps do that take a job, and tells what it has got to whoever asks next.
NODE_APP = """
const http = require('http'), crypto = require('crypto');
let told = Promise.resolve("");
http.createServer((request, answer) => {
  if (request.method === 'GET') return told.then(said => answer.end(said));
  const seen = crypto.createHash('sha256');
  request.on('data', data => seen.update(data));
  told = new Promise(done => {
    request.on('end', () => done(seen.digest('hex')));
    request.on('aborted', () => done('aborted'));
  });
  answer.writeHead(202, {'Content-Length': 2}).end('ok');
}).listen(0, '127.0.0.1', function () {
  console.log(`http://127.0.0.1:${this.address().port}/`);
});
"""

# Likewise: its handler answers and goes on reading.
AIOHTTP_APP = """
import asyncio, hashlib
from aiohttp import web
told = asyncio.Future()
async def take(request):
    answer = web.StreamResponse(status=202, headers={'Content-Length': '2'})
    await answer.prepare(request)
    await answer.write_eof(b'ok')
    seen = hashlib.sha256()
    async for data in request.content.iter_any():
        seen.update(data)
    told.set_result(seen.hexdigest())
    return answer
async def tell(request):
    return web.Response(text=await told)
async def main():
    app = web.Application()
    app.add_routes([web.post('/', take), web.get('/', tell)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, '127.0.0.1', 0).start()
    print(f'http://127.0.0.1:{runner.addresses[0][1]}/', flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


# Its handler answers and never reads a body, which http.server then takes for the next request.
# That has its answer when the next visitor has been here, or would be answered with it.
NEVER_READS = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event
met, other = Event(), Event()
class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        said = f'{self.command} {self.path}'.encode()
        if self.path == '/evil':
            met.set()
            other.wait(5)
        elif self.path == '/met':
            met.wait()
            self.close_connection = True
        elif self.path == '/0':
            other.set()
        self.send_response(200)
        self.send_header('Content-Length', str(len(said)))
        if self.close_connection:
            self.send_header('Connection', 'close')
        self.end_headers()
        self.wfile.write(said)
    do_POST = do_GET
server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(f'http://127.0.0.1:{server.server_port}/', flush=True)
server.serve_forever()
"""


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_body_that_an_app_of_http_server_never_reads_answers_no_other_visitor(
    programs: Programs, tmp_path: Path, at_once: bool
) -> None:
    evil = b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"
    length = b"Content-Length: %d" % len(evil)
    async with dev_server(tmp_path, sys.executable, "-c", NEVER_READS) as port:
        address = (await programs.tunnel(port, "--identity", "local")).address
        async with raw(address) as visitor, raw(address) as third, raw(address) as other:
            if at_once:
                host = address.authority.encode()
                head = b"POST /a HTTP/1.1\r\nHost: " + host + b"\r\n" + length + b"\r\n\r\n"
                await visitor.stream.send_all(head + evil)
            else:
                await visitor.head("/a", length)
            assert (await visitor.answer(7))[1] == b"POST /a"
            if not at_once:
                await visitor.stream.send_all(evil)
            for asker, target in ((third, "/met"), (other, "/0"), (other, "/1")):
                await asker.get(target)
                said = f"GET {target}".encode()
                assert (await asker.answer(len(said)))[1] == said


@pytest.mark.needs("node")
async def test_an_app_of_nodes_http_that_answers_at_once_gets_all(
    programs: Programs, tmp_path: Path, body: Body
) -> None:
    [program] = needs("node")
    await see_it_get_all(programs, tmp_path, body, program, "-e", NODE_APP)


async def test_an_app_of_aiohttp_that_answers_at_once_gets_all(
    programs: Programs, tmp_path: Path, body: Body
) -> None:
    if find_spec("aiohttp") is None:
        lacks("aiohttp")
    await see_it_get_all(programs, tmp_path, body, sys.executable, "-c", AIOHTTP_APP)


async def see_it_get_all(programs: Programs, tmp_path: Path, body: Body, *command: str) -> None:
    async with dev_server(tmp_path, *command) as port:
        address = (await programs.tunnel(port, "--identity", "local")).address
        async with raw(address) as visitor:
            await visitor.head("/", LENGTH)
            assert b" 202 " in (await visitor.answer(2))[0]
            await visitor.stream.send_all(body.data)
            await visitor.get("/")
            assert (await visitor.answer(64))[1].decode() == body.sha256
