"""What TLS adds to a visitor's place: it is what docs/limits.md says."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from protocol.limits import KIB
from tests.edge_fakes import AUTHORITY, CERTIFICATE
from tests.memory import MIB
from tests.memory_formula import (
    BASE_BYTES,
    PLACE_BYTES,
    TLS_PLACE_BYTES,
    USUAL_PLACE_BYTES,
    USUAL_TLS_PLACE_BYTES,
)
from tests.programs import Programs
from tests.system.test_place_memory import (
    GET,
    LIMITS,
    NO_LIMITS,
    PLACES,
    Site,
    in_parts,
    largest_head,
)
from tests.tls_hello import unfinished_hello
from tunnel_server.visitors.tls_stream import HANDSHAKE_MAX_BYTES


class SecureSite(Site):
    """A server where TLS ends."""

    def __init__(self, programs: Programs, stack: AsyncExitStack, pem: Path) -> None:
        super().__init__(programs, stack)
        self._pem = pem
        self._trusting = ssl.create_default_context()
        AUTHORITY.configure_trust(self._trusting)

    async def start(self) -> None:
        CERTIFICATE.private_key_and_cert_chain_pem.write_to_path(self._pem)
        self._pem.chmod(0o600)
        pem = str(self._pem)
        flags = (*NO_LIMITS, "--tls-cert", pem, "--tls-key", pem)
        self.server, self.port = await self._programs.server(*flags)

    async def secure_visitors(self, parts: list[bytes]) -> None:
        for _ in range(PLACES):
            stream = await self.connect()
            secured = trio.SSLStream(stream, self._trusting, server_hostname="app.localhost")
            await secured.do_handshake()
            for part in parts:
                await secured.send_all(part)


@pytest.fixture
async def site(programs: Programs, tmp_path: Path) -> AsyncIterator[SecureSite]:
    async with AsyncExitStack() as stack:
        site = SecureSite(programs, stack, tmp_path / "pem")
        await site.start()
        yield site


@pytest.mark.timeout(240)
async def test_places_under_tls_keep_to_the_formula(site: SecureSite) -> None:
    base = await site.resident("at first")
    assert base < BASE_BYTES
    await site.secure_visitors([])
    idle = await site.resident("idle places")
    assert idle - base < PLACES * (USUAL_PLACE_BYTES + USUAL_TLS_PLACE_BYTES)
    await site.secure_visitors([GET + b"\r\n"])
    served = await site.resident("answered")
    assert served - idle < PLACES * (USUAL_PLACE_BYTES + USUAL_TLS_PLACE_BYTES) + MIB
    await site.secure_visitors(in_parts(largest_head()[:-3]))
    slow = await site.resident("slow heads")
    assert slow - served < PLACES * (PLACE_BYTES + TLS_PLACE_BYTES)


@pytest.mark.timeout(240)
async def test_handshakes_that_are_not_whole_keep_to_the_formula(site: SecureSite) -> None:
    base = await site.resident("at first")
    await site.visitors([unfinished_hello(HANDSHAKE_MAX_BYTES)])
    held = await site.resident("hellos")
    assert held - base < PLACES * (PLACE_BYTES + TLS_PLACE_BYTES)


def test_the_formula_is_that_of_the_documentation() -> None:
    text = " ".join(LIMITS.read_text().split())
    found = re.search(r"each place takes (\d+) KiB more, and may be made to take (\d+) more", text)
    assert found is not None
    assert int(found[1]) * KIB == USUAL_TLS_PLACE_BYTES
    assert int(found[2]) * KIB == TLS_PLACE_BYTES
