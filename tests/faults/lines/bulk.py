"""Bulk: streams without an end through a tunnel, and a plain connection over the same line."""

from __future__ import annotations

from typing import Literal

import trio

from tests.faults.line import Line, connect, listen
from tests.faults.lines.site import BLOCK, ENDLESS, Site, Taken, read_into
from tests.system.peer import abort

Way = Literal["down", "up"]  # down is what a visitor downloads: from home to the edge

STREAMS = 8


async def download(site: Site, stream: int, taken: Taken) -> None:
    async with site.visit() as visitor:
        await visitor.request("/send")
        await visitor.answer()
        await read_into(taken, stream, visitor.stream)


async def upload(site: Site, stream: int, taken: Taken) -> None:
    """What the app takes is counted."""
    site.app.taken = taken
    async with site.visit() as visitor:
        await visitor.request(f"/count?stream={stream}", "POST", [ENDLESS])
        while True:
            await visitor.stream.send_all(BLOCK)


async def plain(line: Line, way: Way, taken: Taken) -> None:
    """No tunnel: one connection."""
    places = [(line.home, line.home_ip), (line.edge, line.edge_ip)]
    (sender, _), (receiver, ip) = places if way == "down" else reversed(places)
    listener = listen(receiver, ip)
    port: int = listener.socket.getsockname()[1]
    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(_send, sender, ip, port)
        async with await listener.accept() as stream:
            await read_into(taken, 0, stream)


async def _send(sender: str, ip: str, port: int) -> None:
    async with await connect(sender, ip, port) as stream:
        abort(stream)  # at its end what the kernel still has does not go on the line
        while True:
            await stream.send_all(BLOCK)
