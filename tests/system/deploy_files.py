"""Other people's servers, each with its file of deploy/.

Each takes that very file, with its own values in the places of the example's, and around it only
what Debian's own main configuration would have said. Nothing else of the machine is used: no port
below 1024, no folder but a temporary one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.programs import free_port, path_of

DEPLOY = Path(__file__).parents[2] / "deploy"
DOMAIN = "tunnel.example.com"  # in all files
CERTIFICATES = f"/etc/letsencrypt/live/{DOMAIN}"

# Neither the proxy's address nor the client's, so that nobody is taken for the visitor.
VISITOR = "127.0.0.2"
PROXY = "127.0.0.1"

# Writes into a folder what a proxy needs that listens on the first port and passes to the second;
# the command that starts it.
Configure = Callable[[Path, int, int], list[str]]


@dataclass(frozen=True)
class Kind:
    """A proxy with its file of deploy/, and what it does otherwise than the tunnel."""

    program: str
    configure: Configure
    server_flags: tuple[str, ...] = ()
    reads_http: bool = True  # else it passes bytes, and tells of the visitor before them
    full_duplex: bool = False  # an answer may come before the end of its request
    ca_file: str = "ca.pem"  # in the folder

    @property
    def chain(self) -> str:
        """What the app is told in X-Forwarded-For."""
        return f"{VISITOR}, {PROXY}" if self.reads_http else VISITOR

    def forwarded(self, authority: str) -> str:
        """What it is told in Forwarded; the port of --public-url is in Host already."""
        nodes = [f"for={node}" for node in self.chain.split(", ")]
        return ", ".join([f'{nodes[0]};host="{authority}";proto=https', *nodes[1:]])


def deployed(name: str, values: Mapping[str, str]) -> str:
    """A file of deploy/ with other values; each example has to be in it."""
    text = (DEPLOY / name).read_text()
    for example, value in values.items():
        assert example in text, example
        text = text.replace(example, value)
    return text


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


def nginx(folder: Path, port: int, server_port: int) -> list[str]:
    values = {
        CERTIFICATES: str(folder),
        "127.0.0.1:8080": f"127.0.0.1:{server_port}",
        "listen 443": f"listen 127.0.0.1:{port}",
        DOMAIN: "localhost",
    }
    (folder / "tunnel.conf").write_text(deployed("nginx.conf", values))
    (folder / "nginx.conf").write_text(NGINX.format(deployed=folder / "tunnel.conf"))
    return [path_of("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


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


def caddy(folder: Path, port: int, server_port: int) -> list[str]:
    options = CADDY.format(port=port, folder=folder)
    return caddy_with(folder, options + caddy_site(folder, server_port))


def caddy_on_demand(folder: Path, port: int, server_port: int) -> list[str]:
    options = CADDY.format(port=port, folder=folder).replace("{\n", "{\n\tlocal_certs\n", 1)
    return caddy_with(folder, on_demand(caddy_site(folder, server_port), options))


def caddy_site(folder: Path, server_port: int) -> str:
    values = {
        CERTIFICATES: str(folder),
        DOMAIN: "localhost",
        "127.0.0.1:8080": f"127.0.0.1:{server_port}",
    }
    return deployed("Caddyfile", values)


def caddy_with(folder: Path, text: str) -> list[str]:
    (folder / "Caddyfile").write_text(text)
    return [path_of("caddy"), "run", "--config", str(folder / "Caddyfile")]


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


def apache(folder: Path, port: int, server_port: int) -> list[str]:
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
    return [path_of("apache2"), "-f", str(folder / "apache2.conf"), "-DFOREGROUND"]


# --- HAProxy -------------------------------------------------------------------------------------


def haproxy(folder: Path, port: int, server_port: int) -> list[str]:
    """TLS ends in HAProxy; version 2 of the PROXY protocol."""
    ports = {443: port, 8443: free_port(), 8080: server_port, 8081: free_port()}
    return haproxy_with(folder, ports)


def haproxy_passing_tls(folder: Path, port: int, server_port: int) -> list[str]:
    """TLS ends in tunnel-server; version 1 of the PROXY protocol."""
    ports = {443: free_port(), 8443: port, 8080: free_port(), 8081: server_port}
    return haproxy_with(folder, ports)


def haproxy_with(folder: Path, ports: Mapping[int, int]) -> list[str]:
    values = {
        "/etc/haproxy": str(folder),
        "bind :443": f"bind 127.0.0.1:{ports[443]}",
        "bind :8443": f"bind 127.0.0.1:{ports[8443]}",
        "server tunnel 127.0.0.1:8080": f"server tunnel 127.0.0.1:{ports[8080]}",
        "server tunnel 127.0.0.1:8081": f"server tunnel 127.0.0.1:{ports[8081]}",
    }
    (folder / "haproxy.cfg").write_text(deployed("haproxy.cfg", values))
    return [path_of("haproxy"), "-f", str(folder / "haproxy.cfg"), "-db"]


# Its own certificate, from the folder where it is started.
TLS = ("--tls-cert", "fullchain.pem", "--tls-key", "privkey.pem")
PROXY_HEADERS = ("--proxy-protocol",)

FRONTS: dict[str, Kind] = {
    "nginx": Kind("nginx", nginx),
    "caddy": Kind("caddy", caddy),
    "apache": Kind("apache2", apache),
    "haproxy, PROXY v2": Kind(
        "haproxy", haproxy, PROXY_HEADERS, reads_http=False, full_duplex=True
    ),
    "haproxy, PROXY v1 and TLS": Kind(
        "haproxy", haproxy_passing_tls, (*PROXY_HEADERS, *TLS), reads_http=False, full_duplex=True
    ),
}
CADDY_ON_DEMAND = Kind("caddy", caddy_on_demand, ca_file="caddy/pki/authorities/local/root.crt")


def each(kinds: Mapping[str, Kind]) -> pytest.MarkDecorator:
    """A test for each of these, as `kind`."""
    return pytest.mark.parametrize(
        "kind",
        [
            pytest.param(kind, id=name, marks=pytest.mark.needs(kind.program))
            for name, kind in kinds.items()
        ],
    )
