"""nginx, Caddy, Apache and HAProxy in front of the server, with the files of deploy/."""

from __future__ import annotations

import ssl
from random import Random

import pytest
import trio
from wsproto.events import BytesMessage, CloseConnection, Message

from tests.programs import Programs
from tests.system.deploy_files import CADDY_ON_DEMAND, FRONTS, Kind, each
from tests.system.fronts import Front, open_front
from tests.system.origin import Origin, digest
from tests.system.peer import WsEvents
from tests.system.visitor import SMALL_S, fetch, visit

UPLOAD_BYTES = 5_000_000
MESSAGE_BYTES = 200_000


async def check_length(front: Front) -> None:
    """HTML passes as the app wrote it, though the visitor takes it compressed."""
    async with visit(front.address) as visitor:
        await visitor.request("/head", fields=[("Accept-Encoding", "gzip")])
        answer = await visitor.answer()
        assert answer.status == 200
        body = b"".join([data async for data in visitor.body()])
    assert answer.fields["content-length"] == str(len(body))


async def check_target(front: Front) -> None:
    """An odd target passes as it came."""
    target = "/no%2Fsuch//path/?a=%7e&b=[c]"
    answer = await fetch(front.address, target)
    assert (answer.status, answer.error) == (404, None)
    assert answer.body.decode() == f"no {target.partition('?')[0]} here"


async def check_stream(front: Front, origin: Origin, target: str) -> None:
    """The first half of an answer arrives while the app has not written the second."""
    origin.gate = trio.Event()
    with trio.fail_after(SMALL_S):
        async with visit(front.address) as visitor:
            await visitor.request(target)
            await visitor.answer()
            assert b"first" in await anext(visitor.body())
            origin.gate.set()
            assert b"second" in b"".join([data async for data in visitor.body()])


async def check_upload(front: Front) -> None:
    body = Random(1).randbytes(UPLOAD_BYTES)
    answer = await fetch(front.address, "/sink", "POST", body)
    assert answer.body.decode() == digest([body])
    if front.kind.full_duplex:
        answer = await fetch(front.address, "/echo", "POST", body)
        assert answer.body == body


async def check_slow_upload(front: Front, origin: Origin) -> None:
    """What has come of an upload reaches the app before the rest is sent."""
    origin.arrived = trio.Event()
    with trio.fail_after(SMALL_S):
        async with visit(front.address) as visitor:
            await visitor.request("/begun", "POST", [("Transfer-Encoding", "chunked")])
            await visitor.send(b"early")
            await origin.arrived.wait()
            await visitor.send(b"late")
            await visitor.end()
            await visitor.answer()
            body = b"".join([data async for data in visitor.body()])
    assert body.decode() == digest([b"early", b"late"])


async def check_both_at_once(front: Front) -> None:
    """An answer comes while its request is still being sent."""
    with trio.fail_after(SMALL_S):
        async with visit(front.address) as visitor:
            await visitor.request("/echo", "POST", [("Transfer-Encoding", "chunked")])
            await visitor.send(b"early")
            await visitor.answer()
            assert await anext(visitor.body()) == b"early"
            await visitor.end()
            assert [data async for data in visitor.body()] == []


async def check_websocket(front: Front) -> None:
    """wss, for the visitor's side is TLS: messages both ways, then the visitor's Close."""
    async with visit(front.address) as visitor:
        messages = await visitor.upgrade("/ws")
        events = WsEvents(visitor.stream, messages)
        for size in (1, MESSAGE_BYTES):
            await visitor.stream.send_all(messages.send(BytesMessage(b"x" * size)))
            left = size
            while left:
                event = await anext(events)
                assert isinstance(event, Message)
                left -= len(event.data)
        await visitor.stream.send_all(messages.send(CloseConnection(code=4000, reason="bye")))
        assert await anext(events) == CloseConnection(code=4000, reason="bye")


@each(FRONTS)
async def test_everything_passes_a_proxy_with_its_file_of_deploy(
    programs: Programs, origin: Origin, kind: Kind
) -> None:
    async with open_front(kind, programs, origin) as front:
        assert (await fetch(front.address)).body == b"hello"
        await check_length(front)
        await check_target(front)
        await check_stream(front, origin, "/events")
        await check_stream(front, origin, "/gate")
        await check_upload(front)
        await check_slow_upload(front, origin)
        if front.kind.full_duplex:
            await check_both_at_once(front)
        await check_websocket(front)
        landing = await fetch(front.host("localhost"))
        assert (landing.status, landing.error) == (200, None)


@pytest.mark.needs("caddy")
async def test_caddy_gets_certificates_for_tunnels_alone(
    programs: Programs, origin: Origin
) -> None:
    async with open_front(CADDY_ON_DEMAND, programs, origin) as front:
        assert (await fetch(front.address)).body == b"hello"
        with pytest.raises(trio.BrokenResourceError) as refused:
            await fetch(front.host("nobody.localhost"))
        assert isinstance(refused.value.__cause__, ssl.SSLError)
        assert (await fetch(front.address)).body == b"hello"
