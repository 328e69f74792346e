"""Other people's servers as the app: websocketd, nginx, and what speaks HTTP/1.0 only."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme
from wsproto.events import CloseConnection, TextMessage

from benchmarks.programs import free_port, path_of, running
from tests.programs import Address, Programs
from tests.system.peer import READ_BYTES, WsEvents
from tests.system.visitor import SMALL_S, fetch, visit

FILE = bytes(range(256)) * 4096  # 1 MiB


# --- websocketd ----------------------------------------------------------------------------------


async def check_echo(address: Address) -> None:
    """A line to a program's stdin, and one from its stdout."""
    with trio.fail_after(SMALL_S):
        async with visit(address) as visitor:
            messages = await visitor.upgrade("/")
            events = WsEvents(visitor.stream, messages)
            for line in ("one", "two, with ü", "x" * 5000):
                await visitor.stream.send_all(messages.send(TextMessage(line)))
                assert await line_of(events) == line
            await visitor.stream.send_all(messages.send(CloseConnection(code=1000)))


async def line_of(events: WsEvents) -> str:
    """One message, of as many frames as it has."""
    text = ""
    async for event in events:
        assert isinstance(event, TextMessage), event
        text += event.data
        if event.message_finished:
            return text
    raise AssertionError(f"the end, after {text!r}")


@pytest.mark.needs("websocketd")
async def test_websocketd_is_shared(programs: Programs) -> None:
    port = free_port()
    argv = [path_of("websocketd"), "--address", "127.0.0.1", "--port", str(port), "cat"]
    async with running("websocketd", argv, programs.folder) as app:
        await app.listening(port)
        tunnel = await programs.tunnel(port)
        await check_echo(tunnel.address)
        answer = await fetch(tunnel.address)  # no page is there, and websocketd says so itself
        assert (answer.status, answer.error) == (404, None)


@pytest.mark.needs("websocketd")
async def test_websocketd_with_a_certificate_of_its_own_is_shared(programs: Programs) -> None:
    port, folder = free_port(), programs.folder
    issued = trustme.CA().issue_cert("localhost")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    files = ("--ssl", "--sslcert", str(folder / "cert.pem"), "--sslkey", str(folder / "key.pem"))
    where = ("--address", "127.0.0.1", "--port", str(port))
    argv = [path_of("websocketd"), *files, *where, "cat"]
    async with running("websocketd", argv, folder) as app:
        await app.listening(port)
        tunnel = await programs.tunnel(f"https://localhost:{port}", "--origin-insecure")
        await check_echo(tunnel.address)


# --- nginx ---------------------------------------------------------------------------------------

NGINX = """
daemon off; master_process off; pid nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path temp; proxy_temp_path temp;
    fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
    server {{
        listen 127.0.0.1:{port};
        root site;
        location /echo {{ return 200 "$request_method $http_host $http_x_forwarded_proto"; }}
    }}
}}
"""


@pytest.mark.needs("nginx")
async def test_nginx_is_shared(programs: Programs) -> None:
    folder, port = programs.folder, free_port()
    (folder / "site").mkdir()
    (folder / "site" / "file").write_bytes(FILE)
    (folder / "nginx.conf").write_text(NGINX.format(port=port))
    argv = [path_of("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    async with running("nginx", argv, folder) as app:
        await app.listening(port)
        address = (await programs.tunnel(port, "--identity", "public")).address
        whole = await fetch(address, "/file")
        assert whole.body == FILE
        assert whole.fields["server"].startswith("nginx")
        async with visit(address) as visitor:
            await visitor.request("/file", fields=[("Range", "bytes=10-19")])
            assert (await visitor.answer()).status == 206
            assert b"".join([data async for data in visitor.body()]) == FILE[10:20]
        async with visit(address) as visitor:
            await visitor.request("/file", fields=[("If-None-Match", whole.fields["etag"])])
            assert (await visitor.answer()).status == 304
        told = await fetch(address, "/echo", "POST", b"body")
        assert told.body.decode() == f"POST {address.authority} http"
        assert (await fetch(address, "/missing")).error is None


# --- HTTP/1.0 ------------------------------------------------------------------------------------


async def check_two_on_one_connection(address: Address, target: str, body: bytes) -> None:
    """The visitor's connection stays, whatever becomes of the app's."""
    async with visit(address) as visitor:
        for _ in range(2):
            answer = await visitor.fetch(target)
            assert (answer.status, answer.error, answer.body) == (200, None, body)
            visitor.connection.start_next_cycle()


async def test_an_http_1_0_server_is_shared(programs: Programs, tmp_path: Path) -> None:
    """Python's own: it announces a length, and closes after each answer."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "file").write_bytes(FILE)
    port = free_port()
    where = ("--bind", "127.0.0.1", "--directory", str(tmp_path / "site"))
    argv = [sys.executable, "-m", "http.server", str(port), *where]
    async with running("http.server", argv, tmp_path) as app:
        await app.listening(port)
        address = (await programs.tunnel(port)).address
        await check_two_on_one_connection(address, "/file", FILE)
        assert (await fetch(address, "/file", "POST", b"body")).status == 501  # its own


async def test_an_http_1_0_answer_that_only_its_end_ends_is_shared(
    programs: Programs, nursery: trio.Nursery
) -> None:
    """An app of three lines: no length, no fields at all, FIN."""

    async def answer(stream: trio.SocketStream) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await stream.receive_some(READ_BYTES)
        await stream.send_all(b"HTTP/1.0 200 OK\r\n\r\n" + FILE)
        await stream.send_eof()
        async for _ in stream:
            pass

    serve = partial(trio.serve_tcp, answer, 0, host="127.0.0.1")
    (listener,) = await nursery.start(serve)
    address = (await programs.tunnel(listener.socket.getsockname()[1])).address
    await check_two_on_one_connection(address, "/", FILE)
