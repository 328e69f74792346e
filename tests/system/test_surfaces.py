"""What DESIGN calls the surfaces, with real sockets: targets, names, tokens, TLS, proxies."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from pathlib import Path

import pytest
import trio
import trustme

from tests.programs import SCRIPTS, Address, Program, Programs, Tunnel, isolated
from tests.system.origin import Origin
from tests.system.proxy import ConnectProxy
from tests.system.visitor import fetch, health

# A domain that is not for tests, so that the server asks for a token on loopback too.
DOMAIN = "tunnel.example.com"
NOWHERE = "tunnel.invalid"  # RFC 2606: resolves nowhere


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> str:
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


def certificate_flags(ca: trustme.CA, folder: Path, *names: str) -> list[str]:
    """--tls-cert and --tls-key for these names."""
    issued = ca.issue_cert(*names)
    issued.private_key_pem.write_to_path(folder / "key.pem")
    for pem in issued.cert_chain_pems:
        pem.write_to_path(folder / "cert.pem", append=True)
    return ["--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem")]


def trusting(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


async def create_token(name: str, auth_file: Path) -> str:
    """The token that `token create` prints."""
    created = await trio.run_process(
        [str(SCRIPTS / "tunnel-server"), "token", "create", name, "--auth-file", str(auth_file)],
        capture_stdout=True,
        env=isolated(auth_file.parent / "home"),
    )
    token: str = created.stdout.decode()
    assert re.fullmatch(r"tt_[A-Za-z0-9_-]{43}\n", token)
    return token


# --- versions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tunnel-server", "tunnel-client"])
def test_both_programs_tell_their_version(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [SCRIPTS / name, "--version"], capture_output=True, text=True, env=isolated(tmp_path)
    )
    assert re.search(r"\d+\.\d+\.\d+", done.stdout)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("program", "arguments", "key"),
    [
        ("tunnel-server", ["--bind", "nonsense"], "--bind"),
        ("tunnel-server", ["--public-url", "http://a.example/path"], "--public-url"),
        ("tunnel-server", ["--no-such-flag"], "--no-such-flag"),
        ("tunnel-client", ["http", "no port"], "TARGET"),
        ("tunnel-client", ["http", "3000", "--subdomain", "not_legal"], "--subdomain"),
        ("tunnel-client", ["http", "3000", "--server", "ftp://x"], "--server"),
    ],
)
async def test_a_bad_flag_is_one_line_that_names_the_key_and_exit_code_2(
    programs: Programs, program: str, arguments: list[str], key: str
) -> None:
    started = await programs.start(program, *arguments)
    assert await started.exit_code() == 2
    assert len(started.stderr.splitlines()) == 1
    assert key in started.stderr


# --- names --------------------------------------------------------------------------------------


async def test_a_name_is_made_up_when_none_is_asked_for(programs: Programs, origin: Origin) -> None:
    _, port = await programs.server()
    client = await programs.client(origin.port, port)
    ready = await client.event("ready")
    assert re.fullmatch(r"[a-z]+-[a-z]+-[a-z2-7]{8}", ready["name"])
    assert ready["url"] == f"http://{ready['name']}.localhost:{port}"


async def test_two_tunnels_on_one_server_each_lead_to_their_own_app(
    programs: Programs, origin: Origin
) -> None:
    public = ("--identity", "public")  # the app sees which of the two it is asked through
    tunnel = await programs.tunnel(origin.port, *public)
    port = tunnel.address.port
    other = await programs.client(origin.port, port, "--subdomain", "other", *public)
    await other.event("ready")
    for name in ("app", "other"):
        answer = await fetch(Address(port, f"{name}.localhost"), "/fields")
        assert json.loads(answer.body)["x-forwarded-host"] == f"{name}.localhost:{port}"
    await other.stop()
    assert (await fetch(Address(port, "other.localhost"))).error == "tunnel-offline"
    assert (await fetch(Address(port, "never.localhost"))).error == "tunnel-not-found"
    assert (await fetch(tunnel.address)).body == b"hello"


async def test_a_stranger_cannot_take_a_name_that_is_in_use(
    tunnel: Tunnel, programs: Programs, origin: Origin
) -> None:
    stranger = await programs.client(
        origin.port, tunnel.address.port, "--subdomain", "app", home="stranger"
    )
    assert await stranger.exit_code() == 3
    assert (await stranger.event("refused"))["code"] == "name-taken"
    assert (await fetch(tunnel.address)).body == b"hello"


# --- targets ------------------------------------------------------------------------------------


async def test_an_app_on_a_unix_socket_is_shared(
    programs: Programs, origin: Origin, tmp_path: Path, nursery: trio.Nursery
) -> None:
    path = tmp_path / "app.sock"
    with trio.socket.socket(trio.socket.AF_UNIX) as listening:
        await listening.bind(str(path))
        listening.listen()
        nursery.start_soon(trio.serve_listeners, origin.handle, [trio.SocketListener(listening)])
        tunnel = await programs.tunnel(f"unix:{path}")
        assert (await fetch(tunnel.address)).body == b"hello"


async def serve_https(origin: Origin, ca: trustme.CA, nursery: trio.Nursery) -> int:
    """The port on which the origin is served by TLS, as `localhost`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("localhost").configure_cert(context)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            await stream.do_handshake()
        except trio.BrokenResourceError:  # a client that does not trust the certificate
            return
        await origin.handle(stream)

    tls = trio.SSLListener(listener, context, https_compatible=True)
    nursery.start_soon(trio.serve_listeners, serve, [tls])
    port: int = listener.socket.getsockname()[1]
    return port


