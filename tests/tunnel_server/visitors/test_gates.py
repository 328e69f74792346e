"""Gates where requests come in: asked before one waits, and right before it begins."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.session import Session
from tests.edge_fakes import World, get, hello, open_world, tunnel_error

IN, OUT = "192.0.2.1", "198.51.100.1"
OPTIONS: dict[str, object] = {"allow-ip": ["192.0.2.0/24"]}


async def asked(world: World, address: str, *fields: bytes) -> tuple[int, str | None]:
    visitor = world.visit(address=address)
    await visitor.send(get(b"/", *fields))
    return tunnel_error(await visitor.head())


async def test_visitors_of_other_networks_get_403_and_the_app_sees_nothing_of_them() -> None:
    async with open_world() as world:
        client = await world.client(hello, options=OPTIONS)
        assert await asked(world, IN) == (200, None)
        assert await asked(world, OUT) == (403, "forbidden")
        upgrade = (
            *(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
        assert await asked(world, OUT, *upgrade) == (403, "forbidden")
        assert len(client.streams) == 1


async def test_another_tunnel_is_open_to_all() -> None:
    async with open_world() as world:
        await world.client(hello, options=OPTIONS)
        await world.client(hello, "other")
        visitor = world.visit(address=OUT)
        await visitor.send(get(host=b"other.localhost"))
        assert tunnel_error(await visitor.head()) == (200, None)


async def test_it_is_each_requests_visitor_and_not_the_proxy_that_is_asked_about() -> None:
    async with open_world(trusted_proxies=(ip_network("10.0.0.1"),)) as world:
        await world.client(hello, options=OPTIONS)
        proxy = world.visit(address="10.0.0.1")
        for fields, status in (
            ((b"X-Forwarded-For: 192.0.2.9",), 200),
            ((b"X-Forwarded-For: 198.51.100.9",), 403),
            ((b"X-Forwarded-For: 192.0.2.9, 198.51.100.9",), 403),
            ((), 403),  # it names nobody
        ):
            await proxy.send(get(b"/", *fields))
            head = await proxy.head()
            assert tunnel_error(head)[0] == status
            length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            await proxy.receive(length)


async def test_whoever_is_not_let_in_does_not_wait_for_a_client_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_world() as world:
        await world.client(hello, options=OPTIONS)
        monkeypatch.setattr(Session, "away", True)
        with trio.fail_after(5):
            assert await asked(world, OUT) == (403, "forbidden")
        assert world.directory.parking.count == 0
        visitor = world.visit(address=IN)
        await visitor.send(get())
        await wait_all_tasks_blocked()
        assert world.directory.parking.count == 1
