"""Honest work meets no share: a server with the defaults refuses nothing of it.

The loads are those of benchmarks/attacks: a team behind one address, a load test, a burst of
webhooks, a farm of test machines, and a great many idle WebSockets. Their addresses come by PROXY
headers, since loopback is never counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from benchmarks.attacks.by_visitors import NO_CONTENT, answer_at_once
from benchmarks.attacks.honest import HONEST, OFFICE, idle_websockets, one
from benchmarks.attacks.honest_run import COMPLAINTS, FARM, complaints, restarted
from benchmarks.attacks.load import REFUSED, Load
from benchmarks.attacks.network import LOOPBACK
from benchmarks.attacks.site import CLIENT, open_site
from benchmarks.attacks.tenants import tenant
from benchmarks.attacks.visitors import request
from benchmarks.attacks.ways import Way
from benchmarks.programs import Program
from tests.needs import descriptors
from tests.programs import BUG
from tunnel_server.listening.descriptors import FEW_DESCRIPTORS

# A start of forty clients, or a connection for each of 10,000 visitors, takes half a minute where
# others have the processors for most of the time.
pytestmark = [pytest.mark.needs("taskset"), pytest.mark.timeout(180)]

LOADS = {load.name: load for load in HONEST}
OWNER = "honest"


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """What every server should have; in a fixture, since inside trio a skip loses its reason."""
    with descriptors(FEW_DESCRIPTORS):
        yield


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    with descriptors(LOADS["websockets"].descriptors):
        yield


def complaints_of(server: Program) -> list[str]:
    """What it has said of a share, or of a fault of its own."""
    lines = server.lines()
    return [*complaints("\n".join(lines)), *(line for line in lines if BUG.search(line))]


def faults(load: Load, asked: int, server: Program) -> list[str]:
    """What was not as it should be: so many requests, and all of them served."""
    counts = load.counts
    wrong = [] if asked == counts["asked"] == counts["served"] else [f"{asked}: {load.report()}"]
    return [*wrong, *complaints_of(server)]


# --- visitors -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("few_descriptors")
@pytest.mark.parametrize(
    ("name", "asked"), [("pages", 50 * 121), ("load-test", 500 * 20), ("webhooks", 700)]
)
async def test_a_busy_address_is_served(tmp_path: Path, name: str, asked: int) -> None:
    """Vite pages, a load test by many connections, and webhooks that all come at once."""
    async with open_site(tmp_path / "site", LOOPBACK, Way.PROXY) as site:
        load = Load(site.entrance)
        await LOADS[name].run(load)
        assert faults(load, asked, site.server) == []


@pytest.mark.usefixtures("many_descriptors")
async def test_10_000_idle_websockets_of_100_addresses_stay(tmp_path: Path) -> None:
    """Another visitor is served beside them, and none has ended for it."""
    tunnels = LOADS["websockets"].tunnels
    async with open_site(tmp_path / "site", LOOPBACK, Way.PROXY, tunnels=tunnels) as site:
        load = Load(site.entrance)
        async with idle_websockets(load):
            assert load.places == 10_000
            async with load.visitor(OFFICE) as stream:
                await one(load, stream, request("GET", tunnels[0], "/"))
            await wait_all_tasks_blocked()  # an end that has come has been counted
        assert faults(load, 10_001, site.server) == []


@pytest.mark.usefixtures("few_descriptors")
async def test_where_a_bound_is_lower_the_load_and_the_log_tell_of_it(tmp_path: Path) -> None:
    """Or else the tests above could not fail."""
    few = ("--max-connections", "100")
    async with open_site(tmp_path / "site", LOOPBACK, Way.PROXY, few) as site:
        load = Load(site.entrance)
        await LOADS["webhooks"].run(load)
        assert load.counts["refused"] + load.counts["closed"] > 0
        said = await site.server.line(COMPLAINTS[1])  # within a second, by the sweep
        found = faults(load, 700, site.server)
        assert found[0].startswith("700: ")
        assert said in found


# --- clients --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("few_descriptors")
async def test_forty_sessions_of_one_token_that_begin_at_once_are_served(tmp_path: Path) -> None:
    async with open_site(tmp_path / "site", LOOPBACK, Way.PROXY) as site:
        load = Load(site.entrance)
        await farm(load)
        assert faults(load, len(FARM), site.server) == []


@pytest.mark.usefixtures("few_descriptors")
async def test_where_sessions_are_fewer_the_farm_and_the_log_tell_of_it(tmp_path: Path) -> None:
    """Of forty an owner gets three quarters, and one of those is the site's own client."""
    few = ("--max-sessions", "40")
    async with open_site(tmp_path / "site", LOOPBACK, Way.PROXY, few) as site:
        load = Load(site.entrance)
        await farm(load)
        assert (load.counts["served"], load.counts["refused"]) == (29, 11)
        assert COMPLAINTS[0] in complaints_of(site.server)[0]


async def farm(load: Load) -> None:
    """Sessions that begin at once, stay until all have, and answer a visitor each."""

    async def stay(name: str, task_status: trio.TaskStatus[None]) -> None:
        load.counts["asked"] += 1
        try:
            async with tenant(load.entrance, OWNER, CLIENT, name, answer_at_once):
                online.append(name)
                task_status.started()
                await trio.sleep_forever()
        except* REFUSED:
            load.counts["refused"] += 1
            task_status.started()

    online: list[str] = []
    async with trio.open_nursery() as staying:
        async with trio.open_nursery() as beginning:
            for name in FARM:
                beginning.start_soon(staying.start, stay, name)
        for name in online:
            async with load.visitor(OFFICE) as stream:
                await load.ask(stream, request("GET", name, "/"), NO_CONTENT)
        staying.cancel_scope.cancel()


@pytest.mark.usefixtures("few_descriptors")
async def test_forty_clients_of_one_token_start_and_come_back_after_a_restart(
    tmp_path: Path,
) -> None:
    async with open_site(tmp_path / "site", LOOPBACK, Way.PROXY, tunnels=FARM) as site:
        assert complaints_of(site.server) == []
        async with restarted(site, LOOPBACK) as server:
            assert complaints_of(server) == []
