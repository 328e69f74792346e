"""Other people's servers in front of ours, each with its file of deploy/.

A front takes that very file, with its own values in the places of the example's, and around it only
what Debian's own main configuration would have said. Nothing else of the machine is used: no port
below 1024, no folder but a temporary one.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from benchmarks.programs import free_port, path_of, running
from tests.programs import Address, Program, Programs
from tests.system.origin import Origin

DEPLOY = Path(__file__).parents[2] / "deploy"
DOMAIN = "tunnel.example.com"  # in all files
CERTIFICATES = f"/etc/letsencrypt/live/{DOMAIN}"

# Neither the proxy's address nor the client's, so that nobody is taken for the visitor.
VISITOR = "127.0.0.2"
PROXY = "127.0.0.1"


@dataclass
class Front:
    """A tunnel behind a proxy, as a visitor finds it."""

    address: Address
    chain: str  # what the app is told in X-Forwarded-For
    server: Program
    ca_file: Path
    full_duplex: bool  # an answer may come before the end of its request

    def host(self, name: str) -> Address:
        """Another host by the same way."""
        return Address(self.address.port, name, self.address.tls, self.address.visitor)


Open = Callable[[Programs, Origin], AbstractAsyncContextManager[Front]]


def deployed(name: str, values: Mapping[str, str]) -> str:
    """A file of deploy/ with other values; each example has to be in it."""
    text = (DEPLOY / name).read_text()
    for example, value in values.items():
        assert example in text, example
        text = text.replace(example, value)
    return text


def write_certificates(folder: Path) -> Path:
    """What certbot would have made, under its names, and for HAProxy; the CA's file."""
    ca = trustme.CA()
    issued = ca.issue_cert("localhost", "*.localhost", "app.localhost")
    issued.private_key_pem.write_to_path(folder / "privkey.pem")
    for pem in issued.cert_chain_pems:
        pem.write_to_path(folder / "fullchain.pem", append=True)
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "tunnel.pem")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    return folder / "ca.pem"


async def start_server(programs: Programs, port: int, *flags: str) -> tuple[Program, int]:
    """A server whose visitors come by this port of a proxy, and its own port."""
    url = ("--public-url", f"https://localhost:{port}")
    return await programs.server(*url, "--trusted-proxies", PROXY, "--open", *flags)


@asynccontextmanager
async def in_front(
    programs: Programs,
    origin: Origin,
    server: Program,
    argv: Sequence[str],
    port: int,
    ca_file: Path,
    chain: str = f"{VISITOR}, {PROXY}",
    full_duplex: bool = True,
) -> AsyncIterator[Front]:
    """The proxy runs, and a client has connected through it."""
    async with running(Path(argv[0]).name, argv, programs.folder) as proxy:
        await proxy.listening(port)
        # public: the app is told all that the server was.
        flags = ("--server-ca", str(ca_file), "--subdomain", "app", "--identity", "public")
        client = await programs.client(origin.port, f"https://localhost:{port}", *flags)
        ready = await client.event("ready")
        assert ready["url"] == f"https://app.localhost:{port}"
        trusting = ssl.create_default_context(cafile=str(ca_file))
        address = Address(port, "app.localhost", trusting, VISITOR)
        yield Front(address, chain, server, ca_file, full_duplex)


# --- nginx ---------------------------------------------------------------------------------------

# One process: as root it would else leave the temporary folder's files to another user.
NGINX = """
daemon off; master_process off; pid nginx.pid;
events {{}}
http {{
    gzip on;
    access_log off;
    client_body_temp_path temp; proxy_temp_path temp;
    fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
    include {deployed};
}}
"""


