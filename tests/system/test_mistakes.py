"""What people do wrong at first: the program says what it is, and does not try for ever."""

from __future__ import annotations

import contextlib
import ssl
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme

from tests.programs import Programs
from tests.system.origin import Origin


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


async def ends(programs: Programs, server: str, said: str) -> None:
    client = await programs.client(3000, server)
    stopped = await client.event("stopped")
    assert said in stopped["reason"]
    assert stopped["reason"].endswith(" (trying again would change nothing)")
    assert await client.exit_code() == 1


async def test_an_app_in_the_servers_place(programs: Programs, origin: Origin) -> None:
    said = "answered 404, and not as a tunnel-server"
    await ends(programs, f"http://127.0.0.1:{origin.port}", said)


async def test_http_and_https_taken_for_one_another(
    programs: Programs, tmp_path: Path, ca: trustme.CA
) -> None:
    _, port = await programs.server()
    await ends(programs, f"https://127.0.0.1:{port}", "does not speak TLS; is it an http:// server")
    cert = ca.issue_cert("localhost")
    cert.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    cert.private_key_pem.write_to_path(tmp_path / "key.pem")
    tls = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    _, port = await programs.server(*tls)
    await ends(programs, f"http://localhost:{port}", "; is it an https:// server?")
    await ends(programs, f"https://localhost:{port}", "certificate is not trusted")


async def test_a_server_that_is_not_there_yet_is_waited_for(
    programs: Programs, origin: Origin
) -> None:
    with trio.socket.socket() as taken:
        await taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        client = await programs.client(origin.port, port)
        assert (await client.event("reconnecting"))["wait_s"] < 2
    await programs.server(bind=f"127.0.0.1:{port}")
    await client.event("ready")


@pytest.mark.parametrize("flags", [[], ["--identity", "local"], ["--host-header", "shop.test"]])
async def test_a_target_that_is_no_web_app_is_served_with_a_warning(
    programs: Programs, nursery: trio.Nursery, flags: list[str]
) -> None:
    async def ssh(stream: trio.SocketStream) -> None:
        await stream.send_all(b"SSH-2.0-OpenSSH_9.2\r\n")
        await stream.aclose()

    [listener] = await nursery.start(partial(trio.serve_tcp, ssh, 0, host="127.0.0.1"))
    target = listener.socket.getsockname()[1]
    _, port = await programs.server()
    client = await programs.client(target, port, *flags)
    warning = await client.event("warning", code="origin-protocol-error")
    said = f"http://localhost:{target} is no web app: this is an SSH server"
    assert warning["message"] == said
    assert [event["event"] for event in client.events][:1] == ["ready"]


async def test_an_app_that_speaks_tls_is_told_with_what_to_type(
    programs: Programs, nursery: trio.Nursery, ca: trustme.CA
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("localhost").configure_cert(context)

    async def app(stream: trio.SSLStream[trio.SocketStream]) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.receive_some()
        await trio.aclose_forcefully(stream)

    [listener] = await nursery.start(
        partial(trio.serve_ssl_over_tcp, app, 0, context, host="127.0.0.1")
    )
    target = listener.transport_listener.socket.getsockname()[1]
    _, port = await programs.server()
    client = await programs.client(target, port)
    warning = await client.event("warning", code="origin-protocol-error")
    assert warning["message"].endswith(f": tunnel-client http https://localhost:{target}")


async def test_https_to_an_app_of_http_is_told_at_the_start(
    programs: Programs, origin: Origin
) -> None:
    _, port = await programs.server()
    client = await programs.client(f"https://localhost:{origin.port}", port)
    warning = await client.event("warning", code="origin-refused")
    said = f"https://localhost:{origin.port} broke off the TLS handshake"  # it closes, silently
    assert warning["message"] == said
