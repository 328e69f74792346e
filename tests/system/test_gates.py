"""Gates with real programs: what a flag of the client lets visitors of this machine see."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.programs import Address, Programs
from tests.system.origin import Origin
from tests.system.visitor import fetch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        (("--allow-ip", "192.0.2.0/24,127.0.0.0/8"), 200),
        (("--allow-ip", "192.0.2.0/24", "--allow-ip", "2001:db8::/32"), 403),
        (("--deny-ip", "127.0.0.1"), 403),
        (("--allow-ip", "127.0.0.0/8", "--deny-ip", "127.0.0.1"), 403),
    ],
)
async def test_visitors_of_this_machine_are_let_in_or_not(
    programs: Programs, origin: Origin, flags: tuple[str, ...], status: int
) -> None:
    _, port = await programs.server()
    client = await programs.client(origin.port, port, "--subdomain", "app", *flags)
    await client.event("ready")
    answer = await fetch(Address(port, "app.localhost"))
    assert answer.status == status


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("192.0.2.1/24", "not '192.0.2.1/24'"),
        ("example.com", "not 'example.com'"),
        (",".join(["192.0.2.1"] * 65), "takes 64 networks at most, not 65"),
    ],
)
async def test_what_is_no_network_is_one_line(
    programs: Programs, tmp_path: Path, value: str, said: str
) -> None:
    client = await programs.start("tunnel-client", "http", "3000", "--allow-ip", value)
    assert await client.exit_code() == 2
    [line] = client.stderr.splitlines()
    assert line.startswith("tunnel-client: --allow-ip: takes ")
    assert line.endswith(said)
