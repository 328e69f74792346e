"""Bodies of 64 MB arrive byte for byte, both ways at once."""

from __future__ import annotations

import hashlib

import pytest
import trio

from tests.programs import Address
from tests.system.origin import Origin, blocks, digest
from tests.system.visitor import Fields, Visitor, fetch, visit

BODY_BYTES = 64 << 20


async def upload(visitor: Visitor, parts: list[bytes]) -> None:
    for part in parts:
        await visitor.send(part)
    await visitor.end()


async def received_digest(visitor: Visitor) -> str:
    seen = hashlib.sha256()
    async for data in visitor.body():
        seen.update(data)
    return seen.hexdigest()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "framing",
    [
        pytest.param([("Content-Length", str(BODY_BYTES))], id="content-length"),
        pytest.param([("Transfer-Encoding", "chunked")], id="chunked"),
    ],
)
async def test_one_request_carries_64_mb_up_and_down_at_once(
    address: Address, origin: Origin, framing: Fields
) -> None:
    parts = blocks(1, BODY_BYTES)
    async with visit(address) as visitor, trio.open_nursery() as nursery:
        await visitor.request("/echo", "POST", framing)
        nursery.start_soon(upload, visitor, parts)
        answer = await visitor.answer()
        assert answer.status == 200
        assert await received_digest(visitor) == digest(parts)
    assert origin.echoed.hexdigest() == digest(parts)


@pytest.mark.timeout(120)
async def test_an_upload_and_a_download_of_64_mb_pass_one_another(address: Address) -> None:
    async def up() -> None:
        parts = blocks(2, BODY_BYTES)
        async with visit(address) as visitor:
            await visitor.request("/sink", "POST", [("Content-Length", str(BODY_BYTES))])
            await upload(visitor, parts)
            await visitor.answer()
            assert b"".join([data async for data in visitor.body()]).decode() == digest(parts)

    async def down() -> None:
        async with visit(address) as visitor:
            await visitor.request(f"/bytes?seed=3&size={BODY_BYTES}")
            await visitor.answer()
            assert await received_digest(visitor) == digest(blocks(3, BODY_BYTES))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(up)
        nursery.start_soon(down)
    assert (await fetch(address)).body == b"hello"
