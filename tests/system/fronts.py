"""Other people's servers in front of ours, or of an app that tells what they make of a request."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from benchmarks.programs import free_port, running
from tests.programs import Address, Program, Programs
from tests.system.deploy_files import PROXY, VISITOR, Kind
from tests.system.origin import Origin


@dataclass
class Front:
    """A tunnel behind a proxy, as a visitor finds it."""

    kind: Kind
    address: Address
    server: Program

    def host(self, name: str) -> Address:
        """Another host by the same way."""
        return Address(self.address.port, name, self.address.tls, self.address.visitor)


def write_certificates(folder: Path) -> None:
    """What certbot would have made, under its names, and for HAProxy; ca.pem is the CA's."""
    ca = trustme.CA()
    issued = ca.issue_cert("localhost", "*.localhost", "app.localhost")
    issued.private_key_pem.write_to_path(folder / "privkey.pem")
    for pem in issued.cert_chain_pems:
        pem.write_to_path(folder / "fullchain.pem", append=True)
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "tunnel.pem")
    ca.cert_pem.write_to_path(folder / "ca.pem")


@asynccontextmanager
async def proxying(kind: Kind, folder: Path, port: int, server_port: int) -> AsyncIterator[None]:
    """The proxy runs, before whatever listens on the server's port."""
    argv = kind.configure(folder, port, server_port)
    async with running(kind.program, argv, folder) as proxy:
        await proxy.listening(port)
        yield


def visited(kind: Kind, folder: Path, port: int) -> Address:
    """Where a visitor finds the proxy, once it runs."""
    trusting = ssl.create_default_context(cafile=str(folder / kind.ca_file))
    return Address(port, "app.localhost", trusting, VISITOR)


@asynccontextmanager
async def open_front(kind: Kind, programs: Programs, origin: Origin) -> AsyncIterator[Front]:
    """The proxy runs before a server, and a client has connected through it."""
    folder, port = programs.folder, free_port()
    write_certificates(folder)
    url = f"https://localhost:{port}"
    flags = ("--public-url", url, "--trusted-proxies", PROXY, "--open", *kind.server_flags)
    server, server_port = await programs.server(*flags)
    async with proxying(kind, folder, port, server_port):
        # public: the app is told all that the server was.
        ca_file = ("--server-ca", str(folder / kind.ca_file))
        sharing = (*ca_file, "--subdomain", "app", "--identity", "public")
        client = await programs.client(origin.port, url, *sharing)
        ready = await client.event("ready")
        assert ready["url"] == f"https://app.localhost:{port}"
        yield Front(kind, visited(kind, folder, port), server)
        await client.stop()  # while there is a way: else it seeks one for what it has sent last
