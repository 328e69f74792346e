"""The limits of an operator on requests, and on the names of an owner."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from protocol.mux.messages import Claim, Claimed, Refused
from tests.edge_fakes import get, hello, open_world, tunnel_error
from tunnel_server.settings.limit_values import parse_limits

OTHER = "198.51.100.7"


def field(head: bytes, name: bytes) -> bytes | None:
    lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n") if b": " in line)
    return lines.get(name)


@pytest.mark.parametrize(
    ("limit", "cause"),
    [
        ("visitor.requests=1/2", b"More requests came from your address than"),
        ("tunnel.requests=1/2", b"More requests came for this tunnel than"),
        ("owner.requests=1/2", b"More requests came for this owner's tunnels than"),
    ],
)
async def test_one_too_many_is_429_and_says_when_there_is_room(
    mock_clock: MockClock, limit: str, cause: bytes
) -> None:
    async with open_world(limits=parse_limits((limit,), "")) as world:
        await world.client(hello)
        visitor = world.visit()
        for _ in range(2):
            await visitor.send(get())
            assert tunnel_error(await visitor.head()) == (200, None)
            await visitor.expect(b"hello")
        await visitor.send(get())
        head = await visitor.head()
        assert tunnel_error(head) == (429, "too-many-requests")
        assert field(head, b"Retry-After") == b"1"
        body = await visitor.receive(int(field(head, b"Content-Length") or b""))
        assert cause in body
        assert b"1 a second, 2 at once" in body
        mock_clock.jump(1)
        await visitor.send(get())
        assert tunnel_error(await visitor.head()) == (200, None)


async def test_one_address_at_its_limit_costs_no_other_any() -> None:
    async with open_world(limits=parse_limits(("visitor.requests=0.01/1",), "")) as world:
        await world.client(hello)
        for address, status in ((None, 200), (None, 429), (OTHER, 200), (OTHER, 429)):
            visitor = world.visit() if address is None else world.visit(address=address)
            await visitor.send(get())
            assert tunnel_error(await visitor.head())[0] == status


async def test_this_machine_is_no_visitor() -> None:
    async with open_world(limits=parse_limits(("visitor.requests=0.01/1",), "")) as world:
        await world.client(hello)
        for _ in range(3):
            visitor = world.visit(address="127.0.0.1")
            await visitor.send(get())
            assert tunnel_error(await visitor.head()) == (200, None)


async def test_an_upgrade_is_refused_before_its_101() -> None:
    async with open_world(limits=parse_limits(("tunnel.requests=0.01/1",), "")) as world:
        await world.client(hello)
        visitor = world.visit()
        await visitor.send(get())
        await visitor.head()
        await visitor.expect(b"hello")
        await visitor.send(
            get(
                b"/",
                *(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            )
        )
        assert tunnel_error(await visitor.head()) == (429, "too-many-requests")


async def test_without_limits_nothing_is_counted() -> None:
    async with open_world() as world:
        assert world.edge.request_limits is None


async def test_an_owner_holds_so_many_names_and_may_take_its_own_again() -> None:
    async with open_world(limits=parse_limits(("owner.tunnels=2",), "")) as world:
        client = await world.client(hello)

        def claim(number: int, name: str, instance: bytes = b"i") -> Claimed | Refused:
            asked = Claim(number, name, instance * 16, True, {}, "")
            return world.directory.claim(client.server, asked)

        assert isinstance(claim(2, "second"), Claimed)
        refused = claim(3, "third")
        assert isinstance(refused, Refused)
        assert refused.code == "too-many-tunnels"
        assert refused.message.endswith("as whoever runs the server allows one, 2")
        assert isinstance(claim(3, ""), Refused)
        assert isinstance(claim(3, "second", b"j"), Claimed)  # from one client to the next
