"""nginx, Caddy, Apache and HAProxy in front of the server, with the files of deploy/."""

from __future__ import annotations

import json
import ssl
from random import Random

import pytest
import trio
from wsproto.events import BytesMessage, CloseConnection, Message

from tests.programs import Programs
from tests.system.fronts import FRONTS, VISITOR, Front, Open, open_caddy
from tests.system.origin import Origin, digest
from tests.system.peer import WsEvents
from tests.system.visitor import SMALL_S, fetch, visit

UPLOAD_BYTES = 5_000_000
MESSAGE_BYTES = 200_000

# What a visitor may try to make an app believe.
SPOOFED = [
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-Host", "bank.example"),
    ("X-Forwarded-Proto", "http"),
    ("X-Forwarded-Port", "1"),
    ("X-Real-IP", "203.0.113.9"),
    ("Forwarded", "for=203.0.113.9"),
    ("X.Forwarded.Host", "bank.example"),
    ("X-Forwarded-User", "root"),
    ("X-Forwarded-Email", "root@bank.example"),
    ("X-Forwarded-Prefix", "/admin"),
    ("X-Forwarded-Client-Cert", "Subject=root"),
    ("Connection", "X-Forwarded-For, X-Forwarded-Host"),
]


async def check_fields(front: Front) -> None:
    """The app is told of the visitor by the tunnel's word, and nothing by the visitor's."""
    async with visit(front.address) as visitor:
        await visitor.request("/head", fields=[*SPOOFED, ("Accept-Encoding", "gzip")])
        answer = await visitor.answer()
        assert answer.status == 200
        assert "content-length" in answer.fields  # it was not compressed on its way
        pairs = json.loads(b"".join([data async for data in visitor.body()]))
    fields = dict(pairs)
    said = {name: fields[name] for name, _ in pairs if name.startswith("x-forwarded-")}
    assert said == {
        "x-forwarded-for": front.chain,
        "x-forwarded-host": front.address.authority,
        "x-forwarded-proto": "https",
        "x-forwarded-port": str(front.address.port),
    }
    assert fields["host"] == front.address.authority
    assert "x-real-ip" not in fields
    assert fields["forwarded"].startswith(f"for={VISITOR}")
    assert "203.0.113.9" not in fields["forwarded"]
    assert [name for name, _ in pairs].count("x-forwarded-for") == 1


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
    if front.full_duplex:
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


@pytest.mark.parametrize(
    "open_front",
    [
        pytest.param(opening, id=name, marks=pytest.mark.needs(program))
        for name, (program, opening) in FRONTS.items()
    ],
)
async def test_everything_passes_a_proxy_with_its_file_of_deploy(
    programs: Programs, origin: Origin, open_front: Open
) -> None:
    async with open_front(programs, origin) as front:
        assert (await fetch(front.address)).body == b"hello"
        await check_fields(front)
        await check_target(front)
        await check_stream(front, origin, "/events")
        await check_stream(front, origin, "/gate")
        await check_upload(front)
        await check_slow_upload(front, origin)
        if front.full_duplex:
            await check_both_at_once(front)
        await check_websocket(front)
        landing = await fetch(front.host("localhost"))
        assert (landing.status, landing.error) == (200, None)


@pytest.mark.needs("caddy")
async def test_caddy_gets_certificates_for_tunnels_alone(
    programs: Programs, origin: Origin
) -> None:
    async with open_caddy(programs, origin, wildcard=False) as front:
        assert (await fetch(front.address)).body == b"hello"
        with pytest.raises(trio.BrokenResourceError) as refused:
            await fetch(front.host("nobody.localhost"))
        assert isinstance(refused.value.__cause__, ssl.SSLError)
        assert (await fetch(front.address)).body == b"hello"