@pytest.mark.parametrize("trust", ["--origin-insecure", "--origin-ca"])
async def test_an_https_app_is_shared(
    programs: Programs,
    origin: Origin,
    nursery: trio.Nursery,
    ca: trustme.CA,
    ca_file: str,
    trust: str,
) -> None:
    port = await serve_https(origin, ca, nursery)
    flags = [trust] if trust == "--origin-insecure" else [trust, ca_file]
    tunnel = await programs.tunnel(f"https://localhost:{port}", *flags)
    assert (await fetch(tunnel.address)).body == b"hello"


async def test_an_https_app_with_an_unknown_certificate_is_not_trusted(
    programs: Programs, origin: Origin, nursery: trio.Nursery, ca: trustme.CA
) -> None:
    port = await serve_https(origin, ca, nursery)
    tunnel = await programs.tunnel(f"https://localhost:{port}")
    answer = await fetch(tunnel.address)
    assert answer.status == 502
    assert answer.error == "origin-untrusted"
    assert "certificate" in (await tunnel.client.event("request"))["error"]


# --- tokens -------------------------------------------------------------------------------------


async def guarded_server(programs: Programs, auth_file: Path) -> tuple[Program, int]:
    """A server that wants a token of this file."""
    url = f"http://{DOMAIN}"
    flags = ("--domain", DOMAIN, "--public-url", url, "--auth-file", str(auth_file))
    return await programs.server(*flags)


async def client_with(programs: Programs, origin: Origin, port: int, token: str) -> Program:
    path = programs.folder / f"token-{len(programs.all)}"
    path.write_text(token)
    path.chmod(0o600)
    flags = ("--subdomain", "app", "--token-file", str(path))
    return await programs.client(origin.port, port, *flags)


async def test_a_client_with_a_token_is_served_and_one_with_a_wrong_token_is_refused(
    programs: Programs, origin: Origin, tmp_path: Path
) -> None:
    token = await create_token("ann", tmp_path / "auth")
    assert (tmp_path / "auth").stat().st_mode & 0o777 == 0o600
    _, port = await guarded_server(programs, tmp_path / "auth")
    client = await client_with(programs, origin, port, token)
    assert (await client.event("ready"))["url"] == f"http://app.{DOMAIN}"
    wrong = await client_with(programs, origin, port, f"tt_{'x' * 43}\n")
    assert await wrong.exit_code() == 3
    assert (await wrong.event("refused"))["code"] == "unauthorized"
    assert "x" * 43 not in wrong.stderr
    assert (await fetch(Address(port, f"app.{DOMAIN}"))).body == b"hello"
    assert set(await health(port)) == {"status"}  # nothing more without a token


async def test_a_client_without_a_token_is_refused(
    programs: Programs, origin: Origin, tmp_path: Path
) -> None:
    await create_token("ann", tmp_path / "auth")
    _, port = await guarded_server(programs, tmp_path / "auth")
    client = await programs.client(origin.port, port)
    assert await client.exit_code() == 3
    assert (await client.event("refused"))["code"] == "unauthorized"