@asynccontextmanager
async def open_nginx(programs: Programs, origin: Origin) -> AsyncIterator[Front]:
    folder, port = programs.folder, free_port()
    ca_file = write_certificates(folder)
    server, server_port = await start_server(programs, port)
    values = {
        CERTIFICATES: str(folder),
        "127.0.0.1:8080": f"127.0.0.1:{server_port}",
        "listen 443": f"listen 127.0.0.1:{port}",
        DOMAIN: "localhost",
    }
    (folder / "tunnel.conf").write_text(deployed("nginx.conf", values))
    (folder / "nginx.conf").write_text(NGINX.format(deployed=folder / "tunnel.conf"))
    argv = [path_of("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    proxy = in_front(programs, origin, server, argv, port, ca_file, full_duplex=False)
    async with proxy as front:
        yield front


# --- Caddy ---------------------------------------------------------------------------------------

# What Caddy is told of this machine. No ACME server is here: its own CA issues what is on demand.
CADDY = """{{
	skip_install_trust
	admin off
	auto_https disable_redirects
	https_port {port}
	storage file_system {folder}/caddy
}}

"""
ON_DEMAND = re.compile(r"#   (.*)\n|#\n")


def on_demand(text: str, options: str) -> str:
    """The file as its last lines say that it may be, with these options beside theirs."""
    site, _, said = text.partition("# in the place of the first line and of `tls` above\n")
    lines = said.partition("# Each certificate")[0]
    block = "".join(f"{match[1] or ''}\n" for match in ON_DEMAND.finditer(lines)).strip()
    rest = site[site.index("\n", site.index("\ttls ")) :]
    return options.removesuffix("}\n\n") + block.removeprefix("{") + rest


@asynccontextmanager
async def open_caddy(
    programs: Programs, origin: Origin, *, wildcard: bool = True
) -> AsyncIterator[Front]:
    folder, port = programs.folder, free_port()
    server, server_port = await start_server(programs, port)
    values = {
        CERTIFICATES: str(folder),
        DOMAIN: "localhost",
        "127.0.0.1:8080": f"127.0.0.1:{server_port}",
    }
    text, options = deployed("Caddyfile", values), CADDY.format(port=port, folder=folder)
    if wildcard:
        text, ca_file = options + text, write_certificates(folder)
    else:
        text = on_demand(text, options.replace("{\n", "{\n\tlocal_certs\n", 1))
        ca_file = folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    (folder / "Caddyfile").write_text(text)
    argv = [path_of("caddy"), "run", "--config", str(folder / "Caddyfile")]
    proxy = in_front(programs, origin, server, argv, port, ca_file, full_duplex=False)
    async with proxy as front:
        yield front


# --- Apache --------------------------------------------------------------------------------------

# What a2enmod of the file's first lines links, and what Debian has on by itself and changes much.
APACHE_MODULES = (
    *("mpm_event", "authz_core", "env", "filter", "deflate", "reqtimeout"),
    *("socache_shmcb", "ssl", "headers", "proxy", "proxy_http", "proxy_wstunnel"),
)
APACHE = """
ServerRoot {folder}
PidFile {folder}/apache2.pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/apache2.log
User www-data
Group www-data
ServerName localhost
{modules}
AddOutputFilterByType DEFLATE text/html
Listen 127.0.0.1:{port}
Include {folder}/tunnel.conf
"""


@asynccontextmanager
async def open_apache(programs: Programs, origin: Origin) -> AsyncIterator[Front]:
    folder, port = programs.folder, free_port()
    ca_file = write_certificates(folder)
    server, server_port = await start_server(programs, port)
    values = {
        CERTIFICATES: str(folder),
        "127.0.0.1:8080": f"127.0.0.1:{server_port}",
        "*:443": f"*:{port}",
        DOMAIN: "localhost",
    }
    (folder / "tunnel.conf").write_text(deployed("apache.conf", values))
    modules = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
        for name in APACHE_MODULES
    )
    main = APACHE.format(folder=folder, port=port, modules=modules)
    (folder / "apache2.conf").write_text(main)
    argv = [path_of("apache2"), "-f", str(folder / "apache2.conf"), "-DFOREGROUND"]
    proxy = in_front(programs, origin, server, argv, port, ca_file, full_duplex=False)
    async with proxy as front:
        yield front


# --- HAProxy -------------------------------------------------------------------------------------


@asynccontextmanager
async def open_haproxy(programs: Programs, origin: Origin) -> AsyncIterator[Front]:
    """TLS ends in HAProxy; version 2 of the PROXY protocol."""
    folder, port = programs.folder, free_port()
    ca_file = write_certificates(folder)
    server, server_port = await start_server(programs, port, "--proxy-protocol")
    argv = haproxy(folder, {443: port, 8443: free_port(), 8080: server_port, 8081: free_port()})
    async with in_front(programs, origin, server, argv, port, ca_file, VISITOR) as front:
        yield front


@asynccontextmanager
async def open_haproxy_passing_tls(programs: Programs, origin: Origin) -> AsyncIterator[Front]:
    """TLS ends in tunnel-server; version 1 of the PROXY protocol."""
    folder, port = programs.folder, free_port()
    ca_file = write_certificates(folder)
    files = ("--tls-cert", str(folder / "fullchain.pem"), "--tls-key", str(folder / "privkey.pem"))
    server, server_port = await start_server(programs, port, "--proxy-protocol", *files)
    argv = haproxy(folder, {443: free_port(), 8443: port, 8080: free_port(), 8081: server_port})
    async with in_front(programs, origin, server, argv, port, ca_file, VISITOR) as front:
        yield front


def haproxy(folder: Path, ports: Mapping[int, int]) -> list[str]:
    values = {
        "/etc/haproxy": str(folder),
        "bind :443": f"bind 127.0.0.1:{ports[443]}",
        "bind :8443": f"bind 127.0.0.1:{ports[8443]}",
        "server tunnel 127.0.0.1:8080": f"server tunnel 127.0.0.1:{ports[8080]}",
        "server tunnel 127.0.0.1:8081": f"server tunnel 127.0.0.1:{ports[8081]}",
    }
    (folder / "haproxy.cfg").write_text(deployed("haproxy.cfg", values))
    return [path_of("haproxy"), "-f", str(folder / "haproxy.cfg"), "-db"]


FRONTS: dict[str, tuple[str, Open]] = {
    "nginx": ("nginx", open_nginx),
    "caddy": ("caddy", open_caddy),
    "apache": ("apache2", open_apache),
    "haproxy, PROXY v2": ("haproxy", open_haproxy),
    "haproxy, PROXY v1 and TLS": ("haproxy", open_haproxy_passing_tls),
}