async def test_a_running_server_knows_a_token_as_soon_as_it_is_created(
    programs: Programs, origin: Origin, tmp_path: Path
) -> None:
    await create_token("ann", tmp_path / "auth")
    _, port = await guarded_server(programs, tmp_path / "auth")
    assert (await fetch(Address(port, "localhost"), "/_tunnel/health")).status == 200
    token = await create_token("bob", tmp_path / "auth")
    client = await client_with(programs, origin, port, token)
    await client.event("ready")


async def test_a_token_that_is_taken_away_ends_its_session(
    programs: Programs, origin: Origin, tmp_path: Path
) -> None:
    auth_file = tmp_path / "auth"
    token = await create_token("ann", auth_file)
    await create_token("bob", auth_file)
    server, port = await guarded_server(programs, auth_file)
    client = await client_with(programs, origin, port, token)
    await client.event("ready")
    lines = auth_file.read_text().splitlines(keepends=True)
    auth_file.write_text("".join(line for line in lines if not line.startswith("ann ")))
    await server.says("session ended: its token is not valid any more")
    assert await client.exit_code() == 3
    refused = await client.event("refused")
    assert refused["code"] == "unauthorized"
    assert refused["message"].startswith("the token of this client is not valid any more; ")
    assert all(event["event"] != "reconnecting" for event in client.events)


# --- TLS and proxies ----------------------------------------------------------------------------


async def test_a_server_with_tls_serves_clients_and_visitors(
    programs: Programs, origin: Origin, ca: trustme.CA, ca_file: str, tmp_path: Path
) -> None:
    flags = certificate_flags(ca, tmp_path, "localhost", "app.localhost")
    server, port = await programs.server(*flags)
    assert server.events[0]["url"] == f"https://localhost:{port}"
    url = f"https://localhost:{port}"
    client = await programs.client(origin.port, url, "--server-ca", ca_file, "--subdomain", "app")
    assert (await client.event("ready"))["url"] == f"https://app.localhost:{port}"
    answer = await fetch(Address(port, "app.localhost", trusting(ca)))
    assert answer.body == b"hello"


async def test_a_server_whose_certificate_is_not_trusted_is_never_given_the_token(
    programs: Programs, origin: Origin, ca: trustme.CA, tmp_path: Path
) -> None:
    _, port = await programs.server(*certificate_flags(ca, tmp_path, "localhost"))
    client = await programs.client(origin.port, f"https://localhost:{port}")
    assert "its certificate is not trusted" in (await client.event("stopped"))["reason"]
    assert await client.exit_code() == 1


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
async def test_a_client_reaches_a_tls_server_through_a_proxy(
    programs: Programs,
    origin: Origin,
    nursery: trio.Nursery,
    ca: trustme.CA,
    ca_file: str,
    tmp_path: Path,
    variable: str,
) -> None:
    flags = certificate_flags(ca, tmp_path, NOWHERE)
    _, port = await programs.server("--public-url", f"https://{NOWHERE}:9", "--open", *flags)
    proxy = await ConnectProxy(port).serve(nursery)
    client = await programs.client(
        origin.port,
        f"https://{NOWHERE}:9",
        "--server-ca",
        ca_file,
        "--subdomain",
        "app",
        env={variable: f"http://127.0.0.1:{proxy.port}"},
    )
    assert (await client.event("ready"))["url"] == f"https://app.{NOWHERE}:9"
    assert proxy.asked == [f"CONNECT {NOWHERE}:9 HTTP/1.1"]


async def test_no_proxy_leaves_the_proxy_out(
    programs: Programs,
    origin: Origin,
    nursery: trio.Nursery,
    ca: trustme.CA,
    ca_file: str,
    tmp_path: Path,
) -> None:
    _, port = await programs.server(*certificate_flags(ca, tmp_path, "localhost"))
    proxy = await ConnectProxy(port).serve(nursery)
    client = await programs.client(
        origin.port,
        f"https://localhost:{port}",
        "--server-ca",
        ca_file,
        env={"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": "example.org,localhost"},
    )
    await client.event("ready")
    assert proxy.asked == []
